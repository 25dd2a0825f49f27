"""Watches: the open ones of this node, and what each has yet to hand out."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from app.changes import Renderer
from app.feeds import Seat, Watcher
from app.matching import Pattern
from app.problems import DRAINING, HISTORY_GONE, NOT_READY, OVERLOADED, Problem, problem_of
from app.settings import Limits
from app.views import ClusterView
from app.watchid import WatchIds, encode_body, encode_position
from app.watching import WatchRequest, bad_id
from app.watchledger import Ledger
from raftgroups import NoQuorumError, PartitionId, Position, RaftGroupError, Reading, Told

HEARTBEAT_SECONDS = 10.0
# How far the ids of a busy watch may be behind in the partitions that have nothing to tell: history goes on there too.
MARK_SECONDS = 1.0
# In more partitions an id of all positions is too long for every event: most get a short one, which names a segment of
# the ledger. So many events, or so long, it has; and as often the id is whole, which no ledger is needed for.
WHOLE_PARTITIONS_MAX = 16
SEGMENT_EVENTS = 256
SEGMENT_SECONDS = 10.0


class FeedsLike(Protocol):
    """What a watch asks of Feeds."""

    def open(self, watcher: Watcher, partition: int, pattern: Pattern, start: Position) -> Seat: ...

    def close(self, seat: Seat) -> None: ...

    def resume(self, seats: list[Seat]) -> None: ...


class Store(Protocol):
    """What the watches ask of a Coordinator."""

    @property
    def feeds(self) -> FeedsLike: ...

    @property
    def ledger(self) -> Ledger: ...

    def newest(self, partition: int, deadline: float, done: Callable[[Reading | RaftGroupError], None]) -> None: ...

    def partition_of(self, key: bytes) -> int: ...

    def partitions_of(self, prefix: bytes) -> Sequence[int]: ...

    def cluster(self) -> ClusterView: ...


class Watch:
    """One client's watch, from its beginning to its end.

    first_id  of where it begins
    end       why it ends, None while it goes on; what waits is handed out first
    push      tries to send to whoever waits for more, without waking him; False: it cannot be sent now
    """

    def __init__(self, store: Store, ids: WatchIds, renderer: Renderer, queue_bytes_max: int, is_stream: bool) -> None:
        self._store = store
        self._feeds = store.feeds
        self._ids = ids
        self._renderer = renderer
        self._queue_bytes_max = queue_bytes_max
        self._is_stream = is_stream
        self._seats: list[Seat] = []
        self._marks: list[tuple[Position, bytes]] = []
        self._unconfirmed: set[int] = set()
        self._oldest: dict[int, Position] = {}
        self._has_begun = False
        self._queue: list[bytes] = []
        self._size = 0
        self._loop = asyncio.get_running_loop()
        self._marked_at = 0.0
        self._segment = b""
        self._segment_at = 0.0
        self._segment_count = 0
        self._since_whole = 0
        self._woken = asyncio.Event()
        self._is_short = False
        self._is_awaited = False  # all that was handed out before has been sent
        self._has_pushed = False
        self.first_id = b""
        self.end: Problem | None = None
        self.push: Callable[[bytes], bool] | None = None

    # What it asks for.

    async def begin(self, pattern: Pattern, positions: Mapping[int, Position], deadline: float) -> Problem | None:
        """Sit down at every partition; gives the problem, if the history does not reach back so far."""
        self._unconfirmed = set(positions)
        self._is_short = len(positions) > WHOLE_PARTITIONS_MAX
        for partition, position in sorted(positions.items()):
            self._seats.append(self._feeds.open(self, partition, pattern, position))
            self._marks.append((position, encode_position(position)))
        self.first_id = self.id()
        try:
            async with asyncio.timeout_at(deadline):
                while self._unconfirmed and self.end is None:
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            # The last may have been confirmed in this very moment.
            if self._unconfirmed:
                return problem_of(NoQuorumError(PartitionId(min(self._unconfirmed))), writes=False)
        if self._oldest:
            return self._too_old()
        self._has_begun = True
        return self.end

    async def take(self, seconds: float) -> list[bytes]:
        """What there is to hand out, as soon as there is something, or nothing after so many seconds of silence."""
        self._is_awaited = True
        while not self._queue and self.end is None:
            self._has_pushed = False
            self._woken.clear()
            with contextlib.suppress(TimeoutError):  # something may have come in this very moment
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            if not self._has_pushed:
                break
        self._is_awaited = False
        was_full = self.is_full
        taken, self._queue, self._size = self._queue, [], 0
        if was_full:
            self._feeds.resume(self._seats)
        return taken

    def id(self) -> bytes:
        """Up to where it has been told everything, waiting in the queue or taken from it."""
        self._marked_at = self._loop.time()
        for seat in self._seats:
            self._mark(seat, seat.position)
        return self._encode()

    def _mark(self, seat: Seat, position: Position) -> None:
        place = seat.partition - self._seats[0].partition
        if self._marks[place][0] != position:
            self._marks[place] = (position, encode_position(position))

    def _encode(self) -> bytes:
        return self._ids.encode(self._seats[0].partition, [mark for _, mark in self._marks])

    def stop(self, why: Problem) -> None:
        """End it."""
        if self.end is None:
            self.end = why
            self._woken.set()

    def close(self) -> None:
        """Leave every seat."""
        for seat in self._seats:
            self._feeds.close(seat)

    # What the feeds tell.

    @property
    def is_full(self) -> bool:
        return self._size >= self._queue_bytes_max

    def confirmed(self, seat: Seat) -> None:
        self._unconfirmed.discard(seat.partition)
        if not self._unconfirmed:
            self._woken.set()

    def told(self, seat: Seat, told: Told) -> None:
        rendering = self._renderer.render(told)
        chunk = rendering.document
        if self._is_stream:
            # The feed has not moved on yet: its own position is that after this change.
            id_ = self._id_after(seat, told.position)
            chunk = b"event: %b\nid: %b\ndata: %b\n\n" % (rendering.event, id_, chunk)
        # What has a short id waits a turn, in which the others hear what it stands for.
        is_pushed = self._is_awaited and not self._queue and not self._is_short
        if is_pushed and self.push is not None and self.push(chunk):
            self._has_pushed = True
            return
        self._queue.append(chunk)
        self._size += len(chunk)
        self._woken.set()

    def gone(self, seat: Seat, oldest: Position) -> None:
        self._oldest[seat.partition] = oldest
        self.confirmed(seat)
        if self._has_begun:
            self.stop(self._too_old())

    def _id_after(self, seat: Seat, position: Position) -> bytes:
        seat.start = position
        if self._is_short:
            return self._short_id_after(seat, position)
        if self._loop.time() - self._marked_at > MARK_SECONDS:
            return self.id()
        # The other partitions have told nothing since they were marked, or they would be.
        self._mark(seat, position)
        return self._encode()

    def _short_id_after(self, seat: Seat, position: Position) -> bytes:
        self._since_whole += 1
        is_over = self._segment_count >= SEGMENT_EVENTS or self._loop.time() - self._segment_at > SEGMENT_SECONDS
        if self._segment and not is_over:
            self._mark(seat, position)
            self._segment_count = self._store.ledger.add(self._segment, seat.partition, position)
        if not self._segment or is_over or not self._segment_count:
            whole = self.id()
            self._segment = self._store.ledger.begin(
                encode_body(self._seats[0].partition, [mark for _, mark in self._marks])
            )
            self._segment_at, self._segment_count = self._marked_at, 0
            if self._since_whole >= SEGMENT_EVENTS:
                self._since_whole = 0
                return whole
        return self._ids.encode_short(self._segment, self._segment_count)

    def _too_old(self) -> Problem:
        """Says where the history begins that there still is."""
        places = [(seat, self._oldest.get(seat.partition, seat.position)) for seat in self._seats]
        oldest = self._ids.encode(self._seats[0].partition, [encode_position(position) for _, position in places])
        detail = "the changes after this id are not kept any more: read what is there now, or go on from `oldest`"
        return Problem(HISTORY_GONE, detail, {"oldest": oldest.decode()})


class Watches:
    """The open watches of one node.

    heartbeat_seconds   of silence after which a stream says something
    """

    def __init__(self, limits: Limits) -> None:
        self.heartbeat_seconds = HEARTBEAT_SECONDS
        self._limits = limits
        self._store: Store | None = None
        self._ids: WatchIds | None = None
        self._renderer = Renderer()
        self._watches: dict[Watch, None] = {}
        self._is_ending = False

    def open(self, store: Store) -> None:
        """Watch what `store` holds from now on; before, everybody is told to come back."""
        self._store = store

    async def begin(self, request: WatchRequest) -> Watch | Problem:
        """A watch that has begun; it must be ended."""
        store = self._store
        if store is None:
            return Problem(NOT_READY, "the node is still starting")
        if self._is_ending:
            return _draining()
        if self._ids is None:
            self._ids = WatchIds(store.cluster().cluster_id)
        if len(self._watches) >= self._limits.watches_max:
            detail = f"{self._limits.watches_max} watches are open already"
            return Problem(OVERLOADED, detail, {"limit": self._limits.watches_max})
        is_stream, bytes_max = request.is_stream, self._limits.watch_queue_bytes_max
        watch = Watch(store, self._ids, self._renderer, bytes_max, is_stream)
        self._watches[watch] = None
        has_begun = False
        try:
            problem = await self._begin(store, self._ids, watch, request)
            has_begun = problem is None
        finally:
            if not has_begun:
                self.end(watch)
        return watch if problem is None else problem

    async def _begin(self, store: Store, ids: WatchIds, watch: Watch, request: WatchRequest) -> Problem | None:
        deadline = asyncio.get_running_loop().time() + request.timeout_seconds
        pattern = request.pattern
        text = pattern.text
        partitions = store.partitions_of(text) if pattern.is_prefix else [store.partition_of(text)]
        if request.after is None:
            try:
                positions = await _newest(store, partitions, deadline)
            except RaftGroupError as error:
                return problem_of(error, writes=False)
        else:
            short = ids.decode_short(request.after)
            decoded = ids.decode(request.after) if short is None else store.ledger.find(*short)
            if short is not None and decoded is None:
                return _unknown(ids, partitions)
            if decoded is None or decoded.keys() != set(partitions):
                return bad_id(request)
            positions = decoded
        return await watch.begin(pattern, positions, deadline)

    def end(self, watch: Watch) -> None:
        """It is over; one that has ended stays so."""
        self._watches.pop(watch, None)
        watch.close()

    def end_all(self) -> None:
        """End all at once, and begin no other: the node stops."""
        self._is_ending = True
        for watch in list(self._watches):
            watch.stop(_draining())

    def statistics(self) -> Mapping[str, float]:
        """Gauges by name."""
        return {"watches_open": len(self._watches)}


def _unknown(ids: WatchIds, partitions: Sequence[int]) -> Problem:
    """A short id that all nodes which knew it have forgotten."""
    oldest = ids.encode(partitions[0], [encode_position(Position(0))] * len(partitions))
    detail = (
        "no node knows any more what this short id stands for: go on from an earlier id that begins with w1., or read "
        "what is there now; `oldest` asks for all changes that are kept"
    )
    return Problem(HISTORY_GONE, detail, {"oldest": oldest.decode()})


def _draining() -> Problem:
    return Problem(DRAINING, "the node is shutting down: go on from the last id at another one")


async def _newest(store: Store, partitions: Sequence[int], deadline: float) -> dict[int, Position]:
    """After everything that has been acknowledged. Raises: RaftGroupError."""
    loop = asyncio.get_running_loop()
    answers: list[asyncio.Future[Reading | RaftGroupError]] = []
    for partition in partitions:
        answer: asyncio.Future[Reading | RaftGroupError] = loop.create_future()
        answers.append(answer)
        store.newest(partition, deadline, _settle(answer))
    positions: dict[int, Position] = {}
    for partition, answer in zip(partitions, answers, strict=True):
        found = await answer
        if isinstance(found, RaftGroupError):
            raise found
        positions[partition] = Position(found.receipt.index + 1)
    return positions


def _settle(answer: "asyncio.Future[Reading | RaftGroupError]") -> Callable[[Reading | RaftGroupError], None]:
    def done(found: Reading | RaftGroupError) -> None:
        if not answer.done():  # who asked may have left
            answer.set_result(found)

    return done
