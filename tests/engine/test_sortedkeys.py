"""The keys of a memtable in order: all that it has, whenever they came."""

import random
import threading
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sortedkeys import SortedKeys
from tests.strategies import keys

Records = dict[bytes, bytes | None]


def everything(of: SortedKeys, *, reverse: bool = False, limit: int = 100) -> list[bytes]:
    """All of them, part by part."""
    found: list[bytes] = []
    start, end = b"", None
    while part := of.last(start, end, limit) if reverse else of.first(start, end, limit):
        assert len(part) <= limit
        if reverse:
            end = part[0]
            found = part + found
        else:
            start = part[-1] + b"\0"
            found += part
    return found


def random_keys(count: int, seed: int = 1) -> Records:
    rng = random.Random(seed)
    return {rng.randbytes(8): b"" for _ in range(count)}


@given(st.lists(st.lists(keys, max_size=20), max_size=8), st.integers(1, 9), st.booleans())
def test_what_is_added_later_is_sorted_in(parts: list[list[bytes]], limit: int, reverse: bool) -> None:
    records: Records = {}
    of = SortedKeys(records)

    for part in parts:
        records.update(dict.fromkeys(part, b""))
        of.update()
        assert everything(of, reverse=reverse, limit=limit) == sorted(records)
        assert of.count == len(records)


@given(st.lists(keys), st.one_of(st.just(b""), keys), st.one_of(st.none(), keys), st.integers(1, 9))
def test_the_first_and_the_last_within_bounds(
    content: list[bytes], start: bytes, end: bytes | None, limit: int
) -> None:
    of = SortedKeys(dict.fromkeys(content, b""))
    of.update()
    within = [key for key in sorted(set(content)) if start <= key and (end is None or key < end)]

    first, last = of.first(start, end, limit), of.last(start, end, limit)

    assert first == within[: len(first)]
    assert last == within[len(within) - len(last) :]
    assert bool(first) == bool(last) == bool(within)


@pytest.mark.parametrize("order", ["random", "ascending", "descending", "within one prefix"])
def test_many_are_kept_in_short_chunks(order: str) -> None:
    """A long one would cost every new key a long move, and other threads a long sort."""
    records = random_keys(5000)
    of = SortedKeys(records)
    of.update()
    later = {b"\x80" + key if order == "within one prefix" else key: b"" for key in random_keys(20_000, seed=2)}
    ordered = sorted(later) if order == "ascending" else sorted(later, reverse=True)
    added = ordered if order in {"ascending", "descending"} else list(later)

    for low in range(0, len(added), 3000):
        records.update(dict.fromkeys(added[low : low + 3000], b""))
        of.update()
        assert everything(of, limit=10_000) == sorted(records)

    assert max(map(len, of._chunks)) <= 4096
    assert everything(of, reverse=True, limit=10_000) == sorted(records)


def test_bounds_may_fall_between_chunks() -> None:
    records = random_keys(10_000)
    of = SortedKeys(records)
    of.update()
    ordered = sorted(records)
    assert len(of._chunks) > 5

    for lower, upper in pairwise(of._chunks):
        assert of.first(upper[0], None, 2) == upper[:2]
        assert of.first(lower[-1] + b"\0", None, 2) == upper[:2]
        assert of.last(b"", upper[0], 2) == lower[-2:]
        assert of.last(b"", upper[0] + b"\0", 2) == upper[:1]
        assert of.last(upper[0], upper[0], 2) == of.first(upper[0], upper[0], 2) == []
    assert of.first(ordered[-1] + b"\0", None, 1) == of.last(b"", ordered[0], 1) == []


class Growing(dict[bytes, bytes | None]):
    """Gains a key of `late` whenever it is looked at."""

    late: Iterator[bytes] = iter(())

    def _grow(self) -> None:
        self.update(dict.fromkeys(islice(self.late, 1), b""))

    def __len__(self) -> int:
        self._grow()
        return super().__len__()

    def __reversed__(self) -> Iterator[bytes]:
        looked_at = super().__reversed__()
        self._grow()
        return looked_at


def test_a_key_that_comes_while_they_are_read_is_not_lost() -> None:
    records = Growing(random_keys(2000))
    of = SortedKeys(records)
    of.update()
    records.late = iter(random_keys(100, seed=2))

    of.update()
    records.update(random_keys(10, seed=3))
    of.update()

    assert not list(records.late)
    assert len(records) == 2110
    assert everything(of) == sorted(records)


def test_an_interrupt_leaves_nothing_half_done(monkeypatch: pytest.MonkeyPatch) -> None:
    records = random_keys(3000)
    of = SortedKeys(records)
    of.update()
    records.update(random_keys(100, seed=2))
    calls = iter(range(50))

    def interrupted(chunk: list[bytes], key: bytes) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        chunk.append(key)

    monkeypatch.setattr("engine.sortedkeys.insort", interrupted)
    with pytest.raises(KeyboardInterrupt):
        of.update()

    assert everything(of) == sorted(records)


def test_threads_may_ask_while_others_add() -> None:
    records: Records = {}
    of = SortedKeys(records)
    done = threading.Event()
    failures: list[Any] = []

    def ask() -> None:
        while not done.is_set():
            before = len(records)
            of.update()
            found = everything(of)
            if found != sorted(set(found)) or len(found) < before:
                failures.append(found)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for key in random_keys(20_000):
        records[key] = b""
    done.set()
    for thread in threads:
        thread.join()
    of.update()

    assert failures == []
    assert everything(of) == sorted(records)
