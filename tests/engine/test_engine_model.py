"""The engine beside a dict, whatever is done to both: writes, flushes, crashes, full disks.

After a crash the engine may have any prefix of the writes since the last one that was promised to
be on disk, in order and whole; the model then goes on from that one.
"""

import random
from itertools import islice
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine import (
    Engine,
    EngineError,
    Fault,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    PowerLostError,
    SequenceNumber,
    Snapshot,
    StorageFullError,
    WriteBatch,
    verify_engine,
)
from tests.models import ModelMap, batch_of
from tests.strategies import keys, ranges, records, scans, values

OPTIONS: dict[str, Any] = {
    "memtable_bytes_max": 4096,
    "table_bytes_max": 4096,
    "level1_bytes_max": 8192,
    "level_bytes_ratio": 2,
    "block_bytes": 64,
    "level0_tables_compact": 2,
    "manifest_bytes_max": 1024,
    "cache_bytes_max": 20_000,
}


CHOICES = st.fixed_dictionaries(
    {
        "own_log": st.booleans(),
        "zstd_from_level": st.sampled_from([1, 7]),
        "dictionary_bytes": st.sampled_from([0, 1024]),
        "cache_indexes": st.booleans(),
        "row_cache_bytes_max": st.sampled_from([0, 3000, 1 << 20]),
    }
)


class EngineMachine(RuleBasedStateMachine):
    """`promised` is how many of `writes` must survive a crash of the machine; `snapshots` are not to change."""

    @initialize(choices=CHOICES)
    def start(self, choices: dict[str, Any]) -> None:
        self.disk = MemoryFileSystem()
        self.options = Options(**choices, **OPTIONS)
        self.model = ModelMap()
        # What is durable whatever happens, and what was written since.
        self.base = ModelMap()
        self.writes: list[tuple[SequenceNumber, WriteBatch]] = []
        self.promised = 0
        self.checkpoints = 0
        self.snapshots: list[tuple[Snapshot, ModelMap]] = []
        self.open()

    def open(self) -> None:
        self.engine = Engine.open("/db", self.options, file_system=self.disk, executor=InlineExecutor())
        assert self.engine.clock_ms <= self.model.clock_ms
        self.engine.advance_clock(self.model.clock_ms)

    @rule(content=records, sync=st.booleans())
    def write(self, content: dict[bytes, bytes | None], sync: bool) -> None:
        self.write_batch(batch_of(content), sync)

    @rule(key=keys, value=values, sync=st.booleans())
    def put(self, key: bytes, value: bytes, sync: bool) -> None:
        if not self.options.own_log:
            return
        self.write_batch(batch_of({key: value}), sync, by_put=True)

    @rule(before=records, deleted=st.lists(ranges, min_size=1, max_size=2), after=records, sync=st.booleans())
    def delete_ranges(
        self,
        before: dict[bytes, bytes | None],
        deleted: list[tuple[bytes, bytes | None]],
        after: dict[bytes, bytes | None],
        sync: bool,
    ) -> None:
        batch = batch_of(before)
        for start, end in deleted:
            batch.delete_range(start, end)
        for key, value in batch_of(after).items():
            batch.records[key] = value
        self.write_batch(batch, sync)

    @rule(milliseconds=st.integers(0, 30))
    def advance_clock(self, milliseconds: int) -> None:
        self.model.clock_ms += milliseconds
        self.engine.advance_clock(self.model.clock_ms)

    @rule(content=st.dictionaries(keys, values, max_size=60))
    def ingest(self, content: dict[bytes, bytes]) -> None:
        self.engine.ingest(sorted(content.items()))
        self.model.apply(content.items())
        if content:
            self.base, self.writes, self.promised = self.model.copy(), [], 0

    def write_batch(self, batch: WriteBatch, sync: bool, *, by_put: bool = False) -> None:
        sequence = SequenceNumber(self.engine.applied_sequence + (1 if self.options.own_log else 3))
        # Before it is written: if the power goes meanwhile, it may be there or not.
        self.writes.append((sequence, batch))
        if by_put:
            ((key, value),) = batch.items()
            assert value is not None, "a put has a value"
            assert self.engine.put(key, value, sync=sync) == sequence == self.engine.applied_sequence
        else:
            given = None if self.options.own_log else sequence
            assert self.engine.write(batch, sequence=given, sync=sync) == sequence == self.engine.applied_sequence
        self.model.write(batch)
        if sync and self.options.own_log:
            self.promised = len(self.writes)

    @rule(content=records)
    def write_to_a_full_disk(self, content: dict[bytes, bytes | None]) -> None:
        if not self.options.own_log:
            return
        self.disk.faults = [Fault("write", StorageFullError("/db", 28, "No space left on device"), times=None)]
        try:
            self.engine.write(batch_of(content))
        except StorageFullError:
            pass
        else:
            raise AssertionError("a write that cannot be on disk was acknowledged")
        self.disk.faults = []

    @rule()
    def flush(self) -> None:
        self.engine.flush()
        assert self.engine.flushed_sequence == self.engine.applied_sequence
        self.promised = len(self.writes)
        self.get_everything()

    @rule()
    def request_flush(self) -> None:
        self.engine.request_flush()
        self.promised = len(self.writes)

    @rule()
    def compact(self) -> None:
        self.engine.compact()
        assert sum(bool(level.tables) for level in self.engine.stats().levels) <= 1
        assert sum(level.records for level in self.engine.stats().levels) <= len(self.model.scan(expired=True))
        self.promised = len(self.writes)
        self.get_everything()

    @rule()
    def checkpoint(self) -> None:
        self.checkpoints += 1
        directory = f"/copies/{self.checkpoints}"
        assert self.engine.checkpoint(directory) == self.engine.applied_sequence
        self.promised = len(self.writes)
        copy = Engine.open(directory, self.options, file_system=self.disk, executor=InlineExecutor())
        copy.advance_clock(self.model.clock_ms)
        assert list(copy.scan()) == self.model.scan()
        copy.close()

    @rule()
    def take_snapshot(self) -> None:
        snapshot = self.engine.snapshot()
        assert snapshot.sequence == self.engine.applied_sequence
        self.snapshots.append((snapshot, self.model.copy()))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def close_snapshot(self, data: st.DataObject) -> None:
        snapshot, _ = self.snapshots.pop(data.draw(st.integers(0, len(self.snapshots) - 1)))
        snapshot.close()

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data(), key=keys, bounds=scans)
    def read_snapshot(self, data: st.DataObject, key: bytes, bounds: dict[str, Any]) -> None:
        snapshot, model = data.draw(st.sampled_from(self.snapshots))
        assert snapshot.get(key) == snapshot.multi_get([key])[0] == model.get(key)
        assert list(snapshot.scan(**bounds)) == model.scan(**bounds)

    @rule()
    def reopen(self) -> None:
        """Snapshots stay open."""
        self.engine.close()
        assert verify_engine("/db", file_system=self.disk) == []
        self.open()
        if self.options.own_log:
            self.promised = len(self.writes)
        self.resume()

    @rule()
    def kill(self) -> None:
        """Of a process: what was written to the operating system is still there, and on disk once it is found."""
        self.disk.kill()
        self.snapshots.clear()
        self.open()
        written = len(self.writes)
        self.resume()
        if self.options.own_log:
            assert len(self.writes) == written

    @rule(seed=st.one_of(st.none(), st.integers(0, 1 << 16)))
    def lose_power(self, seed: int | None) -> None:
        self.disk.restart(None if seed is None else random.Random(seed))
        self.snapshots.clear()
        assert verify_engine("/db", file_system=self.disk) == []
        self.open()
        self.resume()

    @rule(moment=st.integers(1, 40), seed=st.one_of(st.none(), st.integers(0, 1 << 16)))
    def crash_while_working(self, moment: int, seed: int | None) -> None:
        self.disk.power_lost_at = self.disk.changes + moment
        try:
            for number in range(10):
                self.write({b"%d" % number: b"w" * 500}, sync=number % 3 == 0)
            self.compact()
        except (PowerLostError, EngineError):
            pass
        self.crash(seed)
        self.open()
        self.resume()

    @rule(
        moment=st.integers(0, 12), first=st.one_of(st.none(), st.integers(0, 1 << 16)), second=st.integers(0, 1 << 16)
    )
    def crash_while_opening(self, moment: int, first: int | None, second: int) -> None:
        """It is opened after a crash, and does not get far."""
        self.crash(first)
        self.disk.power_lost_at = self.disk.changes + moment
        try:
            self.open()
        except (PowerLostError, EngineError):
            pass
        self.crash(second)
        self.open()
        self.resume()

    def crash(self, seed: int | None) -> None:
        """With a seed of the machine, else of the process."""
        self.snapshots.clear()
        if seed is None:
            self.disk.kill()
        else:
            self.disk.restart(random.Random(seed))

    def resume(self) -> None:
        """Find the prefix of the writes that is there, and go on from it."""
        applied = self.engine.applied_sequence
        kept = [write for write in self.writes if write[0] <= applied]
        assert len(kept) >= self.promised, f"{self.promised} writes were promised, {len(kept)} are there"
        self.writes = kept
        self.promised = len(kept) if self.options.own_log else self.promised
        clock_ms, self.model = self.model.clock_ms, self.base.copy()
        self.model.clock_ms = clock_ms
        for _, batch in kept:
            self.model.write(batch)
        assert list(self.engine.scan()) == self.model.scan()

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        assert self.engine.get(key) == self.engine.multi_get([key])[0] == self.model.get(key)

    @rule()
    def get_everything(self) -> None:
        """Every key ever written, so that each of them is then in the row cache as it is now."""
        everything = {key for _, batch in self.writes for key in batch.records}
        assert {key: self.engine.get(key) for key in everything} == {key: self.model.get(key) for key in everything}

    @rule(bounds=scans)
    def scan(self, bounds: dict[str, Any]) -> None:
        assert list(self.engine.scan(**bounds)) == self.model.scan(**bounds)

    @rule(bounds=scans, content=records, act=st.sampled_from(["write", "flush", "compact"]))
    def scan_while_it_changes(self, bounds: dict[str, Any], content: dict[bytes, bytes | None], act: str) -> None:
        """A scan is as of its call."""
        scan, expected = self.engine.scan(**bounds), self.model.scan(**bounds)
        begun = list(islice(scan, 3))
        self.write(content, sync=False)
        if act != "write":
            getattr(self, act)()
        assert [*begun, *scan] == expected

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "engine"):
            stats = self.engine.stats()
            blocks = stats.block_cache
            assert blocks is not None
            indexes = blocks.index_bytes if self.options.cache_indexes else 0
            assert blocks.byte_size + indexes <= OPTIONS["cache_bytes_max"]
            assert stats.row_cache.byte_size <= self.options.row_cache_bytes_max


EngineMachine.TestCase.settings = settings(stateful_step_count=40)
TestEngine = EngineMachine.TestCase
