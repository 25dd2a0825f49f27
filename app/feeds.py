"""Feeds: the changes of partitions, brought to this node once for all who watch them here.

A feed reads one partition from one replica: the one here, if it votes, else a peer's over the link, which it asks
anew whenever it has been answered. It goes to another replica, from where it has come, when its own is lost, stops
or moves, knows no leader, or does not reach back so far. So what is told is what was committed, once and in order.

Those who watch sit at feeds. One that is as far as a feed, or nearly so, joins it; one that has to catch up, or
takes its time to read, has a feed of its own until it is as far as another. A feed that is read by nobody but one
who has enough for now waits for it, and nobody else does: how far a slow reader may fall behind is up to the history.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.matching import Matcher, Pattern
from app.whereabouts import Whereabouts
from raftgroups import Host, PartitionId, Position, RaftGroup, Told, WatchCall, WatchReturn, tell

READ_BYTES = 64 << 10
WAIT_MS = 2_000
WAIT_MS_MAX = 10_000
CALLS_WAITING_MAX = 4_096
# How long a peer may take beyond what it was asked to wait.
PATIENCE_SECONDS = 1.0
# How long a replica may know no leader before another is asked, and all of them before they are asked again.
LEADERLESS_SECONDS = 1.0
RETRY_SECONDS = 0.25
# How often feeds look at their replicas at most: what happens meanwhile is told together, which costs less.
PUMP_SECONDS = 0.02
# Entries by which who joins a feed, or two that become one, may differ.
NEAR_ENTRIES = 64


class Watcher(Protocol):
    """Who watches."""

    @property
    def is_full(self) -> bool:
        """It has enough for now; once it has not, it says so to `Feeds.resume`."""

    def confirmed(self, seat: "Seat") -> None:
        """The history reaches back to where the seat begins; told once."""

    def told(self, seat: "Seat", told: Told) -> None: ...

    def gone(self, seat: "Seat", oldest: Position) -> None:
        """No replica in reach has the history from the seat's position on any more; the seat is closed."""


class Seat:
    """One who watches, in one partition.

    start   what lies before it is of no interest
    """

    __slots__ = ("feed", "partition", "pattern", "start", "watcher")

    def __init__(self, watcher: Watcher, partition: PartitionId, pattern: Pattern, start: Position) -> None:
        self.watcher = watcher
        self.partition = partition
        self.pattern = pattern
        self.start = start
        self.feed: Feed | None = None

    @property
    def position(self) -> Position:
        """Up to here everything has been told that matches."""
        return self.start if self.feed is None else max(self.start, self.feed.position)


class Feed:
    """One partition, read from one replica.

    position      up to here everything has been told
    source        the node whose replica is read, "" while there is none
    refused_by    the nodes whose replica cannot be read, and where the history of each begins; 0: unknown
    call          the number of the question that a peer has, 0 when it has none
    due           the next step is not to be taken before
    is_confirmed  a replica has been found that reaches back so far
    """

    def __init__(self, partition: PartitionId, position: Position) -> None:
        self.partition = partition
        self.position = position
        self.seats: dict[Seat, None] = {}
        self.matcher: Matcher[Seat] = Matcher()
        self.source = ""
        self.refused_by: dict[str, int] = {}
        self.call = 0
        self.due = 0.0
        self.leaderless_since: float | None = None
        self.is_confirmed = False

    @property
    def is_waiting(self) -> bool:
        """Its one reader has enough for now."""
        return len(self.seats) == 1 and next(iter(self.seats)).watcher.is_full

    def add(self, seat: Seat) -> None:
        seat.feed = self
        self.seats[seat] = None
        self.matcher.add(seat.pattern, seat)

    def remove(self, seat: Seat) -> None:
        seat.start = seat.position
        seat.feed = None
        del self.seats[seat]
        self.matcher.discard(seat.pattern, seat)


@dataclass(slots=True)
class _Waiting:
    """A question of a peer's that waits for something to happen."""

    call: int
    position: Position
    deadline: float
    reply: Callable[[WatchReturn], None]


class Feeds:
    """All feeds of this node, and the questions of its peers'."""

    def __init__(self, host: Host, where: Whereabouts) -> None:
        self._host = host
        self._name = host.name
        self._where = where
        self._transport = host.transport
        self._epoch = host.topology.epoch
        self._loop = asyncio.get_running_loop()
        self._feeds: dict[PartitionId, list[Feed]] = {}
        self._waiting: dict[PartitionId, list[_Waiting]] = {}
        self._watched: dict[PartitionId, RaftGroup] = {}
        self._calls: dict[int, Feed] = {}
        self._call_count = 0
        self._stirred: dict[PartitionId, None] = {}
        self._pump_is_due = False
        self._pumped_at = -math.inf  # never: a machine that has just booted counts its time from zero

    def open(self, watcher: Watcher, partition: int, pattern: Pattern, start: Position) -> Seat:
        """Tell `watcher` of every change from `start` on whose key matches; nothing of it before this returns."""
        seat = Seat(watcher, PartitionId(partition), pattern, start)
        near = [feed for feed in self._feeds.get(seat.partition, ()) if _may_join(start, feed)]
        feed = max(near, key=lambda feed: feed.position, default=None)
        if feed is None:
            feed = self._begin(seat.partition, start)
        feed.add(seat)
        if feed.is_confirmed:
            self._loop.call_soon(self._confirm, seat)
        return seat

    def close(self, seat: Seat) -> None:
        """Tell nothing more; a seat that is closed already stays so."""
        feed = seat.feed
        if feed is not None:
            feed.remove(seat)
            if not feed.seats:
                self._end(feed)

    def resume(self, seats: Iterable[Seat]) -> None:
        """Whoever sits there can take more."""
        for seat in seats:
            self._stir(seat.partition)

    def statistics(self) -> Mapping[str, float]:
        """Gauges by name."""
        feeds = [feed for feeds in self._feeds.values() for feed in feeds]
        return {"watch_seats": sum(len(feed.seats) for feed in feeds), "watch_feeds": len(feeds)}

    # The life of a feed.

    def _begin(self, partition: PartitionId, position: Position) -> Feed:
        feed = Feed(partition, position)
        self._feeds.setdefault(partition, []).append(feed)
        self._stir(partition)
        return feed

    def _end(self, feed: Feed) -> None:
        feeds = self._feeds[feed.partition]
        feeds.remove(feed)
        if not feeds:
            del self._feeds[feed.partition]
        self._calls.pop(feed.call, None)
        self._watch(feed.partition)

    def _confirm(self, seat: Seat) -> None:
        if seat.feed is not None:
            seat.watcher.confirmed(seat)

    def _deliver(self, feed: Feed, changes: Iterable[Told], position: Position) -> None:
        """Tell everybody who sits there."""
        feed.refused_by.clear()
        if not feed.is_confirmed:
            feed.is_confirmed = True
            for seat in list(feed.seats):
                seat.watcher.confirmed(seat)
        for told in changes:
            after = told.position
            if after <= feed.position:
                continue
            for seat in feed.matcher.find(told.change.key):
                if after <= seat.start:
                    continue
                if not seat.watcher.is_full:
                    seat.watcher.told(seat, told)
                elif len(feed.seats) == 1:
                    return
                else:
                    self._set_aside(feed, seat)
            feed.position = after
        feed.position = max(feed.position, position)
        self._merge(feed)

    def _set_aside(self, feed: Feed, seat: Seat) -> None:
        """Let the others go on without it."""
        feed.remove(seat)
        own = self._begin(feed.partition, seat.start)
        own.is_confirmed = True
        own.add(seat)

    def _merge(self, feed: Feed) -> None:
        """Have those who sit there join others who are as far, or a little behind."""
        for other in self._feeds.get(feed.partition, ()):
            if other is not feed and len(other.seats) >= len(feed.seats) and _may_join(feed.position, other):
                for seat in list(feed.seats):
                    feed.remove(seat)
                    other.add(seat)
                self._end(feed)
                return

    # Where it reads.

    def _advance(self, feed: Feed) -> None:
        """Take the next step, if one can be taken now."""
        now = self._loop.time()
        # Who waits to begin must be told that it can, whatever it has heard of other partitions.
        if feed.call or (feed.is_waiting and feed.is_confirmed) or now < feed.due:
            return
        group = self._where.replica(feed.partition)
        if feed.source == self._name and group is None:
            feed.source = ""
        if feed.source != self._name and feed.source and not self._transport.is_up(feed.source):
            feed.source = ""
        if not feed.source:
            self._choose(feed, now)
        if feed.source == self._name and group is not None:
            self._read(feed, group)
        elif feed.source:
            self._ask(feed, now)

    def _choose(self, feed: Feed, now: float) -> None:
        """Find a replica that has not refused yet: the one here first."""
        voters = self._host.placement_of(feed.partition).voters
        here = [self._name] if self._where.replica(feed.partition) is not None else []
        able = here + [name for name in voters if name != self._name and self._transport.is_up(name)]
        left = [name for name in able if name not in feed.refused_by]
        if left:
            feed.source = left[0]
            feed.leaderless_since = None
            return
        oldest = [feed.refused_by[name] for name in able]
        feed.refused_by.clear()
        feed.due = now + RETRY_SECONDS
        if oldest and all(oldest):
            self._give_up(feed, Position(min(oldest)))

    def _give_up(self, feed: Feed, oldest: Position) -> None:
        for seat in list(feed.seats):
            if seat.position >= oldest:
                # It is ahead of the others.
                feed.remove(seat)
                self._begin(feed.partition, seat.start).add(seat)
            else:
                feed.remove(seat)
                seat.watcher.gone(seat, oldest)
        self._end(feed)

    def _refuse(self, feed: Feed, oldest: int) -> None:
        """Its replica cannot be read; another one is looked for at once."""
        feed.refused_by[feed.source] = oldest
        feed.source = ""
        self._stir(feed.partition)

    def _read(self, feed: Feed, group: RaftGroup) -> None:
        if self._watched.get(feed.partition) is not group:
            self._watch(feed.partition)
        telling = tell(group, feed.position, READ_BYTES, feed.matcher.matches)
        if telling.oldest is not None:
            self._refuse(feed, telling.oldest.entry)
            return
        self._deliver(feed, telling.changes, telling.position)
        if feed.position.entry <= group.machine.applied_index:
            self._stir(feed.partition)

    def _ask(self, feed: Feed, now: float) -> None:
        self._call_count += 1
        feed.call = self._call_count
        wait_ms = WAIT_MS if feed.is_confirmed else 0
        feed.due = now + wait_ms / 1_000 + PATIENCE_SECONDS
        self._calls[feed.call] = feed
        call = WatchCall(feed.call, feed.partition, self._epoch, wait_ms, *feed.position)
        self._transport.send(feed.source, call)

    def returned(self, peer: str, message: WatchReturn) -> None:
        """A peer answers."""
        feed = self._calls.get(message.call)
        if feed is None or feed.source != peer:
            return
        self._forget_call(feed)
        if message.refusal or message.oldest:
            self._refuse(feed, message.oldest)
        else:
            self._deliver(feed, message.changes, Position(message.entry, message.ordinal))
            self._stir(feed.partition)

    def _forget_call(self, feed: Feed) -> None:
        self._calls.pop(feed.call, None)
        feed.call, feed.due = 0, 0.0

    # What peers ask.

    def called(self, message: WatchCall, reply: Callable[[WatchReturn], None]) -> None:
        """A peer wants to be told what the replica here has applied."""
        partition, position = PartitionId(message.partition), Position(message.entry, message.ordinal)
        waiting = self._waiting.setdefault(partition, [])
        deadline = self._loop.time() + min(message.wait_ms, WAIT_MS_MAX) / 1_000
        question = _Waiting(message.call, position, deadline, reply)
        if message.epoch != self._epoch:
            _refuse(question, f"the epoch here is {self._epoch}")
        elif len(waiting) >= CALLS_WAITING_MAX:
            _refuse(question, "this node has more questions waiting than it can take")
        elif not self._answer(partition, question):
            if message.wait_ms:
                waiting.append(question)
            else:
                reply(WatchReturn(question.call, [], *question.position))
        if not waiting:
            del self._waiting[partition]
        self._watch(partition)

    def _answer(self, partition: PartitionId, question: _Waiting) -> bool:
        """Answer, if there is something to say."""
        group = self._where.replica(partition)
        if group is None:
            _refuse(question, "there is no replica here that votes")
            return True
        telling = tell(group, question.position, READ_BYTES)
        question.position = telling.position
        if telling.oldest is None and not telling.changes:
            return False
        oldest = telling.oldest.entry if telling.oldest is not None else 0
        question.reply(WatchReturn(question.call, telling.changes, *telling.position, oldest))
        return True

    def _time_out(self, partition: PartitionId, question: _Waiting) -> None:
        """Nothing has happened, or nothing that is known here."""
        group = self._where.replica(partition)
        if group is None or group.leader is None:
            _refuse(question, "the replica here knows no leader")
        else:
            question.reply(WatchReturn(question.call, [], *question.position))

    # When something happens.

    def _watch(self, partition: PartitionId) -> None:
        """Be called by the replica here as long as somebody watches it."""
        feeds = self._feeds.get(partition, ())
        is_wanted = partition in self._waiting or any(feed.source == self._name for feed in feeds)
        group = self._host.groups.get(partition) if is_wanted else None
        before = self._watched.get(partition)
        if before is group:
            return
        if before is not None:
            before.on_applied = None
            del self._watched[partition]
        if group is not None:
            group.on_applied = lambda: self._stir(partition)
            self._watched[partition] = group

    def _stir(self, partition: PartitionId) -> None:
        self._stirred[partition] = None
        if not self._pump_is_due:
            self._pump_is_due = True
            pause = self._pumped_at + PUMP_SECONDS - self._loop.time()
            if pause > 0:
                self._loop.call_later(pause, self._pump)
            else:
                self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_is_due = False
        self._pumped_at = self._loop.time()
        stirred, self._stirred = self._stirred, {}
        for partition in stirred:
            for feed in list(self._feeds.get(partition, ())):
                if feed.seats:
                    self._advance(feed)
            waiting = self._waiting.get(partition)
            if waiting is not None:
                self._keep_waiting(partition, [one for one in waiting if not self._answer(partition, one)])

    def _keep_waiting(self, partition: PartitionId, waiting: list[_Waiting]) -> None:
        if waiting:
            self._waiting[partition] = waiting
        else:
            del self._waiting[partition]
            self._watch(partition)

    def tick(self, now: float) -> None:
        """Time has passed."""
        for partition, feeds in list(self._feeds.items()):
            for feed in feeds:
                self._look(feed, now)
            self._watch(partition)
            self._stir(partition)
        for partition, waiting in list(self._waiting.items()):
            overdue = [one for one in waiting if one.deadline <= now]
            for one in overdue:
                self._time_out(partition, one)
            if overdue:
                self._keep_waiting(partition, [one for one in waiting if one.deadline > now])

    def _look(self, feed: Feed, now: float) -> None:
        """Leave a replica that has fallen silent."""
        if feed.call and feed.due <= now:
            self._forget_call(feed)
            self._refuse(feed, 0)
        elif feed.source == self._name:
            group = self._where.replica(feed.partition)
            if group is not None and group.leader is not None:
                feed.leaderless_since = None
            elif feed.leaderless_since is None:
                feed.leaderless_since = now
            elif now - feed.leaderless_since > LEADERLESS_SECONDS:
                self._refuse(feed, 0)

    def peer_lost(self, peer: str) -> None:
        """What it was asked is lost."""
        for feed in [feed for feed in self._calls.values() if feed.source == peer]:
            self._forget_call(feed)
            self._refuse(feed, 0)


def _may_join(position: Position, feed: Feed) -> bool:
    """Whether who is at `position` may sit at a feed that is as far or a little behind."""
    return not feed.is_waiting and feed.position <= position and position.entry - feed.position.entry <= NEAR_ENTRIES


def _refuse(question: _Waiting, why: str) -> None:
    question.reply(WatchReturn(question.call, [], *question.position, 0, why))
