"""Linearizable reads that share one quorum round.

Source: Ongaro 2014, section 6.4. A leader may answer a read once it knows that it still led
after the read arrived, and has applied all that was committed then.
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from raftgroups.ids import LogIndex

ReadT = TypeVar("ReadT")


class Probe(msgspec.Struct, frozen=True):
    """Effect: ask every voter, as `round`, whether the leader's term is still theirs."""

    round: int


class Serve(msgspec.Struct, Generic[ReadT], frozen=True):
    """Effect: `reads` may be answered once `index` has been applied."""

    reads: tuple[ReadT, ...]
    index: LogIndex


class ReadIndex(Generic[ReadT]):
    """The reads of one reign. A new leader starts with a new ReadIndex.

    Reads gather until `launch`; rounds may overlap, and an echo of a later round confirms
    every earlier one, because it was sent later still.

    Invariant: a read joins a round probed after it arrived, never one already in flight,
    because a write may be acknowledged between that probe and the read.
    """

    def __init__(self, voters: Iterable[str], leader: str) -> None:
        self._voters = frozenset(voters)
        self._leader = leader
        self._echoed = dict.fromkeys(self._voters, 0)
        self._waiting: list[ReadT] = []
        self._rounds: dict[int, tuple[LogIndex, tuple[ReadT, ...]]] = {}
        self._held: list[tuple[int, Serve[ReadT]]] = []
        self.round = 0

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Reads wait: for a round, in one, or for what is due."""
        return bool(self._waiting or self._rounds or self._held)

    def arrived(self, read: ReadT) -> None:
        self._waiting.append(read)

    def launch(self, index: LogIndex) -> list[Probe | Serve[ReadT]]:
        """Start a round for all that wait; `index` is what a read must see, taken now."""
        if not self._waiting:
            return []
        self.round += 1
        self._rounds[self.round] = (index, tuple(self._waiting))
        self._waiting = []
        served = self.echoed(self._leader, self.round)
        return [*served] if served else [Probe(self.round)]

    def echoed(self, voter: str, met: int) -> list[Serve[ReadT]]:
        """`voter` still had the leader's term when it met round `met`."""
        if voter not in self._voters or met <= self._echoed[voter]:
            return []
        self._echoed[voter] = met
        return self._confirmed() if self._rounds else []

    def _confirmed(self) -> list[Serve[ReadT]]:
        confirmed = sorted(self._echoed.values())[(len(self._voters) - 1) // 2]
        return [Serve(reads, index) for index, reads in self._take(confirmed)]

    def _take(self, confirmed: int) -> list[tuple[LogIndex, tuple[ReadT, ...]]]:
        taken = []
        for number in list(self._rounds):
            if number > confirmed:
                break
            taken.append(self._rounds.pop(number))
        return taken

    @property
    def has_held(self) -> bool:
        return bool(self._held)

    def hold(self, until_ms: int, serve: Serve[ReadT]) -> None:
        """These are confirmed, but must see what is due by `until_ms`, in state-machine time."""
        self._held.append((until_ms, serve))

    def release(self, has_told: Callable[[int], bool]) -> list[Serve[ReadT]]:
        """Those that see it now: `has_told` says whether what is due by a time has been applied."""
        held, self._held = self._held, []
        ready: list[Serve[ReadT]] = []
        for until_ms, serve in held:
            if has_told(until_ms):
                ready.append(serve)
            else:
                self._held.append((until_ms, serve))
        return ready

    def next_round(self) -> int:
        """A round without reads of its own; its echo confirms those before it, and dates a lease."""
        self.round += 1
        return self.round

    def reconfigure(self, voters: Iterable[str]) -> list[Serve[ReadT]]:
        """Other voters count from now on, for the rounds in flight too.

        Neighbouring configurations' majorities meet, so whichever confirms a round, no other
        leader had been elected when it was probed.
        """
        self._voters = frozenset(voters)
        self._echoed = {voter: self._echoed.get(voter, 0) for voter in self._voters}
        return self._confirmed() if self._rounds else []

    def forget(self, is_gone: Callable[[ReadT], bool]) -> None:
        """Nobody waits any more for the reads that are gone."""
        self._waiting = [read for read in self._waiting if not is_gone(read)]
        self._rounds = {
            number: (index, tuple(read for read in reads if not is_gone(read)))
            for number, (index, reads) in self._rounds.items()
        }
        self._held = [
            (until_ms, Serve(tuple(read for read in held.reads if not is_gone(read)), held.index))
            for until_ms, held in self._held
        ]

    def abandon(self) -> tuple[ReadT, ...]:
        """The reign is over: every read that was not served."""
        reads = tuple(read for _, held in self._held for read in held.reads)
        reads += tuple(read for _, waiting in self._rounds.values() for read in waiting)
        reads += tuple(self._waiting)
        self._rounds.clear()
        self._held, self._waiting = [], []
        return reads


class Questions(Generic[ReadT]):
    """A follower's side: reads that wait until its leader has named an index.

    Invariant: a read joins a question asked after it arrived.
    """

    def __init__(self) -> None:
        self._waiting: list[ReadT] = []
        self._asked: dict[int, tuple[ReadT, ...]] = {}
        self._count = 0

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def arrived(self, read: ReadT) -> None:
        self._waiting.append(read)

    def ask(self) -> int:
        """One question for all that wait; gives its number."""
        self._count += 1
        self._asked[self._count] = tuple(self._waiting)
        self._waiting = []
        return self._count

    def answered(self, question: int) -> tuple[ReadT, ...]:
        """The reads that waited for it; none, if it was abandoned since."""
        return self._asked.pop(question, ())

    def abandon(self) -> tuple[ReadT, ...]:
        """There is no leader any more who would answer."""
        reads = tuple(read for asked in self._asked.values() for read in asked) + tuple(self._waiting)
        self._asked, self._waiting = {}, []
        return reads
