"""Rows: what was found in tables is at hand, within bounds, and never older than the tables are."""

import random
import threading
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine import Engine, Fault, InlineExecutor, MemoryFileSystem, Options, StorageError, WriteBatch
from engine.record import ABSENT
from engine.rowcache import RowCache

TABLES = object()


def batch(records: dict[bytes, bytes | None]) -> WriteBatch:
    made = WriteBatch()
    for key, value in records.items():
        made.delete(key) if value is None else made.put(key, value)
    return made


def open_engine(disk: MemoryFileSystem, row_cache_bytes_max: int = 1 << 20) -> Engine:
    options = Options(cache_bytes_max=0, row_cache_bytes_max=row_cache_bytes_max)
    return Engine.open("/db", options, file_system=disk, executor=InlineExecutor())


@pytest.fixture
def engine(disk: MemoryFileSystem) -> Iterator[Engine]:
    engine = open_engine(disk)
    yield engine
    engine.close()


class Meanwhile(Fault):
    """No fault: lets something happen in the middle of the first read of a table."""

    def __init__(self, happens: "Callback") -> None:
        super().__init__("read", StorageError("", 0, ""), suffix=".sst")
        self._happens = happens

    def strikes(self, operation: str, path: str) -> bool:
        if super().strikes(operation, path):
            self._happens()
        return False


class Callback:
    def __init__(self, engine: Engine, records: dict[bytes, bytes | None], *, compact: bool = False) -> None:
        self._engine = engine
        self._records = records
        self._compact = compact

    def __call__(self) -> None:
        self._engine.write(batch(self._records))
        self._engine.compact() if self._compact else self._engine.flush()


def test_it_never_takes_more_than_its_bound() -> None:
    rows = RowCache(20_000, TABLES)
    for number in range(1000):
        rows.add(b"%d" % number, bytes(number % 300), TABLES)
        assert rows.byte_size <= 20_000

    assert rows.byte_size > 19_000
    assert rows.byte_size == sum(180 + len(key) + len(value or b"") for key, value in _all(rows).items())


def test_a_row_too_large_for_it_is_not_kept() -> None:
    rows = RowCache(8000, TABLES)
    rows.add(b"k", bytes(900), TABLES)

    assert (len(rows), rows.byte_size) == (0, 0)


def test_a_row_added_twice_is_counted_once() -> None:
    rows = RowCache(8000, TABLES)
    rows.add(b"k", b"v", TABLES)
    rows.add(b"k", b"v", TABLES)

    assert (rows.find(b"k"), len(rows), rows.byte_size) == (b"v", 1, 182)


def test_what_was_used_stays_longer() -> None:
    rows = RowCache(100 * 190, TABLES)
    for number in range(101):
        rows.add(b"%09d" % number, b"v", TABLES)
    assert not rows.young, "the one too many made all old"
    for number in range(10):
        rows.find(b"%09d" % number)
    for number in range(200, 250):
        rows.add(b"%09d" % number, b"v", TABLES)

    assert {b"%09d" % number for number in range(10)} <= rows.young.keys()
    assert len(rows) == 100


def test_skewed_keys_hit_as_often_as_in_an_exact_lru() -> None:
    rng = random.Random(1)
    keys = [b"%09d" % int(2000 * rng.random() ** 3) for _ in range(20_000)]
    rows = RowCache(200 * 190, TABLES)
    lru: dict[bytes, None] = {}
    lru_hits = 0

    for key in keys:
        if rows.find(key) is ABSENT:
            rows.add(key, b"v", TABLES)
        if key in lru:
            del lru[key]
            lru_hits += 1
        elif len(lru) == 200:
            del lru[next(iter(lru))]
        lru[key] = None

    assert rows.hits + rows.misses == len(keys)
    assert rows.hits > 0.98 * lru_hits > 6000


def test_few_rows_are_kept_while_they_do_not_pay() -> None:
    """Of keys that never come again one in eight, once it has turned out; of those that do all."""
    rows = RowCache(100 * 190, TABLES)
    for number in range(1000):
        rows.find(b"%09d" % number)
        rows.add(b"%09d" % number, b"v", TABLES)
    kept = [number for number in range(900, 1000) if rows.find(b"%09d" % number) is not ABSENT]
    assert 10 < len(kept) < 15

    for number in list(range(2000, 2050)) * 40:
        if rows.find(b"%09d" % number) is ABSENT:
            rows.add(b"%09d" % number, b"v", TABLES)
    assert all(rows.find(b"%09d" % number) is not ABSENT for number in range(2000, 2050))
    kept_at_once = []
    for number in range(3000, 5000):
        rows.find(b"%09d" % number)
        rows.add(b"%09d" % number, b"v", TABLES)
        kept_at_once.append(b"%09d" % number in rows.young)
    assert [True] * 50 in [kept_at_once[at : at + 50] for at in range(1900)], "it had paid meanwhile"
    assert sum(kept_at_once[-100:]) < 20


def test_flushed_records_replace_their_rows_and_no_others() -> None:
    rows = RowCache(40 * 190, TABLES)
    for number in range(41):
        rows.add(b"%09d" % number, b"v", TABLES)
    rows.find(b"000000001")
    after = object()

    with rows.changing(after, {b"000000001": b"young", b"000000002": b"old", b"000000003": None, b"new": b"-"}):
        pass

    assert rows.find(b"000000001") == b"young"
    assert rows.find(b"000000002") == b"old"
    assert rows.find(b"000000003") is None
    assert rows.find(b"000000004") == b"v"
    assert rows.find(b"new") is ABSENT
    assert rows.byte_size == sum(180 + len(key) + len(value or b"") for key, value in _all(rows).items()) <= 40 * 190


def test_larger_values_that_replace_rows_push_others_out() -> None:
    rows = RowCache(40 * 190, TABLES)
    for number in range(40):
        rows.add(b"%09d" % number, b"v", TABLES)
    with rows.changing(TABLES, {b"%09d" % number: bytes(500) for number in range(20)}):
        pass

    assert 0 < rows.byte_size <= 40 * 190


def test_when_nobody_knows_what_tables_hold_no_row_stays() -> None:
    rows = RowCache(8000, TABLES)
    rows.add(b"k", b"v", TABLES)
    with rows.changing(object(), None):
        pass

    assert (rows.find(b"k"), rows.byte_size) == (ABSENT, 0)


def test_what_was_found_in_former_tables_is_not_added() -> None:
    rows = RowCache(8000, TABLES)
    present = object()
    with rows.changing(present, {}):
        rows.add(b"k", b"while they change", present)
        rows.add(b"k", b"too late", TABLES)
    rows.add(b"k", b"too late", TABLES)
    assert rows.find(b"k") is ABSENT

    rows.add(b"k", b"present", present)

    assert rows.find(b"k") == b"present"


def test_a_row_answers_without_its_table() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    engine.write(batch({b"a": b"1", b"b": b"2", b"c": b"3"}))
    engine.flush()
    assert engine.multi_get([b"a", b"b"]) == [b"1", b"2"]
    disk.faults.append(Fault("read", StorageError("/db", 5, "not to be read"), ".sst", times=None))

    assert engine.get(b"a") == engine.get(b"a", wait=False) == b"1"
    assert engine.multi_get([b"a", b"b", b"a"]) == [b"1", b"2", b"1"]
    engine.write(batch({b"b": b"4"}))
    assert engine.multi_get([b"a", b"b"]) == [b"1", b"4"]
    with pytest.raises(StorageError):
        engine.get(b"c")


def test_without_a_row_cache_every_get_asks_the_table() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk, row_cache_bytes_max=0)
    engine.write(batch({b"a": b"1"}))
    engine.flush()
    assert engine.get(b"a") == b"1"
    disk.faults.append(Fault("read", StorageError("/db", 5, "not to be read"), ".sst", times=None))

    with pytest.raises(StorageError):
        engine.get(b"a")


def test_a_row_answers_while_a_memtable_waits_for_its_flush() -> None:
    """The memtable is asked first; what it does not hold is in the rows as before."""
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    engine.write(batch({b"a": b"1", b"b": b"1"}))
    engine.flush()
    engine.multi_get([b"a", b"b"])
    full = StorageError("/db/x", 28, "No space left on device")
    disk.faults.append(Fault("open_append", full, ".sst", times=None))
    engine.write(batch({b"b": b"2"}))
    engine.request_flush()
    assert engine.stats().sealed_memtables == 1
    disk.faults.append(Fault("read", StorageError("/db", 5, "not to be read"), ".sst", times=None))

    assert engine.multi_get([b"a", b"b"]) == [b"1", b"2"]
    assert engine.get(b"b") == b"2"


@pytest.mark.parametrize("after", [b"new", None])
@pytest.mark.parametrize("compact", [False, True])
def test_a_reader_that_is_late_does_not_bring_back_what_was_replaced(after: bytes | None, compact: bool) -> None:
    """It reads the old value in a table; before it has it a newer one is written and flushed."""
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    engine.write(batch({b"k": b"old", b"other": b"-"}))
    engine.flush()
    disk.faults.append(Meanwhile(Callback(engine, {b"k": after}, compact=compact)))

    assert engine.get(b"k") == b"old", "as it was when the get began"
    assert engine.get(b"k") == after
    assert engine.get(b"k") == after


def test_a_reader_that_is_late_does_not_hide_what_was_added(disk: MemoryFileSystem, engine: Engine) -> None:
    """A filter let it through in vain; before it knows, the key is written and flushed."""
    engine.write(batch({b"%06d" % number: b"-" for number in range(2000)}))
    engine.flush()
    (reader,) = engine._tree.view.levels.level0
    reader.index()
    lost = next(
        key for key in (b"%06dx" % n for n in range(10**6)) if key <= reader.largest and reader.may_contain(key)
    )
    disk.faults.append(Meanwhile(Callback(engine, {lost: b"there"})))

    assert engine.get(lost) is None, "as it was when the get began"
    assert engine.get(lost) == b"there"


def test_what_a_filter_let_through_in_vain_is_known_the_next_time(disk: MemoryFileSystem, engine: Engine) -> None:
    engine.write(batch({b"%06d" % number: b"-" for number in range(2000)}))
    engine.flush()
    (reader,) = engine._tree.view.levels.level0
    lost = next(
        key for key in (b"%06dx" % n for n in range(10**6)) if key <= reader.largest and reader.may_contain(key)
    )
    assert engine.get(lost) is None
    disk.faults.append(Fault("read", StorageError("/db", 5, "not to be read"), ".sst", times=None))

    assert engine.get(lost) is None


Step = tuple[str, dict[bytes, bytes | None]]

few_keys = st.sampled_from([b"a", b"b", b"c", b"dd"])
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("write"), st.dictionaries(few_keys, st.one_of(st.none(), st.binary(max_size=3)), min_size=1)),
    st.tuples(st.sampled_from(["ingest", "write to expire"]), st.dictionaries(few_keys, st.binary(max_size=3))),
    st.tuples(
        st.sampled_from(["read", "read", "flush", "flush", "compact", "seal", "delete range", "expire"]), st.just({})
    ),
)


@example([("ingest", {b"a": b""}), ("read", {}), ("ingest", {b"a": b"1"}), ("read", {})], 1600)
@example([("write", {b"b": b""}), ("flush", {}), ("read", {}), ("delete range", {}), ("flush", {}), ("read", {})], 1600)
@given(st.lists(steps, max_size=40), st.sampled_from([400, 1600, 1 << 20]))
def test_gets_are_as_those_of_a_dict(steps: list[Step], bytes_max: int) -> None:
    """Few keys, so that each is written, found, flushed and found again; room for few, or for all."""
    engine = open_engine(MemoryFileSystem(), row_cache_bytes_max=bytes_max)
    model: dict[bytes, bytes | None] = dict.fromkeys((b"a", b"b", b"c", b"dd"))
    expiring: set[bytes] = set()

    for step, records in steps:
        if step == "write":
            engine.write(batch(records))
            model |= records
            expiring -= records.keys()
        elif step == "write to expire":
            to_expire = WriteBatch()
            for key, value in records.items():
                to_expire.put(key, value or b"", expires_ms=engine.clock_ms + 1)
            engine.write(to_expire)
            model |= records
            expiring |= records.keys()
        elif step == "expire":
            engine.advance_clock(engine.clock_ms + 1)
            model |= dict.fromkeys(expiring)
            expiring.clear()
        elif step == "ingest":
            engine.ingest((key, value or b"") for key, value in sorted(records.items()))
            model |= records
            expiring -= records.keys()
        elif step == "delete range":
            deleting = WriteBatch()
            deleting.delete_range(b"b", b"d")
            engine.write(deleting)
            model |= {b"b": None, b"c": None}
            expiring -= {b"b", b"c"}
        elif step == "flush":
            engine.flush()
        elif step == "compact":
            engine.compact()
        elif step == "seal":
            engine._writer.seal()
        else:
            assert {key: engine.get(key) for key in model} == model
            assert dict(zip(model, engine.multi_get(model), strict=True)) == model
    engine.close()


@pytest.mark.usefixtures("quick_switches")
def test_no_thread_ever_sees_a_value_older_than_one_that_was_acknowledged() -> None:
    """One thread writes ever larger numbers, with flushes and compactions; three read, and none ever falls."""
    keys = [b"key%d" % number for number in range(12)]
    options = Options(
        memtable_bytes_max=4096, table_bytes_max=4096, level1_bytes_max=8192, level0_tables_compact=2,
        cache_bytes_max=0, row_cache_bytes_max=2000,
    )  # fmt: skip
    engine = Engine.open("/db", options, file_system=MemoryFileSystem())
    engine.write(batch(dict.fromkeys(keys, b"0")))
    acknowledged = 0
    wrong: list[tuple[bytes, int, bytes | None]] = []
    is_over = threading.Event()

    def read(seed: int) -> None:
        rng = random.Random(seed)
        while not is_over.is_set() and not wrong:
            key, least = rng.choice(keys), acknowledged
            found = engine.get(key) if rng.random() < 0.7 else engine.multi_get([key, key])[1]
            if found is None or int(found) < least:
                wrong.append((key, least, found))

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    try:
        for reader in readers:
            reader.start()
        for number in range(1, 301):
            for key in keys:
                engine.write(batch({key: b"%d" % number}), sync=False)
            acknowledged = number
            if number % 3 == 0:
                engine.flush()
    finally:
        is_over.set()
        for reader in readers:
            reader.join()
    stats = engine.stats()
    engine.close()

    assert not wrong
    assert stats.flushes >= 100


def _all(rows: RowCache) -> dict[bytes, bytes | None]:
    return {**rows.young, **rows._old}
