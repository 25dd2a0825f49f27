"""AsyncClient: the store as typed methods, to be awaited; client.py has its examples."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self, TypeVar, Unpack, overload
from weakref import WeakSet

from app import calls, clientbatch, clienttxn
from app.arguments import IfMatch, Level, Seconds, Text
from app.asyncsending import AsyncSender, ConnectionSender, run_async
from app.asyncwatch import AsyncWatch
from app.attempts import Pause, Steps
from app.calls import Call, Changed, Entry, Number, Value, Written
from app.client import BaseClient
from app.clientbatch import Batch, BatchResults
from app.clientdeletion import RangeDeletion
from app.clienterrors import Response
from app.clientimport import Imported, Part, check_lines
from app.clientitem import Item, Key
from app.clientscan import Page, Scan, ScanOptions, items_of, keys_of, lines_of
from app.clienttxn import Decided, Transaction
from app.clientwatch import Following

T = TypeVar("T")


class AsyncClient(BaseClient):
    """The store, for asyncio: the methods of Client, to be awaited. An asynchronous context manager."""

    def _open(self) -> None:
        self._sender = self.make_sender()
        self._watches = WeakSet[AsyncWatch]()

    def make_sender(self) -> AsyncSender:
        """What sends: another one may be quicker for some."""
        return ConnectionSender()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        for watch in list(self._watches):
            await watch.close()
        await self._sender.close()

    async def put(
        self,
        key: Text,
        value: Text,
        *,
        ttl: Seconds | None = None,
        if_match: IfMatch = None,
        if_absent: bool = False,
        content_type: str | None = None,
        idempotency_key: str | None = None,
    ) -> Written:
        """As Client.put."""
        once = self._once(idempotency_key)
        return await self._ask(
            calls.put(
                key,
                value,
                once=once,
                ttl=ttl,
                if_match=if_match,
                if_absent=if_absent,
                content_type=content_type,
            )
        )

    @overload
    async def get(
        self,
        key: Text,
        *,
        consistency: Level | None = None,
        max_staleness: int | None = None,
        if_none_match: None = None,
    ) -> Value | None: ...

    @overload
    async def get(
        self, key: Text, *, consistency: Level | None = None, max_staleness: int | None = None, if_none_match: int
    ) -> Entry | None: ...

    async def get(
        self,
        key: Text,
        *,
        consistency: Level | None = None,
        max_staleness: int | None = None,
        if_none_match: int | None = None,
    ) -> Entry | None:
        """As Client.get."""
        return await self._ask(
            calls.get(key, consistency=consistency, max_staleness=max_staleness, if_none_match=if_none_match)
        )

    async def head(
        self, key: Text, *, consistency: Level | None = None, max_staleness: int | None = None
    ) -> Entry | None:
        """As Client.head."""
        return await self._ask(calls.get(key, consistency=consistency, max_staleness=max_staleness, is_head=True))

    async def delete(self, key: Text, *, if_match: IfMatch = None, idempotency_key: str | None = None) -> Written:
        """As Client.delete."""
        return await self._ask(calls.delete(key, once=self._once(idempotency_key), if_match=if_match))

    async def delete_range(
        self,
        prefix: Text = "",
        *,
        start: Text | None = None,
        end: Text | None = None,
        everything: bool = False,
        idempotency_key: str | None = None,
    ) -> int:
        """As Client.delete_range."""
        deletion = RangeDeletion(prefix, start, end, everything=everything, once=self._once(idempotency_key))
        while (call := deletion.call()) is not None:
            deletion.took(await self._ask(call))
        return deletion.deleted

    async def incr(
        self, key: Text, by: int = 1, *, if_match: IfMatch = None, idempotency_key: str | None = None
    ) -> Number:
        """As Client.incr."""
        return await self._ask(calls.incr(key, by, once=self._once(idempotency_key), if_match=if_match))

    async def append(
        self, key: Text, value: Text, *, if_match: IfMatch = None, idempotency_key: str | None = None
    ) -> Changed:
        """As Client.append."""
        return await self._ask(calls.append(key, value, once=self._once(idempotency_key), if_match=if_match))

    async def touch(
        self, key: Text, ttl: Seconds, *, if_match: IfMatch = None, idempotency_key: str | None = None
    ) -> Changed:
        """As Client.touch."""
        return await self._ask(calls.touch(key, ttl, once=self._once(idempotency_key), if_match=if_match))

    async def persist(self, key: Text, *, if_match: IfMatch = None, idempotency_key: str | None = None) -> Changed:
        """As Client.persist."""
        return await self._ask(calls.persist(key, once=self._once(idempotency_key), if_match=if_match))

    async def batch(
        self,
        batch: Batch,
        *,
        consistency: Level | None = None,
        max_staleness: int | None = None,
        idempotency_key: str | None = None,
    ) -> BatchResults:
        """As Client.batch."""
        call = clientbatch.call_of(batch, consistency=consistency, max_staleness=max_staleness, token=idempotency_key)
        return await self._run(partial(self._batch_steps, call))

    async def txn(self, transaction: Transaction, *, idempotency_key: str | None = None) -> Decided:
        """As Client.txn."""
        return await self._ask(clienttxn.call_of(transaction, token=idempotency_key))

    def scan(self, prefix: Text = "", **options: Unpack[ScanOptions]) -> AsyncIterator[Item]:
        """As Client.scan."""
        return self._pages(Scan(prefix, options, keys_only=False), items_of)

    def scan_keys(self, prefix: Text = "", **options: Unpack[ScanOptions]) -> AsyncIterator[Key]:
        """As Client.scan_keys."""
        return self._pages(Scan(prefix, options, keys_only=True), keys_of)

    def scan_lines(
        self, prefix: Text = "", *, keys_only: bool = False, **options: Unpack[ScanOptions]
    ) -> AsyncIterator[bytes]:
        """As Client.scan_lines."""
        return self._pages(Scan(prefix, options, keys_only=keys_only), lines_of)

    def import_lines(self, lines: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[Imported]:
        """As Client.import_lines, whose lines may come as they are awaited, too."""
        check_lines(lines)
        return self._parts(lines)

    def watch(self, *, key: Text | None = None, prefix: Text | None = None, after: str = "") -> AsyncWatch:
        """As Client.watch."""
        watch = AsyncWatch(
            Following(key=key, prefix=prefix, after=after), self._stream_steps, self._gateways, self._on_pause
        )
        self._watches.add(watch)
        return watch

    async def cluster(self) -> dict[str, Any]:
        """As Client.cluster."""
        return await self._ask(calls.cluster())

    async def locate(self, key: Text) -> dict[str, Any]:
        """As Client.locate."""
        return await self._ask(calls.locate(key))

    async def limits(self) -> dict[str, Any]:
        """As Client.limits."""
        return await self._ask(calls.limits())

    async def replicas(self, partition: int) -> dict[str, Any]:
        """As Client.replicas."""
        return await self._ask(calls.replicas(partition))

    async def place(self, partition: int, nodes: Sequence[str], *, allow_fewer: bool = False) -> dict[str, Any]:
        """As Client.place."""
        return await self._ask(calls.place(partition, nodes, allow_fewer=allow_fewer))

    async def transfer(self, partition: int, node: str) -> dict[str, Any]:
        """As Client.transfer."""
        return await self._ask(calls.transfer(partition, node))

    async def learn(self) -> None:
        """As Client.learn."""
        self._add(await self.cluster())

    async def probe(self, target: str) -> Response:
        """As Client.probe."""
        steps = self._one_attempt(target)
        return await self._run(lambda _: steps)

    async def _parts(self, lines: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[Imported]:
        part = Part()
        async for line in lines if isinstance(lines, AsyncIterable) else _awaited(lines):
            full = part.add(line)
            if full is not None:
                yield await self._ask(full)
        rest = part.take()
        if rest is not None:
            yield await self._ask(rest)

    async def _pages(self, scan: Scan, read: Callable[[Page], list[T]]) -> AsyncIterator[T]:
        while (call := scan.call()) is not None:
            page = await self._ask(call)
            scan.took(page)
            for found in read(page):
                yield found

    async def _ask(self, call: Call[T]) -> T:
        return await self._run(partial(self._steps, call))

    async def _run(self, steps_of: Callable[[Callable[[], float]], Steps[T]]) -> T:
        async with self._sender.turn() as turn:

            async def pause(step: Pause) -> None:
                self._on_pause(step)
                await turn.pause(step.seconds)

            try:
                return await run_async(steps_of(lambda: turn.waited), self._sender.send, pause)
            finally:
                self._on_pause(None)


async def _awaited(lines: Iterable[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line
