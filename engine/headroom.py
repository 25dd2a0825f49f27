"""Headroom: what flush and compaction need of a disk, and the compactions that make do with little.

A compaction writes before it removes: for a while it takes as much as all it merges. Where that is not
there the same is done in smaller steps: the oldest table of level 0 alone, a single table of the level
below that is in its way, or, where even that overlaps too many tables, a table cut into pieces that overlap
few. None of them needs more than `headroom_bytes`, and each brings its records down, so that they end.

While there is less than that, nothing but deletes should be written: what is held back is what they
need to give their space back.
"""

from collections.abc import Iterator

from engine.compaction import Compaction, from_table
from engine.files import Space
from engine.options import Options
from engine.version import Version

# A table that overlaps more tables is cut into pieces, each of which overlaps one.
_OVERLAP_MAX = 2
# Tables may be a little larger than they should be.
_STEP_TABLES = _OVERLAP_MAX + 2
# New tables, a log, a manifest and the file that names it.
FILES_NEEDED = 8


def needed_bytes(compaction: Compaction) -> int:
    """What a compaction may take of the disk until it has removed what it merges."""
    if compaction.is_move:
        return 0
    return sum(table.byte_size for table in (*compaction.upper, *compaction.lower))


def headroom_bytes(version: Version, options: Options, memtable_bytes: int) -> int:
    """What must be free for deletes to get their space back, after memtables of this size.

    That is a step of a compaction, and what the flush of one memtable and the log of the next take.
    """
    tables = list(version.tables())
    largest = max((table.byte_size for table in version.levels[0]), default=0)
    step = min(sum(table.byte_size for table in tables), _STEP_TABLES * options.table_bytes_max + largest)
    return step + 2 * memtable_bytes


def is_enough(space: Space | None, byte_size: int) -> bool:
    """Whether so much can be written."""
    if space is None:
        return True
    return space.free_bytes >= byte_size and (space.free_files is None or space.free_files >= FILES_NEEDED)


def fits(compaction: Compaction, space: Space | None) -> bool:
    """Whether there is room for a compaction, whatever it comes to."""
    return compaction.is_move or is_enough(space, needed_bytes(compaction))


def smaller(version: Version, compaction: Compaction) -> Iterator[Compaction]:
    """Compactions on the way to one that does not fit, those that bring more first."""
    level = compaction.level
    if compaction.is_in_place:
        # There is no smaller way to rewrite one table.
        return
    if level == 0:
        # Alone, as newer tables may stay above it.
        oldest = version.levels[0][-1]
        compaction = from_table(version, 0, oldest, compaction.clock_ms)
        yield compaction
        level, in_the_way = 1, compaction.lower
    else:
        in_the_way = version.levels[level]
    steps = [from_table(version, level, table, compaction.clock_ms) for table in in_the_way]
    yield from sorted(steps, key=needed_bytes)
    for step in steps:
        if len(step.lower) > _OVERLAP_MAX:
            borders = tuple(table.largest for table in step.lower[:-1])
            yield Compaction(level, step.upper, (), step.clock_ms, is_in_place=True, borders=borders)
