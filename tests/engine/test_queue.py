"""A store used as a queue: the first key is taken and deleted, over and over."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import engine.view
from engine import Engine, InlineExecutor, MemoryFileSystem, Options
from engine.merge import merge
from engine.record import Run
from tests.engine.small import batch, open_engine

RECORDS = 4000


def big_engine() -> Engine:
    """Levels of their usual size, so that no bound of theirs has anything compacted here."""
    return Engine.open("/db", Options(), file_system=MemoryFileSystem(), executor=InlineExecutor())


def fill(store: Engine) -> None:
    for number in range(RECORDS):
        store.put(b"%06d" % number, bytes(20), sync=False)
    store.flush()


def test_a_table_of_tombstones_does_not_wait_for_its_level_to_be_full() -> None:
    store = big_engine()
    fill(store)
    store.write(batch(*((b"%06d" % number, None) for number in range(RECORDS - 10))))

    store.flush()

    assert sum(level.tombstones for level in store.stats().levels) == 0
    assert sum(level.records for level in store.stats().levels) == 10
    store.close()


def test_a_few_tombstones_among_others_wait() -> None:
    store = big_engine()
    fill(store)
    store.write(batch(*((b"%06d" % number, None) for number in range(1000))))
    store.flush()

    assert store.stats().compactions == 0
    store.close()


def test_who_takes_from_the_front_does_not_pass_again_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in records that a scan has in hand, not in time."""
    passed = 0

    def counting(stream: Iterator[Run]) -> Iterator[Run]:
        nonlocal passed
        for run in stream:
            passed += len(run[0])
            yield run

    def counted(streams: Sequence[Iterator[Run]], **others: Any) -> Iterator[Run]:
        return merge([counting(stream) for stream in streams], **others)

    monkeypatch.setattr(engine.view, "merge", counted)
    store = big_engine()
    fill(store)

    for number in range(RECORDS // 2):
        ((key, _),) = store.scan(limit=1)
        assert key == b"%06d" % number
        store.write(batch((key, None)), sync=False)

    assert passed < 100 * RECORDS, "a block or two, and a few tombstones, each time"
    store.close()


@pytest.mark.parametrize("seed", range(8))
def test_what_is_put_back_into_the_gap_is_found(seed: int) -> None:
    rng = random.Random(seed)
    store = open_engine(MemoryFileSystem())
    model: dict[bytes, bytes] = {}
    for _ in range(4000):
        key = b"%03d" % rng.randrange(300)
        dice = rng.random()
        if dice < 0.3:
            value = rng.choice((b"", b"1", bytes(100)))
            if rng.random() < 0.5:
                store.put(key, value, sync=False)
            else:
                store.write(batch((key, value)), sync=False)
            model[key] = value
        elif dice < 0.35:
            store.write(batch((key, None)), sync=False)
            model.pop(key, None)
        elif dice < 0.36:
            store.flush()
        else:
            start = rng.choice((b"", b"", key))
            end = rng.choice((None, None, b"%03d" % rng.randrange(300)))
            limit = rng.choice((1, 1, 3))
            expected = [pair for pair in sorted(model.items()) if start <= pair[0] and (end is None or pair[0] < end)]
            found = list(store.scan(start, end, limit=limit))
            assert found == expected[:limit]
            if found:
                store.write(batch((found[0][0], None)), sync=False)
                del model[found[0][0]]
    store.close()
