"""A store's life as a list of steps, what it was asked for, and what it promised.

A step is a word. A life is a few of them, so that a workload is a line of text, and what is new in the
engine is one more word.

    put     one key, not synced             ingest      sorted keys past the log
    put!    the same, synced                tick        time passes
    batch   many keys, and a deletion       fill        batches until a memtable was sealed
    delete  two keys are deleted            flush       everything to tables
    ranges  ranges of keys are deleted      compact     everything to one level
    expire  a value that a tick ends        checkpoint  a copy in a directory of its own
    large   a value of many sectors         renew       flushes until the manifest was written anew
    open    as it is found, and compared    close       in good order
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from engine import (
    Engine,
    EngineError,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    SequenceNumber,
    WriteBatch,
)
from tests.models import ModelMap, batch_of

DIRECTORY = "/db"
COPIES = "/copies"
TICK_MS = 10
OPTIONS = Options(
    memtable_bytes_max=4096,
    table_bytes_max=4096,
    level1_bytes_max=4096,
    level0_tables_compact=2,
    block_bytes=128,
    manifest_bytes_max=300,
    cache_bytes_max=2000,
    row_cache_bytes_max=1000,
    reserve_bytes=1500,
)


@dataclass(frozen=True, slots=True)
class Change:
    """What was asked of a store, and what it does to the oracle; only what is logged has a sequence."""

    apply: Callable[[ModelMap], object]
    is_logged: bool = True


@dataclass
class Life:
    """One store and what is known of it.

    changes       in their order; the last may have failed without anybody knowing how
    acknowledged  so many of them were
    promised      so many of them survive a crash of the machine
    copies        checkpoints by their directories, and how many changes they have; None if they failed
    step          what it is doing
    """

    disk: MemoryFileSystem
    options: Options = OPTIONS
    changes: list[Change] = field(default_factory=list)
    acknowledged: int = 0
    promised: int = 0
    copies: dict[str, int | None] = field(default_factory=dict)
    clock_ms: int = 0
    step: str = "open"
    engine: Engine | None = None

    @property
    def running(self) -> Engine:
        assert self.engine is not None, "it is open"
        return self.engine

    @property
    def is_certain(self) -> bool:
        """Whether it is known what every change came to."""
        return len(self.changes) == self.acknowledged

    def take(self, step: str) -> None:
        """Raises: EngineError, PowerLostError."""
        self.step = step
        name, is_synced = step.removesuffix("!"), step.endswith("!")
        if name in WRITES:
            self.write(WRITES[name](self), sync=is_synced)
        else:
            STEPS[name](self)

    def write(self, batch: WriteBatch, *, sync: bool) -> None:
        sequence = None if self.options.own_log else SequenceNumber(self.running.applied_sequence + 1)
        with_sync = sync and self.options.own_log
        self.ask(
            Change(lambda model: model.write(batch)),
            lambda engine: _write(engine, batch, sequence, sync=sync),
            is_durable=with_sync,
        )
        assert self.running.applied_sequence == self.sequence(self.acknowledged)

    def ask(self, change: Change, act: Callable[[Engine], object], *, is_durable: bool) -> None:
        """Have the store make a change."""
        was_certain = self.is_certain
        if was_certain:
            # Before it is made: if it fails, it may be there or not.
            self.changes.append(change)
        try:
            act(self.running)
        except EngineError:
            if was_certain and not self.running.stats().failure:
                # The store goes on, so it was refused: it must not turn up later.
                self.changes.pop()
            raise
        assert was_certain, "a store that does not know what its last write came to took another"
        self.acknowledged = len(self.changes)
        if is_durable:
            self.keep_promise()

    def keep_promise(self) -> None:
        self.promised = self.acknowledged

    def sequence(self, count: int) -> int:
        """Of the last of so many changes."""
        return sum(change.is_logged for change in self.changes[:count])

    def model(self, count: int, clock_ms: int) -> ModelMap:
        """What so many changes make, as of a time."""
        model = ModelMap(clock_ms)
        for change in self.changes[:count]:
            change.apply(model)
        return model

    def check_reads(self) -> None:
        """All that was acknowledged is there, and at most a change of which nothing is known."""
        engine = self.running
        content = list(engine.scan())
        models = [self.model(count, self.clock_ms) for count in range(self.acknowledged, len(self.changes) + 1)]
        expected = next((model for model in models if model.scan() == content), None)
        assert expected is not None, "what is there is not what was written"
        assert list(engine.scan(reverse=True)) == expected.scan(reverse=True)
        for key in (b"0", b"3", b"none"):
            assert engine.get(key) == expected.get(key)

    def crash(self, *, has_lost_power: bool) -> None:
        """Be gone; what was not promised may be gone as well if the machine went off."""
        self.engine = None
        if has_lost_power or not self.options.own_log:
            self.acknowledged = self.promised

    def fork(self) -> "Life":
        """The same life up to now, on a twin of its disk, with nobody there."""
        return Life(
            self.disk.twin(),
            self.options,
            list(self.changes),
            self.acknowledged,
            self.promised,
            dict(self.copies),
            self.clock_ms,
            self.step,
        )

    def recover(self) -> int:
        """Open the store, and find the changes that are there; how many were lost.

        Whatever happened, they are the first of those that were tried, each of them whole.
        """
        engine = Engine.open(DIRECTORY, self.options, file_system=self.disk, executor=InlineExecutor())
        tried = len(self.changes)
        try:
            found = self.find(engine, range(self.acknowledged, tried + 1))
        except BaseException:
            engine.close()
            raise
        self.engine = engine
        del self.changes[found:]
        # What was found once is found again.
        self.promised = self.acknowledged = found
        return tried - found

    def find(self, engine: Engine, counts: range) -> int:
        """How many of the changes a store has, and exactly those."""
        applied = engine.applied_sequence
        likely = [count for count in reversed(counts) if self.sequence(count) == applied]
        assert likely, f"{applied} writes are there, not {self.sequence(counts[0])} to {self.sequence(counts[-1])}"
        # Before the caller tells the time it is that of the last compaction, or an earlier one.
        assert engine.clock_ms <= self.clock_ms
        for clock_ms in (engine.clock_ms, self.clock_ms):
            engine.advance_clock(clock_ms)
            content = list(engine.scan())
            likely = [count for count in likely if self.model(count, clock_ms).scan() == content]
            assert likely, f"what is there is not what {applied} writes make"
        return likely[0]


def _write(engine: Engine, batch: WriteBatch, sequence: SequenceNumber | None, *, sync: bool) -> None:
    """As whoever uses the engine would: a single value by `put`, where that can be."""
    values = list(batch.records.values())
    if sequence is None and list(map(type, values)) == [bytes] and not batch.ranges:
        ((key, value),) = batch.items()
        assert value is not None, "it is bytes"
        engine.put(key, value, sync=sync)
    else:
        engine.write(batch, sequence=sequence, sync=sync)


def _close(life: Life) -> None:
    engine, life.engine = life.running, None
    try:
        engine.close()
    finally:
        life.crash(has_lost_power=False)
    if life.options.own_log:
        life.keep_promise()


def _flush(life: Life) -> None:
    life.running.flush()
    life.keep_promise()


def _compact(life: Life) -> None:
    life.running.compact()
    life.keep_promise()


def _fill(life: Life) -> None:
    flushed = life.running.flushed_sequence
    while life.running.flushed_sequence == flushed:
        life.write(_batch(life), sync=False)
        if life.running.is_full:
            # Without a log of its own it must take what it is given, and leaves it to others to ask first.
            return


def _renew(life: Life) -> None:
    manifest = life.disk.content(f"{DIRECTORY}/CURRENT")
    while life.disk.content(f"{DIRECTORY}/CURRENT") == manifest:
        life.write(_put(life), sync=False)
        _flush(life)


def _checkpoint(life: Life) -> None:
    directory = f"{COPIES}/{len(life.copies)}"
    life.copies[directory] = None
    sequence = life.running.checkpoint(directory)
    life.keep_promise()
    assert sequence == life.sequence(life.acknowledged)
    life.copies[directory] = life.acknowledged


def _ingest(life: Life) -> None:
    number = len(life.changes)
    pairs = sorted({b"%d" % ((number * 3 + i) % 17): b"ingested %d" % number for i in range(6)}.items())
    change = Change(lambda model: model.apply(pairs), is_logged=False)
    life.ask(change, lambda engine: engine.ingest(pairs), is_durable=True)


def _tick(life: Life) -> None:
    life.clock_ms += TICK_MS
    life.running.advance_clock(life.clock_ms)


def _put(life: Life) -> WriteBatch:
    number = len(life.changes)
    return batch_of({b"%d" % (number % 5): b"%d" % number * 9})


def _batch(life: Life) -> WriteBatch:
    number = len(life.changes)
    records: dict[bytes, bytes | None] = {b"%d" % ((number * 5 + i) % 13): b"%d" % number * 20 for i in range(6)}
    return batch_of({**records, b"%d" % (number % 7): None})


def _delete(life: Life) -> WriteBatch:
    number = len(life.changes)
    return batch_of({b"%d" % (number % 5): None, b"%d" % ((number + 3) % 5): None})


def _ranges(life: Life) -> WriteBatch:
    number = len(life.changes)
    batch = WriteBatch()
    batch.delete_range(b"%d" % (number % 4), b"%d" % (number % 4 + 1))
    batch.delete_range(b"l", None)
    batch.put(b"%d+" % (number % 4), b"within")
    return batch


def _expire(life: Life) -> WriteBatch:
    number = len(life.changes)
    batch = WriteBatch()
    batch.put(b"%d" % (number % 5), b"soon gone", expires_ms=life.clock_ms + TICK_MS)
    batch.put(b"later", b"%d" % number, expires_ms=life.clock_ms + TICK_MS + 1)
    return batch


def _large(life: Life) -> WriteBatch:
    return batch_of({b"large": b"%04d" % len(life.changes) * 500})


# What is written depends on how many changes were before.
WRITES: dict[str, Callable[[Life], WriteBatch]] = {
    "put": _put,
    "batch": _batch,
    "delete": _delete,
    "ranges": _ranges,
    "expire": _expire,
    "large": _large,
}
STEPS: dict[str, Callable[[Life], object]] = {
    "open": Life.recover,
    "close": _close,
    "flush": _flush,
    "compact": _compact,
    "fill": _fill,
    "renew": _renew,
    "checkpoint": _checkpoint,
    "ingest": _ingest,
    "tick": _tick,
}
