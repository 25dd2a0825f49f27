"""A store on a disk that is too small for it: what may be asked of it at every moment.

Lives are drawn from a seed: puts until they are refused, deletes, ranges, snapshots, strangers that take the rest of
the disk and give it back in steps. After each step every key is what the model says. A delete is refused only while a
stranger holds the disk; and once it is gone, and half of the keys are, puts are taken again, by an engine that was
neither reopened nor told to do anything.
"""

import random
from collections.abc import Iterator

from engine import (
    Engine,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    Snapshot,
    StallError,
    StorageFullError,
    WriteBatch,
    verify_engine,
)

STRANGER = "/stranger"
PATIENCE = 200  # puts that may be refused before one is taken again


class Life:
    """One engine on one small disk, beside a dict that says what it should hold."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.options = Options(
            memtable_bytes_max=rng.choice((8192, 16384, 32768)),
            table_bytes_max=rng.choice((4096, 8192)),
            level1_bytes_max=rng.choice((8192, 32768)),
            level0_tables_compact=rng.choice((2, 4)),
            level0_tables_max=rng.choice((4, 6)),
            sealed_memtables_max=rng.choice((1, 2)),
            block_bytes=256,
            manifest_bytes_max=rng.choice((1024, 1 << 20)),
            reserve_bytes=rng.choice((16384, 65536)),
            debt_bytes_max=rng.choice((0, 65536)),
            stall_seconds_max=0,
        )
        self.keys = rng.choice((200, 2000))
        self.value_bytes = rng.choice((30, 300, 2000))
        self.disk = MemoryFileSystem()
        self.disk.create_directory("/db")
        self.disk.capacity = rng.choice((300, 600, 1200)) << 10
        self.model: dict[bytes, bytes] = {}
        self.engine = self._open()
        self._snapshots: list[tuple[Snapshot, dict[bytes, bytes]]] = []
        self.refused_puts = self.refused_deletes = 0

    def _open(self) -> Engine:
        return Engine.open("/db", self.options, file_system=self.disk, executor=InlineExecutor())

    @property
    def stranger_bytes(self) -> int:
        return self.disk.size(STRANGER) if self.disk.exists(STRANGER) else 0

    def key(self) -> bytes:
        return b"%06d" % self.rng.randrange(self.keys)

    def put(self) -> bool:
        key, value = self.key(), self.rng.randbytes(self.rng.randint(0, self.value_bytes))
        try:
            if self.rng.random() < 0.5:
                self.engine.put(key, value, sync=False)
            else:
                self.engine.write(WriteBatch([(key, value)]), sync=False)
        except (StorageFullError, StallError):
            self.refused_puts += 1
            return False
        self.model[key] = value
        return True

    def delete(self, keys: list[bytes]) -> bool:
        batch = WriteBatch()
        for key in keys:
            batch.delete(key)
        return self._free(batch, keys)

    def delete_range(self, start: bytes, end: bytes) -> bool:
        batch = WriteBatch()
        batch.delete_range(start, end)
        return self._free(batch, [key for key in self.model if start <= key < end])

    def _free(self, batch: WriteBatch, keys: list[bytes]) -> bool:
        try:
            self.engine.write(batch, sync=False)
        except (StorageFullError, StallError):
            self.refused_deletes += 1
            if not self.stranger_bytes:
                raise
            return False
        for key in keys:
            self.model.pop(key, None)
        return True

    def step(self) -> None:
        dice = self.rng.random()
        if dice < 0.55:
            for _ in range(self.rng.randrange(100)):
                self.put()
        elif dice < 0.75:
            for _ in range(self.rng.randrange(60)):
                self.delete([self.key()])
        elif dice < 0.8:
            low = self.rng.randrange(self.keys)
            self.delete_range(b"%06d" % low, b"%06d" % (low + self.rng.randrange(self.keys // 4)))
        elif dice < 0.86:
            self._turn_snapshots()
        elif dice < 0.96:
            self._move_stranger()
        else:
            self._reopen()
        self.check()

    def _turn_snapshots(self) -> None:
        if self._snapshots and self.rng.random() < 0.6:
            self._snapshots.pop()[0].close()
        else:
            self._snapshots.append((self.engine.snapshot(), dict(self.model)))

    def _move_stranger(self) -> None:
        room = self.disk.room
        assert room is not None
        if self.stranger_bytes and self.rng.random() < 0.6:
            left = self.stranger_bytes * self.rng.choice((0, 1, 3)) // 4
            self.take_stranger_away()
            self._place_stranger(left)
        else:
            self._place_stranger(self.stranger_bytes + max(room * self.rng.choice((1, 2, 4)) // 4, 0))

    def _place_stranger(self, byte_size: int) -> None:
        self.take_stranger_away()
        if byte_size > 0:
            file = self.disk.open_append(STRANGER)
            file.write(bytes(byte_size))
            file.close()

    def take_stranger_away(self) -> None:
        if self.disk.exists(STRANGER):
            self.disk.remove(STRANGER)

    def _reopen(self) -> None:
        if self.rng.random() < 0.5:
            self.engine.close()
        else:
            self.disk.kill()
        self.engine = self._open()
        self._snapshots.clear()

    def check(self) -> None:
        assert dict(self.engine.scan()) == self.model
        for key in self.rng.sample(range(self.keys), 20):
            name = b"%06d" % key
            assert self.engine.get(name) == self.model.get(name)
        for snapshot, then in self._snapshots:
            assert dict(snapshot.scan()) == then

    def recover(self) -> None:
        """Nobody else takes space any more: half of the keys are deleted, and then puts are taken again."""
        self.take_stranger_away()
        for snapshot, _ in self._snapshots:
            snapshot.close()
        self._snapshots.clear()
        for key in self._half():
            assert self.delete([key])
        assert any(self.put() for _ in range(PATIENCE)), self.engine.stats()
        self.check()

    def _half(self) -> Iterator[bytes]:
        yield from sorted(self.model)[:: self.rng.choice((1, 2))]

    def end(self) -> None:
        self.engine.close()
        assert verify_engine("/db", file_system=self.disk) == []
