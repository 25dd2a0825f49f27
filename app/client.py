"""Client and AsyncClient: the store as typed methods, one with and one without `await`.

    >>> from app.client import Client
    >>> with Client(["http://127.0.0.1:8001", "http://127.0.0.1:8002"]) as client:
    ...     client.put("greeting", "hello").revision > 0
    ...     client.get("greeting").value
    ...     client.incr("visits", 5).value
    True
    b'hello'
    5

Several URLs are several doors to one cluster: when one fails, the next is tried. A call is repeated by itself only when
that is harmless: it was certainly not applied, or it reads, or it has an Idempotency-Key, which every write is given.
So a counter is exact however often an answer was lost. What cannot be brought to an end within the time of a call is an
exception that says in `outcome` what is known of it:

    >>> from app.client import ConditionFailedError
    >>> with Client("http://127.0.0.1:8001") as client:
    ...     before = client.put("stock", "3")
    ...     _ = client.put("stock", "2", if_match=before.revision)
    ...     try:
    ...         client.put("stock", "1", if_match=before.revision)
    ...     except ConditionFailedError as error:
    ...         print(error.code, error.outcome, error.revision > before.revision)
    PRECONDITION_FAILED not_applied True

A client keeps a session: with consistency="session" any replica may answer that has seen what this client has written
and read. The token may be given to another client, in another process:

    >>> with Client("http://127.0.0.1:8001") as writer:
    ...     _ = writer.put("profile", "new")
    ...     token = writer.session
    >>> with Client("http://127.0.0.1:8002", session=token) as reader:
    ...     reader.get("profile", consistency="session").value
    b'new'

AsyncClient has the same methods, to be awaited:

    >>> import asyncio
    >>> from app.client import AsyncClient
    >>> async def total() -> int:
    ...     async with AsyncClient("http://127.0.0.1:8001") as client:
    ...         await asyncio.gather(*(client.incr("total") for _ in range(10)))
    ...         return int((await client.get("total")).value)
    >>> asyncio.run(total())
    10

Many operations go in one request as a Batch. Each succeeds or fails alone; by its Slot its result is found, or raised
where it is an error:

    >>> from app.client import Batch, NotANumberError
    >>> batch = Batch()
    >>> shelf = batch.put("shelf/1", "Dune")
    >>> copies = batch.incr("copies", 3)
    >>> wrong = batch.incr("greeting")
    >>> with Client("http://127.0.0.1:8001") as client:
    ...     results = client.batch(batch)
    >>> results[copies].value, results[shelf].revision > 0, len(results.errors)
    (3, True, 1)
    >>> try:
    ...     results[wrong]
    ... except NotANumberError as error:
    ...     print(error.code)
    NOT_A_NUMBER

A Transaction does all or nothing, with keys that share a {tag}:

    >>> from app.client import Transaction
    >>> move = Transaction()
    >>> move.if_absent("{account 1}/lock")
    >>> move.if_value("{account 1}/balance", "100")
    >>> _ = move.then.put("{account 1}/balance", "90")
    >>> found = move.otherwise.get("{account 1}/balance")
    >>> with Client("http://127.0.0.1:8001") as client:
    ...     _ = client.put("{account 1}/balance", "100")
    ...     client.txn(move).succeeded
    ...     decided = client.txn(move)
    True
    >>> decided.succeeded, decided[found].value
    (False, b'90')

Keys come in order over all partitions, page by page as they are needed, and changes as they happen. Both go on at
another gateway when their own is lost:

    >>> with Client(["http://127.0.0.1:8001", "http://127.0.0.1:8002"]) as client:
    ...     with client.watch(prefix="{shelf}/") as changes:
    ...         _ = client.put("{shelf}/1", "Dune")
    ...         _ = client.put("{shelf}/2", "Emma")
    ...         _ = client.delete("{shelf}/1")
    ...         told = [next(changes) for _ in range(3)]
    ...     [(item.key, item.value) for item in client.scan("{shelf}/", limit=10)]
    [(b'{shelf}/2', b'Emma')]
    >>> [(change.event, change.key) for change in told]
    [('put', b'{shelf}/1'), ('put', b'{shelf}/2'), ('delete', b'{shelf}/1')]

    >>> async def first_change(after: str) -> bytes:
    ...     async with AsyncClient("http://127.0.0.1:8003") as client:
    ...         async with client.watch(prefix="{shelf}/", after=after) as changes:
    ...             return (await anext(changes)).key
    >>> asyncio.run(first_change(told[0].id))
    b'{shelf}/2'

What is sent and what is made of answers is in calls.py and client*.py, what is repeated in attempts.py; here they are
sent, by sending.py.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from random import Random
from typing import Any, Self, TypeVar, Unpack, overload
from weakref import WeakSet

from app import calls, clientbatch, clienttxn
from app.attempts import Gateways, Patience, Steps, attempts, one_attempt
from app.calls import Call, Changed, Entry, IfMatch, Level, Number, Once, Text, Value, Written
from app.clientbatch import Batch, BatchResults, batch_attempts
from app.clienterrors import (
    ClientError,
    CompactedError,
    ConditionFailedError,
    IdempotencyKeyReusedError,
    InvalidSessionError,
    InvalidUrlError,
    NoSuchKeyError,
    NotAGatewayError,
    NotANumberError,
    NotOnePartitionError,
    NumberOverflowError,
    OutcomeUnknownError,
    ProblemError,
    Response,
    StorageFullError,
    TooLargeError,
    UnavailableError,
    UnreachableError,
)
from app.clientitem import Item, Key
from app.clientoperations import Slot
from app.clientscan import Page, Scan, ScanOptions, items_of, keys_of
from app.clienttxn import Decided, Transaction
from app.clientwatch import Change, Following
from app.sending import AsyncSender, HttpxSender, Sender, run, run_async
from app.session import Session
from app.watchstream import AsyncWatch, Watch

__all__ = [
    "AsyncClient",
    "AsyncWatch",
    "Batch",
    "BatchResults",
    "Change",
    "Changed",
    "Client",
    "ClientError",
    "CompactedError",
    "ConditionFailedError",
    "Decided",
    "Entry",
    "IdempotencyKeyReusedError",
    "IfMatch",
    "InvalidSessionError",
    "InvalidUrlError",
    "Item",
    "Key",
    "NoSuchKeyError",
    "NotAGatewayError",
    "NotANumberError",
    "NotOnePartitionError",
    "Number",
    "NumberOverflowError",
    "OutcomeUnknownError",
    "ProblemError",
    "Response",
    "ScanOptions",
    "Slot",
    "StorageFullError",
    "TooLargeError",
    "Transaction",
    "UnavailableError",
    "UnreachableError",
    "Value",
    "Watch",
    "Written",
]

T = TypeVar("T")


class _Client(ABC):
    """What both clients are made of.

    urls              of gateways of one cluster, `http://HOST:PORT`
    timeout_seconds   how long one call may take, with all its attempts
    attempt_seconds   how long one attempt may take, before another gateway is asked
    waits             if no gateway can be reached they are waited for, as long as the call may take
    session           a token from another client, to see what that has seen
    keeps_session     False: no tokens, for those who only read linearizably
    sole_writer       nobody else writes the keys that this client writes: plain puts and deletes need no
                      Idempotency-Key to be repeated, and the cluster no memory of them
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        timeout_seconds: float = 10.0,
        attempt_seconds: float = 3.0,
        waits: bool = True,
        session: str | None = None,
        keeps_session: bool = True,
        sole_writer: bool = False,
        rng: Random | None = None,
    ) -> None:
        """Raises: InvalidUrlError, InvalidSessionError."""
        self._gateways = Gateways([urls] if isinstance(urls, str) else urls)
        self._patience = Patience(timeout_seconds, attempt_seconds, waits)
        self._rng = rng or Random()
        self._is_sole_writer = sole_writer
        self._session: Session | None = None
        if keeps_session or session is not None:
            try:
                self._session = Session(session)
            except ValueError as error:
                raise InvalidSessionError(str(error)) from error
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Make what sends, and remember its watches."""

    @property
    def session(self) -> str:
        """The token of all that this client has written and seen; give it to another client."""
        return self._session.token if self._session is not None else ""

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self._gateways.urls)

    def _once(self, token: str | None) -> Once:
        return Once(token=token, is_sole_writer=self._is_sole_writer)

    def _steps(self, call: Call[T]) -> Steps[T]:
        return attempts(call, self._gateways, self._patience, self._session, time.monotonic, self._rng)

    def _batch_steps(self, call: Call[BatchResults]) -> Steps[BatchResults]:
        return batch_attempts(call, self._gateways, self._patience, self._session, time.monotonic, self._rng)

    def _one_attempt(self, target: str) -> Steps[Response]:
        call = Call("GET", target, lambda response: response, takes_session=False)
        return one_attempt(call, self._gateways.urls[0], self._patience.timeout_seconds)

    def _add(self, cluster: dict[str, Any]) -> None:
        nodes = sorted(str(node.get("http") or "") for node in cluster["nodes"])
        self._gateways.add([f"http://{address}" for address in nodes if address])


class Client(_Client):
    """The store, for threads: may be shared by several. A context manager, which closes the connections."""

    def _open(self) -> None:
        self._sender = Sender()
        self._watches = WeakSet[Watch]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for watch in list(self._watches):
            watch.close()
        self._sender.close()

    def put(
        self,
        key: Text,
        value: Text,
        *,
        ttl: float | None = None,
        if_match: IfMatch = None,
        if_absent: bool = False,
        content_type: str | None = None,
        idempotency_key: str | None = None,
    ) -> Written:
        """Store a value.

        ttl               seconds until the key is gone
        if_match          only if the key is at this revision; "*": only if it exists
        if_absent         only if it does not exist
        content_type      given back with the value; text/plain for a str, else application/octet-stream
        idempotency_key   of whoever repeats this call itself; a new one otherwise

        Raises: ConditionFailedError, TooLargeError, StorageFullError and any ClientError.
        """
        once = self._once(idempotency_key)
        return self._ask(
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
    def get(
        self,
        key: Text,
        *,
        consistency: Level | None = None,
        max_staleness: int | None = None,
        if_none_match: None = None,
    ) -> Value | None: ...

    @overload
    def get(
        self, key: Text, *, consistency: Level | None = None, max_staleness: int | None = None, if_none_match: int
    ) -> Entry | None: ...

    def get(
        self,
        key: Text,
        *,
        consistency: Level | None = None,
        max_staleness: int | None = None,
        if_none_match: int | None = None,
    ) -> Entry | None:
        """The value with its receipt, or None where there is none.

        consistency     the least that the answer must be; None: as the cluster is set
        max_staleness   how old it may be, in milliseconds, with consistency="bounded"
        if_none_match   a revision that is here already: if it is current, the answer is an Entry without a value
        """
        return self._ask(
            calls.get(key, consistency=consistency, max_staleness=max_staleness, if_none_match=if_none_match)
        )

    def head(self, key: Text, *, consistency: Level | None = None, max_staleness: int | None = None) -> Entry | None:
        """What is known of a key, without its value."""
        return self._ask(calls.get(key, consistency=consistency, max_staleness=max_staleness, is_head=True))

    def delete(self, key: Text, *, if_match: IfMatch = None, idempotency_key: str | None = None) -> Written:
        """Remove a key, whether or not it exists. Raises: ConditionFailedError and any ClientError."""
        return self._ask(calls.delete(key, once=self._once(idempotency_key), if_match=if_match))

    def incr(self, key: Text, by: int = 1, *, if_match: IfMatch = None, idempotency_key: str | None = None) -> Number:
        """Add to the decimal number there, 0 where there is none; 64 bits, signed.

        Raises: NotANumberError, NumberOverflowError, ConditionFailedError and any ClientError.
        """
        return self._ask(calls.incr(key, by, once=self._once(idempotency_key), if_match=if_match))

    def append(
        self, key: Text, value: Text, *, if_match: IfMatch = None, idempotency_key: str | None = None
    ) -> Changed:
        """Have the value end with this, too. Raises: TooLargeError, ConditionFailedError and any ClientError."""
        return self._ask(calls.append(key, value, once=self._once(idempotency_key), if_match=if_match))

    def touch(self, key: Text, ttl: float, *, if_match: IfMatch = None, idempotency_key: str | None = None) -> Changed:
        """Have a key gone after `ttl` seconds. Raises: NoSuchKeyError, ConditionFailedError and any ClientError."""
        return self._ask(calls.touch(key, ttl, once=self._once(idempotency_key), if_match=if_match))

    def persist(self, key: Text, *, if_match: IfMatch = None, idempotency_key: str | None = None) -> Changed:
        """Have a key stay that had a TTL. Raises: NoSuchKeyError, ConditionFailedError and any ClientError."""
        return self._ask(calls.persist(key, once=self._once(idempotency_key), if_match=if_match))

    def batch(
        self,
        batch: Batch,
        *,
        consistency: Level | None = None,
        max_staleness: int | None = None,
        idempotency_key: str | None = None,
    ) -> BatchResults:
        """Many operations in one request; some may fail while others do not.

        consistency       of its gets, as is max_staleness; as of get
        idempotency_key   of whoever repeats this call itself; a new one otherwise

        Raises: any ClientError, if nothing is known of any of them; else each has a result, which may be one.
        """
        call = clientbatch.call_of(batch, consistency=consistency, max_staleness=max_staleness, token=idempotency_key)
        return self._run(self._batch_steps(call))

    def txn(self, transaction: Transaction, *, idempotency_key: str | None = None) -> Decided:
        """Compare and then write and read, all or nothing, in one partition.

        Raises: NotOnePartitionError, TooLargeError, StorageFullError and any ClientError.
        """
        return self._ask(clienttxn.call_of(transaction, token=idempotency_key))

    def scan(self, prefix: Text = "", **options: Unpack[ScanOptions]) -> Iterator[Item]:
        """The keys that begin so, in order over all partitions, with their values.

        Pages are asked for as they are needed, each from whichever gateway answers. A key that is written meanwhile may
        or may not be among them; all others are, once. Raises, while it goes on: any ClientError; ValueError at once.
        """
        return self._pages(Scan(prefix, options, keys_only=False), items_of)

    def scan_keys(self, prefix: Text = "", **options: Unpack[ScanOptions]) -> Iterator[Key]:
        """As scan, without the values."""
        return self._pages(Scan(prefix, options, keys_only=True), keys_of)

    def watch(self, *, key: Text | None = None, prefix: Text | None = None, after: str = "") -> Watch:
        """Every change of a key, or of all keys that begin so, once and in order within each partition.

        after   go on right after this id, instead of from now on

        Raises: ValueError, if it is neither of a key nor of a prefix; what it raises later, Watch says.
        """
        watch = Watch(Following(key=key, prefix=prefix, after=after), self._steps, self._gateways)
        self._watches.add(watch)
        return watch

    def cluster(self) -> dict[str, Any]:
        """Nodes and partitions, as `GET /v1/cluster` says."""
        return self._ask(calls.cluster())

    def locate(self, key: Text) -> dict[str, Any]:
        """Partition, replicas and leader of a key."""
        return self._ask(calls.locate(key))

    def limits(self) -> dict[str, Any]:
        """The bounds of every request."""
        return self._ask(calls.limits())

    def replicas(self, partition: int) -> dict[str, Any]:
        """Who holds a partition."""
        return self._ask(calls.replicas(partition))

    def place(self, partition: int, nodes: Sequence[str]) -> dict[str, Any]:
        """Have these nodes hold a partition; the answer is that of `replicas`, and the moves come after it."""
        return self._ask(calls.place(partition, nodes))

    def transfer(self, partition: int, node: str) -> dict[str, Any]:
        """Have one of its nodes lead a partition."""
        return self._ask(calls.transfer(partition, node))

    def learn(self) -> None:
        """Ask who else is in the cluster, and talk to those as well."""
        self._add(self.cluster())

    def probe(self, target: str) -> Response:
        """One GET of the first gateway, whatever its answer, without a second try."""
        return self._run(self._one_attempt(target))

    def _pages(self, scan: Scan, read: Callable[[Page], list[T]]) -> Iterator[T]:
        while (call := scan.call()) is not None:
            page = self._ask(call)
            scan.took(page)
            yield from read(page)

    def _ask(self, call: Call[T]) -> T:
        return self._run(self._steps(call))

    def _run(self, steps: Steps[T]) -> T:
        return run(steps, self._sender.send)


class AsyncClient(_Client):
    """The store, for asyncio: the methods of Client, to be awaited. An asynchronous context manager."""

    def _open(self) -> None:
        self._sender = self.make_sender()
        self._watches = WeakSet[AsyncWatch]()

    def make_sender(self) -> AsyncSender:
        """What sends: another one may be quicker for some."""
        return HttpxSender()

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
        ttl: float | None = None,
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
        self, key: Text, ttl: float, *, if_match: IfMatch = None, idempotency_key: str | None = None
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
        return await self._run(self._batch_steps(call))

    async def txn(self, transaction: Transaction, *, idempotency_key: str | None = None) -> Decided:
        """As Client.txn."""
        return await self._ask(clienttxn.call_of(transaction, token=idempotency_key))

    def scan(self, prefix: Text = "", **options: Unpack[ScanOptions]) -> AsyncIterator[Item]:
        """As Client.scan."""
        return self._pages(Scan(prefix, options, keys_only=False), items_of)

    def scan_keys(self, prefix: Text = "", **options: Unpack[ScanOptions]) -> AsyncIterator[Key]:
        """As Client.scan_keys."""
        return self._pages(Scan(prefix, options, keys_only=True), keys_of)

    def watch(self, *, key: Text | None = None, prefix: Text | None = None, after: str = "") -> AsyncWatch:
        """As Client.watch."""
        watch = AsyncWatch(Following(key=key, prefix=prefix, after=after), self._steps, self._gateways)
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

    async def place(self, partition: int, nodes: Sequence[str]) -> dict[str, Any]:
        """As Client.place."""
        return await self._ask(calls.place(partition, nodes))

    async def transfer(self, partition: int, node: str) -> dict[str, Any]:
        """As Client.transfer."""
        return await self._ask(calls.transfer(partition, node))

    async def learn(self) -> None:
        """As Client.learn."""
        self._add(await self.cluster())

    async def probe(self, target: str) -> Response:
        """As Client.probe."""
        return await self._run(self._one_attempt(target))

    async def _pages(self, scan: Scan, read: Callable[[Page], list[T]]) -> AsyncIterator[T]:
        while (call := scan.call()) is not None:
            page = await self._ask(call)
            scan.took(page)
            for found in read(page):
                yield found

    async def _ask(self, call: Call[T]) -> T:
        return await self._run(self._steps(call))

    async def _run(self, steps: Steps[T]) -> T:
        return await run_async(steps, self._sender.send)
