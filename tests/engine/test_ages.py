"""What footers and numbers tell of the age of tables is true, whatever flush and compaction have done."""

import random
from dataclasses import replace
from itertools import combinations

import pytest

from engine import Options, SequenceNumber
from engine.ages import Origin, is_newer, newest_first
from engine.compaction import Compaction, pick, pick_any
from engine.keyspan import KeySpan
from engine.version import LEVELS, Table, Version, VersionEdit

OPTIONS = Options(level0_tables_compact=3, level0_tables_max=9, level1_bytes_max=4096, level_bytes_ratio=2)
KEYS = 60
TABLE_RECORDS = 8


class Tree:
    """The tables of an engine without their files: of each the age of every key.

    flaws   what the tables say where they claim more than they know
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.version = Version()
        self.ages: dict[int, dict[bytes, int]] = {}
        self.origins: dict[int, Origin] = {}
        self.sequence = 0
        self.number = 0
        self.clock = 0

    def make(self, records: dict[bytes, int], level: int | None, sequence: int) -> Table:
        self.number += 1
        keys = sorted(records)
        table = Table(self.number, 300 * len(keys), keys[0], keys[-1], len(keys), self.rng.choice([0, 1]))
        self.ages[self.number] = records
        self.origins[self.number] = Origin(self.number, KeySpan(first=keys[0], last=keys[-1]), level, sequence)
        return table

    def cut(self, records: dict[bytes, int], level: int | None, sequence: int) -> list[Table]:
        keys = sorted(records)
        parts = [keys[start : start + TABLE_RECORDS] for start in range(0, len(keys), TABLE_RECORDS)]
        return [self.make({key: records[key] for key in part}, level, sequence) for part in parts]

    def apply(self, added: list[tuple[int, Table]], removed: list[tuple[int, int]], flushed: int = 0) -> None:
        sequence = SequenceNumber(flushed) if flushed else None
        self.version = self.version.apply(VersionEdit(tuple(added), tuple(removed), sequence))

    def some_keys(self) -> list[bytes]:
        """Sometimes in a narrow range, so that tables can be moved."""
        low, width = self.rng.randrange(KEYS), self.rng.choice([3, 10, KEYS])
        keys = [b"%03d" % key for key in range(low, min(low + width, KEYS))]
        return self.rng.sample(keys, min(len(keys), self.rng.randint(1, 12)))

    def flush(self) -> None:
        self.sequence += 1
        table = self.make(dict.fromkeys(self.some_keys(), self.sequence), 0, self.sequence)
        self.apply([(0, table)], [], self.sequence)

    def compact(self, chosen: Compaction | None) -> None:
        if chosen is None:
            return
        version = self.version
        if chosen.is_move:
            self.version = version.apply(chosen.edit(chosen.upper))
            return
        # Flushes run beside it; their tables may get lower numbers than its own, and higher ones.
        for _ in range(self.rng.choice([0, 0, 1, 2])):
            self.flush()
        merged: dict[bytes, int] = {}
        for table in (*chosen.lower, *reversed(chosen.upper)):
            merged |= self.ages[table.number]
        if self.rng.random() < 0.3 and len(merged) > 1:
            # What was deleted is dropped.
            del merged[self.rng.choice(sorted(merged))]
        outputs = self.cut(merged, chosen.target, 0 if chosen.is_in_place else version.flushed_sequence)
        if self.rng.random() < 0.3:
            self.flush()
        self.version = self.version.apply(chosen.edit(tuple(outputs)))

    def expire(self) -> None:
        """Rewrite a table in its place."""
        tables = [(level, table) for level in range(1, LEVELS) for table in self.version.levels[level]]
        if tables:
            level, table = self.rng.choice(tables)
            self.compact(Compaction(level, (table,), (), is_in_place=True))

    def delete_range(self) -> None:
        """Level 0 goes into level 1 with what is in memory, and tables of all levels lose keys."""
        self.sequence += 1
        low, high = sorted(b"%03d" % self.rng.randrange(KEYS) for _ in range(2))
        merged = dict.fromkeys(self.some_keys(), self.sequence)
        upper = self.version.levels[0]
        smallest = min([*merged, *[table.smallest for table in upper]])
        largest = max([*merged, *[table.largest for table in upper]])
        lower = self.version.overlapping(1, smallest, largest)
        for table in (*upper, *reversed(lower)):
            older = {key: age for key, age in self.ages[table.number].items() if not low <= key < high}
            merged = older | merged
        removed = [(0, table.number) for table in upper] + [(1, table.number) for table in lower]
        added = [(1, table) for table in self.cut(merged, 1, self.sequence)]
        for level in range(1, LEVELS):
            for table in self.version.levels[level]:
                if table in lower or table.largest < low or table.smallest >= high:
                    continue
                rest = {key: age for key, age in self.ages[table.number].items() if not low <= key < high}
                removed.append((level, table.number))
                added += [(level, made) for made in self.cut(rest, level, self.sequence)]
        self.apply(added, removed, self.sequence)

    def ingest(self) -> None:
        """Tables that overlap nothing above a level go there as they are; their footers know nothing of it."""
        keys = self.some_keys()
        tables = self.cut(dict.fromkeys(keys, 0), None, 0)
        if self.rng.random() < 0.5:
            self.flush()
        self.sequence += 1
        for table in tables:
            self.ages[table.number] = dict.fromkeys(self.ages[table.number], self.sequence)
        smallest, largest = min(keys), max(keys)
        level = 0
        while level < LEVELS - 1 and not self.version.overlapping(level, smallest, largest):
            level += 1
        if self.version.overlapping(level, smallest, largest):
            level -= 1
        if level > 0:
            self.apply([(level, table) for table in tables], [])

    def step(self) -> None:
        act = self.rng.random()
        if act < 0.5:
            self.flush()
        elif act < 0.8:
            self.compact(pick(self.version, OPTIONS))
        elif act < 0.85:
            self.compact(pick_any(self.version))
        elif act < 0.9:
            self.expire()
        elif act < 0.95:
            self.delete_range()
        else:
            self.ingest()

    def newest_age(self, key: bytes) -> int:
        return max([self.ages[table.number].get(key, 0) for table in self.version.tables()])


@pytest.mark.parametrize("seed", range(60))
def test_what_is_known_is_true(seed: int) -> None:
    """Tables that share a key are compared with its true ages in both."""
    tree = Tree(random.Random(seed))
    known = asked = 0
    for _ in range(120):
        tree.step()
        live = [table.number for table in tree.version.tables()]
        for one, other in combinations(live, 2):
            shared = tree.ages[one].keys() & tree.ages[other].keys()
            if not shared:
                continue
            ages = {tree.ages[one][key] > tree.ages[other][key] for key in shared}
            answer = is_newer(tree.origins[one], tree.origins[other])
            assert answer is None or ages == {answer}
            opposite = is_newer(tree.origins[other], tree.origins[one])
            assert opposite == (None if answer is None else not answer)
            asked += 1
            known += answer is not None
    assert known > asked / 2


@pytest.mark.parametrize("seed", range(30))
def test_the_order_keeps_to_what_is_known(seed: int) -> None:
    tree = Tree(random.Random(seed))
    for _ in range(100):
        tree.step()
    origins = [tree.origins[table.number] for table in tree.version.tables()]

    ordered = newest_first(origins)

    assert sorted(ordered, key=origins.index) == origins
    for place, upper in enumerate(ordered):
        for lower in ordered[place + 1 :]:
            assert not upper.keys.overlaps(lower.keys) or is_newer(upper, lower) is not False


def test_most_keys_are_found_in_their_newest_table_all_the_same() -> None:
    """The guess is good: it is for the likelier of two."""
    right = wrong = 0
    for seed in range(20):
        tree = Tree(random.Random(1000 + seed))
        for _ in range(100):
            tree.step()
        ordered = newest_first([tree.origins[table.number] for table in tree.version.tables()])
        for key in (b"%03d" % number for number in range(KEYS)):
            holding = [origin.number for origin in ordered if key in tree.ages[origin.number]]
            if len(holding) > 1:
                newest = tree.ages[holding[0]][key] == tree.newest_age(key)
                right, wrong = right + newest, wrong + (not newest)
    assert right > 10 * wrong


def test_where_the_manifest_saw_a_table_last_counts_for_the_guess() -> None:
    moved = Origin(3, KeySpan(), 0, 3)
    compacted = Origin(9, KeySpan(), 2, 8)
    assert is_newer(moved, compacted) is None

    assert newest_first([compacted, moved]) == [moved, compacted]
    moved = replace(moved, place=4)
    assert newest_first([moved, compacted]) == [compacted, moved]


def test_a_table_that_tells_nothing_is_believed_last() -> None:
    silent, other = Origin(7, KeySpan()), Origin(3, KeySpan(), 4, 2)

    assert is_newer(silent, other) is is_newer(other, silent) is None
    assert newest_first([silent, other]) == [other, silent]


def test_footers_that_lie_in_a_circle_do_no_harm() -> None:
    circle = [Origin(1, KeySpan(), 0, 9), Origin(2, KeySpan(), 1, 8), Origin(3, KeySpan(), 1, 99)]

    assert sorted(newest_first(circle), key=lambda origin: origin.number) == circle
