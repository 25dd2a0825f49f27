"""What is compacted next, and that the order of records survives it."""

import random

from engine import Options
from engine.compaction import Compaction, pick, pick_any
from engine.version import LEVELS, Table, Version, VersionEdit
from tests.engine.test_version import table, version

OPTIONS = Options(level0_tables_compact=4, level1_bytes_max=4096, level_bytes_ratio=10)


def test_nothing_is_done_within_the_bounds() -> None:
    here = version(
        *[(0, table(i, b"a", b"z")) for i in range(3)],
        (1, table(10, b"a", b"c", 4000)),
        (2, table(11, b"a", b"c", 40000)),
    )

    assert pick(here, OPTIONS) is None


def test_level_0_goes_as_a_whole_with_all_it_overlaps() -> None:
    here = version(
        *[(0, table(i, b"%d" % i, b"%d" % (i + 1))) for i in range(4)],
        (1, table(10, b"0", b"1")),
        (1, table(11, b"4", b"5")),
        (1, table(12, b"6", b"7")),
    )

    assert pick(here, OPTIONS) == Compaction(0, here.levels[0], here.levels[1][:2])


def test_the_level_furthest_over_its_bound_goes_first() -> None:
    here = version(
        *[(0, table(i, b"a", b"z")) for i in range(5)],
        (1, table(10, b"a", b"c", 12_000)),
        (2, table(11, b"b", b"c", 10)),
    )

    chosen = pick(here, OPTIONS)

    assert chosen == Compaction(1, here.levels[1], here.levels[2])


def test_the_table_with_the_least_below_it_goes_first() -> None:
    here = version(
        (1, table(1, b"a", b"c", 3000)),
        (1, table(2, b"d", b"f", 3000)),
        (2, table(3, b"a", b"b", 900)),
        (2, table(4, b"e", b"e", 800)),
    )

    assert pick(here, OPTIONS) == Compaction(1, here.levels[1][1:], here.levels[2][1:])


def test_tombstones_count_like_what_they_hide() -> None:
    """Else a level of them stays within its bound, and what was deleted on disk (RocksDB's compensated sizes).

    All tables have 10 records, which are 92 bytes large on average.
    """
    small = [table(number, b"%d" % number, b"%d!" % number, 400, tombstones=7) for number in (1, 2, 3, 4)]
    levels = [(1, each) for each in small] + [(2, table(9, b"1", b"5", 3000))]

    chosen = pick(version(*levels), OPTIONS)

    assert sum(each.byte_size for each in small) < OPTIONS.level1_bytes_max
    assert chosen is not None
    assert (chosen.level, len(chosen.upper), chosen.lower[0].number) == (1, 1, 9)


def test_of_tables_alike_the_one_with_most_tombstones_goes_first() -> None:
    tables = [
        (1, table(number, b"%d" % number, b"%d!" % number, 3000, tombstones=number % 3)) for number in range(1, 5)
    ]
    below = [(2, table(number + 10, b"%d" % number, b"%d!" % number, 1000)) for number in range(1, 5)]

    chosen = pick(version(*tables, *below), OPTIONS)

    assert chosen is not None
    assert [each.number for each in chosen.upper] == [2]


def test_a_table_with_nothing_to_merge_is_moved() -> None:
    alone = Compaction(1, (table(1, b"a", b"c"),), ())

    assert alone.is_move
    assert alone.edit(alone.upper) == VersionEdit(added=((2, alone.upper[0]),), removed=((1, 1),))
    assert not Compaction(1, alone.upper, (table(2, b"b", b"d"),)).is_move
    assert not Compaction(1, (table(1, b"a", b"c", tombstones=1),), ()).is_move
    assert Compaction(0, (table(2, b"d", b"e"), table(1, b"a", b"c")), ()).is_move
    assert not Compaction(0, (table(2, b"c", b"e"), table(1, b"a", b"c")), ()).is_move


def test_any_compaction_ends_with_one_level() -> None:
    rng = random.Random(7)
    here = Version()
    for number in range(40):
        level = rng.randrange(LEVELS)
        start = rng.randrange(200)
        edit = VersionEdit(added=((level, table(number, bytes([start]), bytes([start + rng.randrange(9)]))),))
        if not here.overlapping(level, edit.added[0][1].smallest, edit.added[0][1].largest):
            here = here.apply(edit)
    steps = 0
    while (compaction := pick_any(here)) is not None:
        inputs = (*compaction.upper, *compaction.lower)
        merged = Table(1000 + steps, 100, min(t.smallest for t in inputs), max(t.largest for t in inputs), 1, 0)
        here = here.apply(compaction.edit((merged,)))
        steps += 1
        assert steps < 500

    assert sum(map(bool, here.levels)) == 1
