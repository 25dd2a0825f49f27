"""Which of two tables has the newer records, where the manifest that knows it is lost.

The footer of a table tells the level it was written for and a sequence (footer.py), its name a number.
Flush and compaction go by rules, and from these follows of two tables that share a key:

- Both were written for one level: the one with the higher number is newer. The other must have left
  that level before, downwards.
- One was flushed and has the higher number: it is newer, as whatever was in tables before it is older.
- One was flushed with a sequence above the other's: it is newer, as it was not there yet.
- One was flushed with a sequence up to the other's, which was compacted into level 1: it is older. All
  of level 0 goes into such a compaction, so it had been moved below before, and then past level 1.
- One was compacted for the upper level and has the higher number: it is newer, as the other was
  below it already.

Otherwise it cannot be known: the table for the upper level may still be there, and newer, or have been
moved below the other, and be older. The former is likelier.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from engine.keyspan import KeySpan
from engine.version import LEVELS


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a table comes from.

    keys       that it may have
    level      it was written for; None if that is not known
    sequence   of its footer; 0 if that is not known
    place      the level where it was seen last; None if that is not known
    """

    number: int
    keys: KeySpan
    level: int | None = None
    sequence: int = 0
    place: int | None = None

    @property
    def guess(self) -> tuple[int, int]:
        """What is newer is likely smaller."""
        # A table that does not even know itself is believed last.
        level = self.place if self.place is not None else self.level
        return LEVELS if level is None else level, -self.number


def is_newer(one: Origin, other: Origin) -> bool | None:
    """Whether its records of the keys that both have are newer; None if that cannot be known."""
    if one.level is None or other.level is None:
        return None
    if one.level == other.level:
        return one.number > other.number
    if one.level > other.level:
        is_older = is_newer(other, one)
        return None if is_older is None else not is_older
    if one.number > other.number:
        return True
    if one.level == 0 and one.sequence and other.sequence:
        if one.sequence > other.sequence:
            return True
        if other.level == 1:
            return False
    return None


def newest_first(origins: Sequence[Origin]) -> list[Origin]:
    """In an order that keeps to all that is known, and to what is likely in the rest.

    Cost: compares each with each.
    """
    newer_ones = [0] * len(origins)
    older: list[list[int]] = [[] for _ in origins]
    for second, two in enumerate(origins):
        for first, one in enumerate(origins[:second]):
            if not one.keys.overlaps(two.keys):
                continue
            answer = is_newer(one, two)
            if answer is not None:
                upper, lower = (first, second) if answer else (second, first)
                older[upper].append(lower)
                newer_ones[lower] += 1
    ready = [(origin.guess, place) for place, origin in enumerate(origins) if not newer_ones[place]]
    heapify(ready)
    ordered: list[int] = []
    while ready:
        _, place = heappop(ready)
        ordered.append(place)
        for lower in older[place]:
            newer_ones[lower] -= 1
            if not newer_ones[lower]:
                heappush(ready, (origins[lower].guess, lower))
    # The rules make no circle, unless a footer lies.
    left = sorted(set(range(len(origins))) - set(ordered), key=lambda place: origins[place].guess)
    return [origins[place] for place in ordered + left]
