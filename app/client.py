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

A Client may be shared by threads, and used on both sides of a fork: each process has connections of its own. What is
given wrongly is an InvalidArgumentError or an InvalidArgumentTypeError before anything is sent.

What is sent and what is made of answers is in calls.py and client*.py, what is repeated in attempts.py; here they are
sent, by sending.py.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING, Any, Never, Self, TypeVar, Unpack, overload
from weakref import WeakSet

from app import calls
from app.arguments import IfMatch, Level, Seconds, Text, check_is, read_field, read_seconds
from app.attempts import Caller, Gateways, Patience, Pause, Steps, attempts, one_attempt
from app.calls import Call, Changed, Entry, Number, Once, Value, Written
from app.clienterrors import (
    ClientClosedError,
    ClientError,
    CompactedError,
    ConditionFailedError,
    IdempotencyKeyReusedError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
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
from app.sending import Sender, run
from app.session import Session

if TYPE_CHECKING:
    from app.asyncclient import AsyncClient
    from app.asyncwatch import AsyncWatch
    from app.clientbatch import Batch, BatchResults
    from app.clientimport import Imported, LineError
    from app.clientoperations import Slot
    from app.clientscan import Page, Scan, ScanOptions
    from app.clienttxn import Decided, Transaction
    from app.clientwatch import Change
    from app.watchstream import Watch

__all__ = [
    "AsyncClient",
    "AsyncWatch",
    "Batch",
    "BatchResults",
    "Change",
    "Changed",
    "Client",
    "ClientClosedError",
    "ClientError",
    "CompactedError",
    "ConditionFailedError",
    "Decided",
    "Entry",
    "IdempotencyKeyReusedError",
    "IfMatch",
    "Imported",
    "InvalidArgumentError",
    "InvalidArgumentTypeError",
    "InvalidSessionError",
    "InvalidUrlError",
    "Item",
    "Key",
    "LineError",
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


class BaseClient(ABC):
    """What both clients are made of.

    urls              of gateways of one cluster, `http://HOST:PORT`
    timeout_seconds   how long one call may take, with all its attempts; its time begins when it is one of the hundred
                      calls of this client that are on their way at once
    attempt_seconds   how long one attempt may take at most, before another gateway is asked; the first takes less
    waits             if no gateway can be reached they are waited for, as long as the call may take
    session           a token from another client, to see what that has seen
    keeps_session     False: no tokens, for those who only read linearizably
    sole_writer       nobody else writes the keys that this client writes: plain puts and deletes need no
                      Idempotency-Key to be repeated, and the cluster no memory of them
    on_pause          is told, before each pause between two attempts, why there is one and how much time is left, and
                      None at the end of each call
    """

    _is_even = False

    def __init__(
        self,
        urls: str | Iterable[str],
        *,
        timeout_seconds: float = 10.0,
        attempt_seconds: float = 3.0,
        waits: bool = True,
        session: str | None = None,
        keeps_session: bool = True,
        sole_writer: bool = False,
        on_pause: Callable[[Pause | None], object] = lambda _: None,
        rng: Random | None = None,
    ) -> None:
        """Raises: InvalidArgumentError, as are InvalidUrlError and InvalidSessionError; InvalidArgumentTypeError."""
        if not isinstance(urls, str):
            check_is("urls", urls, Iterable)
        self._gateways = Gateways([urls] if isinstance(urls, str) else list(urls))
        patience = Patience(
            read_seconds("timeout_seconds", timeout_seconds),
            read_seconds("attempt_seconds", attempt_seconds),
            waits,
            self._is_even,
        )
        self._session = _session_of(session) if keeps_session or session is not None else None
        self._is_sole_writer = sole_writer
        self._on_pause = on_pause
        self._caller = Caller(self._gateways, patience, self._session, time.monotonic, rng or Random())
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Make what sends, and remember its watches."""

    def __reduce__(self) -> Never:
        """A client goes into no other process: neither would a copy have connections."""
        kind = type(self).__name__
        how = "make one there, of urls=client.urls and session=client.session"
        raise InvalidArgumentTypeError(f"a {kind} cannot be pickled or copied, because it has connections: {how}")

    @property
    def session(self) -> str:
        """The token of all that this client has written and seen; give it to another client."""
        return self._session.token if self._session is not None else ""

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self._gateways.urls)

    def _once(self, token: str | None) -> Once:
        return Once(token=token, is_sole_writer=self._is_sole_writer)

    def _steps(self, call: Call[T], waited: Callable[[], float]) -> Steps[T]:
        return attempts(call, self._caller, waited)

    def _batch_steps(self, call: Call[BatchResults], waited: Callable[[], float]) -> Steps[BatchResults]:
        from app.clientbatch import batch_attempts

        return batch_attempts(call, self._caller, waited)

    def _stream_steps(self, call: Call[None]) -> Steps[None]:
        return attempts(call, self._caller)

    def _one_attempt(self, target: str) -> Steps[Response]:
        if not read_field("target", target).startswith("/"):
            raise InvalidArgumentError(f"target must be a path, which begins with /, not {target!r}")
        call = Call("GET", target, lambda response: response, takes_session=False)
        return one_attempt(call, self._gateways.urls[0], self._caller.patience.timeout_seconds)

    def _add(self, cluster: dict[str, Any]) -> None:
        """The other nodes of a cluster, those whose addresses are some."""
        nodes = cluster["nodes"] if isinstance(cluster["nodes"], list) else []
        for address in sorted(str(node.get("http") or "") for node in nodes if isinstance(node, dict)):
            try:
                self._gateways.add([f"http://{address}"])
            except InvalidUrlError:
                continue


def _session_of(token: str | None) -> Session:
    if token is not None:
        check_is("session", token, str)
    try:
        return Session(token)
    except ValueError as error:
        raise InvalidSessionError(str(error)) from error


class Client(BaseClient):
    """The store, for threads: may be shared by several. A context manager, which closes the connections."""

    def _open(self) -> None:
        self._sender = Sender()
        self._watches: WeakSet[Watch] = WeakSet()

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
        ttl: Seconds | None = None,
        if_match: IfMatch = None,
        if_absent: bool = False,
        content_type: str | None = None,
        idempotency_key: str | None = None,
    ) -> Written:
        """Store a value.

        ttl               seconds until the key is gone, or a timedelta
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

    def delete_range(
        self,
        prefix: Text = "",
        *,
        start: Text | None = None,
        end: Text | None = None,
        everything: bool = False,
        idempotency_key: str | None = None,
    ) -> int:
        """Delete all keys that begin with `prefix`, from `start` up to, not including, `end`; says how many there were.

        It is done piece by piece, by as many requests as it takes; a key that is written meanwhile may stay.

        everything        every key there is, and none of the bounds

        Raises: InvalidArgumentError, if nothing says which keys; any ClientError, with some of them deleted.
        """
        from app.clientdeletion import RangeDeletion

        deletion = RangeDeletion(prefix, start, end, everything=everything, once=self._once(idempotency_key))
        while (call := deletion.call()) is not None:
            deletion.took(self._ask(call))
        return deletion.deleted

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

    def touch(
        self, key: Text, ttl: Seconds, *, if_match: IfMatch = None, idempotency_key: str | None = None
    ) -> Changed:
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
        from app import clientbatch

        call = clientbatch.call_of(batch, consistency=consistency, max_staleness=max_staleness, token=idempotency_key)
        return self._run(partial(self._batch_steps, call))

    def txn(self, transaction: Transaction, *, idempotency_key: str | None = None) -> Decided:
        """Compare and then write and read, all or nothing, in one partition.

        Raises: NotOnePartitionError, TooLargeError, StorageFullError and any ClientError.
        """
        from app import clienttxn

        return self._ask(clienttxn.call_of(transaction, token=idempotency_key))

    def scan(self, prefix: Text = "", **options: Unpack[ScanOptions]) -> Iterator[Item]:
        """The keys that begin so, in order over all partitions, with their values.

        Pages are asked for as they are needed, each from whichever gateway answers. A key that is written meanwhile may
        or may not be among them; all others are, once. Raises, while it goes on: any ClientError; ValueError at once.
        """
        from app.clientscan import Scan, items_of

        return self._pages(Scan(prefix, options, keys_only=False), items_of)

    def scan_keys(self, prefix: Text = "", **options: Unpack[ScanOptions]) -> Iterator[Key]:
        """As scan, without the values."""
        from app.clientscan import Scan, keys_of

        return self._pages(Scan(prefix, options, keys_only=True), keys_of)

    def scan_lines(
        self, prefix: Text = "", *, keys_only: bool = False, **options: Unpack[ScanOptions]
    ) -> Iterator[bytes]:
        """As scan, each key and what it holds as it was answered: a line of JSON, which import_lines takes.

        Cost: keeps a page. However long its reader pauses, it goes on where it was, at whichever gateway answers.
        """
        from app.clientscan import Scan, lines_of

        return self._pages(Scan(prefix, options, keys_only=keys_only), lines_of)

    def import_lines(self, lines: Iterable[bytes]) -> Iterator[Imported]:
        """Store the entries of lines as scan_lines gives them, part by part; tells after each part what came of it.

        Nobody else may write these keys meanwhile: a part whose outcome is unknown is sent again. Raises, while it goes
        on: any ClientError; all lines of the parts before it are stored then.
        """
        from app.clientimport import calls_of, check_lines

        check_lines(lines)
        return map(self._ask, calls_of(lines))

    def watch(self, *, key: Text | None = None, prefix: Text | None = None, after: str = "") -> Watch:
        """Every change of a key, or of all keys that begin so, once and in order within each partition.

        after   go on right after this id, instead of from now on

        Raises: InvalidArgumentError, if it is not of either a key or a prefix; what it raises later, Watch says.
        """
        from app.clientwatch import Following
        from app.watchstream import Watch

        watch = Watch(
            Following(key=key, prefix=prefix, after=after), self._stream_steps, self._gateways, self._on_pause
        )
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

    def place(self, partition: int, nodes: Sequence[str], *, allow_fewer: bool = False) -> dict[str, Any]:
        """Have these nodes hold a partition; the answer is that of `replicas`, and the moves come after it.

        allow_fewer   they may be fewer than the cluster's replication factor
        """
        return self._ask(calls.place(partition, nodes, allow_fewer=allow_fewer))

    def transfer(self, partition: int, node: str) -> dict[str, Any]:
        """Have one of its nodes lead a partition."""
        return self._ask(calls.transfer(partition, node))

    def learn(self) -> None:
        """Ask who else is in the cluster, and talk to those as well."""
        self._add(self.cluster())

    def probe(self, target: str) -> Response:
        """One GET of the first gateway, whatever its answer, without a second try."""
        steps = self._one_attempt(target)
        return self._run(lambda _: steps)

    def _pages(self, scan: Scan, read: Callable[[Page], list[T]]) -> Iterator[T]:
        while (call := scan.call()) is not None:
            page = self._ask(call)
            scan.took(page)
            yield from read(page)

    def _ask(self, call: Call[T]) -> T:
        return self._run(partial(self._steps, call))

    def _run(self, steps_of: Callable[[Callable[[], float]], Steps[T]]) -> T:
        with self._sender.turn() as turn:

            def pause(step: Pause) -> None:
                self._on_pause(step)
                turn.pause(step.seconds)

            try:
                return run(steps_of(lambda: turn.waited), self._sender.send, pause)
            finally:
                self._on_pause(None)


# What most never use, or need asyncio for, is imported when it is asked for: the command line cannot wait for it.
_LATER = {
    "AsyncClient": "app.asyncclient",
    "AsyncWatch": "app.asyncwatch",
    **dict.fromkeys(("Batch", "BatchResults"), "app.clientbatch"),
    "Change": "app.clientwatch",
    **dict.fromkeys(("Decided", "Transaction"), "app.clienttxn"),
    **dict.fromkeys(("Imported", "LineError"), "app.clientimport"),
    "ScanOptions": "app.clientscan",
    "Slot": "app.clientoperations",
    "Watch": "app.watchstream",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
