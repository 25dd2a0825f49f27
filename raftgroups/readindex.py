"""Linearizable reads that share one quorum round.

Source: Ongaro 2014, section 6.4. A leader may answer a read once it knows that it still led
after the read arrived, and has applied all that was committed then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from raftgroups.ids import LogIndex

ReadT = TypeVar("ReadT")


@dataclass(frozen=True, slots=True)
class Probe:
    """Effect: ask every voter, as `round`, whether the leader's term is still theirs."""

    round: int


@dataclass(frozen=True, slots=True)
class Serve(Generic[ReadT]):
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
        self._echoed: dict[str, int] = dict.fromkeys(self._voters, 0)
        self._waiting: list[ReadT] = []
        self._rounds: dict[int, tuple[LogIndex, tuple[ReadT, ...]]] = {}
        self.round = 0

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

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
        if not self._rounds:
            return []
        confirmed = sorted(self._echoed.values())[(len(self._voters) - 1) // 2]
        return [Serve(reads, index) for index, reads in self._take(confirmed)]

    def _take(self, confirmed: int) -> list[tuple[LogIndex, tuple[ReadT, ...]]]:
        taken = []
        for number in list(self._rounds):
            if number > confirmed:
                break
            taken.append(self._rounds.pop(number))
        return taken

    def abandon(self) -> tuple[ReadT, ...]:
        """The reign is over: every read that was not served."""
        reads = tuple(read for _, waiting in self._rounds.values() for read in waiting)
        reads += tuple(self._waiting)
        self._rounds.clear()
        self._waiting = []
        return reads
