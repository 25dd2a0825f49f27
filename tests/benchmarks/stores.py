"""Embedded stores behind one face, set up alike.

All have the same memory to write into, 64 MiB as is RocksDB's default, and for a cache of blocks; Bloom
filters of 12 bits a key; blocks of 4 KiB; a quick compression (LZ4; LevelDB knows only Snappy); no row cache
unless a row asks for it; and the threads and processes in the background they come with. Each is called the
way its documentation says is best: batches, many keys at once, iterators.

The filters are near in size, not in kind: a store uses its own. LMDB has neither log nor cache nor
filters nor compaction: a write changes pages of the map, and what it has written survives the process.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tests.benchmarks.dataset import KEY_BYTES, Pair

FILTER_BITS = 12
BLOCK_BYTES = 4096
PYTHON_BYTES = 32 << 20  # a process without a store


@dataclass(frozen=True, slots=True)
class Memory:
    """What a store may use, in bytes: of one memtable, of the block cache and of the row cache.

    resident   what the process may come to, for a store that shares it out itself; 0: it need not
    """

    memtable: int = 64 << 20
    blocks: int = 256 << 20
    rows: int = 0
    resident: int = 0


class Store(Protocol):
    """What is measured; `get` and `put` are the store's own functions where it has them: nothing is added."""

    @property
    def get(self) -> Callable[[bytes], bytes | None]: ...

    @property
    def put(self) -> Callable[[bytes, bytes], object]:
        """Write one, without sync."""

    @property
    def put_synced(self) -> Callable[[bytes, bytes], object]:
        """Write one, and return once it and all before it survive the machine."""

    def write(self, pairs: Sequence[Pair], sync: bool, /) -> None:
        """Write some pairs at once, all or nothing, with a log where the store has one."""

    def multi_get(self, keys: Sequence[bytes], /) -> Sequence[bytes | None]: ...
    def scan(self) -> int:
        """Read everything in order; how many there are."""

    def compact(self) -> None:
        """Return once all is merged into one level."""

    def close(self) -> None: ...


def exhaust(pairs: Iterable[object]) -> int:
    """How many there are, with next to nothing added to the cost of iterating."""
    last = deque(enumerate(pairs, 1), maxlen=1)
    return last[0][0] if last else 0


class Ringkv:
    def __init__(self, path: Path, memory: Memory) -> None:
        import engine

        self._new_batch = engine.WriteBatch
        if memory.resident:
            options = engine.Options.for_memory(memory.resident - PYTHON_BYTES)
        else:
            options = engine.Options(
                memtable_bytes_max=memory.memtable, cache_bytes_max=memory.blocks, row_cache_bytes_max=memory.rows
            )
        options = replace(options, filter_bits_per_key=FILTER_BITS, block_bytes=BLOCK_BYTES)
        self._engine = engine.Engine.open(str(path), options)
        self._write = self._engine.write
        self.get = self._engine.get
        self.put = partial(self._engine.put, sync=False)
        self.put_synced = self._engine.put
        self.multi_get = self._engine.multi_get
        self.compact = self._engine.compact
        self.close = self._engine.close

    def write(self, pairs: Sequence[Pair], sync: bool) -> None:
        self._write(self._new_batch(pairs), sync=sync)

    def scan(self) -> int:
        return exhaust(self._engine.scan())


class Rocksdict:
    def __init__(self, path: Path, memory: Memory) -> None:
        import rocksdict

        self._new_batch = rocksdict.WriteBatch
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(memory.memtable)
        options.set_compression_type(rocksdict.DBCompressionType.lz4())
        if memory.rows:
            options.set_row_cache(rocksdict.Cache(memory.rows))
        table = rocksdict.BlockBasedOptions()
        table.set_bloom_filter(FILTER_BITS, False)
        table.set_block_size(BLOCK_BYTES)
        if memory.blocks:
            table.set_block_cache(rocksdict.Cache(memory.blocks))
        else:
            table.disable_cache()
        options.set_block_based_table_factory(table)
        # Of a store that is there it takes the options from its files, without filter and cache, unless
        # they are given for the column family as well.
        self._db = rocksdict.Rdict(str(path), options, column_families={"default": options})
        self._synced = rocksdict.WriteOptions()
        self._synced.sync = True
        self.get = self._db.get
        self.put = self._db.put
        self.multi_get: Any = self._db.get
        self.close = self._db.close

    def write(self, pairs: Sequence[Pair], sync: bool) -> None:
        batch = self._new_batch(raw_mode=True)
        put = batch.put
        for key, value in pairs:
            put(key, value)
        self._db.write(batch, self._synced) if sync else self._db.write(batch)

    def put_synced(self, key: bytes, value: bytes) -> None:
        self._db.put(key, value, self._synced)

    def scan(self) -> int:
        return exhaust(self._db.items())

    def compact(self) -> None:
        self._db.flush()
        self._db.compact_range(None, None)
        for level in range(6):
            assert self._db.property_value(f"rocksdb.num-files-at-level{level}") == "0", "all is in level 6"


class Plyvel:
    def __init__(self, path: Path, memory: Memory) -> None:
        import plyvel

        self._db = plyvel.DB(
            str(path),
            create_if_missing=True,
            write_buffer_size=memory.memtable,
            # 0 would mean its default of 8 MiB.
            lru_cache_size=max(memory.blocks, 1),
            bloom_filter_bits=FILTER_BITS,
            block_size=BLOCK_BYTES,
        )
        self.get = self._db.get
        self.put = self._db.put
        self.close = self._db.close

    def write(self, pairs: Sequence[Pair], sync: bool) -> None:
        with self._db.write_batch(sync=sync) as batch:
            put = batch.put
            for key, value in pairs:
                put(key, value)

    def put_synced(self, key: bytes, value: bytes) -> None:
        self._db.put(key, value, sync=True)

    def multi_get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return list(map(self.get, keys))

    def scan(self) -> int:
        return exhaust(self._db)

    def compact(self) -> None:
        # Without bounds it does nothing but flush, whatever plyvel's documentation says. What LevelDB
        # flushes meanwhile may stay above, so that it takes two rounds.
        bounds = {"start": b"\0", "stop": b"\xff" * (KEY_BYTES + 1)}
        self._db.compact_range(**bounds)
        self._db.compact_range(**bounds)
        files = [int(self._db.get_property(b"leveldb.num-files-at-level%d" % level)) for level in range(7)]
        assert sum(map(bool, files)) == 1, f"all is in one level, not {files}"


class Lmdb:
    def __init__(self, path: Path, memory: Memory) -> None:
        import lmdb

        self._env = lmdb.open(str(path), map_size=32 << 30, sync=False, metasync=False)

    def get(self, key: bytes) -> bytes | None:
        with self._env.begin(buffers=False) as transaction:
            value: bytes | None = transaction.get(key)
        return value

    def write(self, pairs: Sequence[Pair], sync: bool) -> None:
        with self._env.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(pairs)
        if sync:
            self._env.sync(True)

    def put(self, key: bytes, value: bytes) -> None:
        with self._env.begin(write=True) as transaction:
            transaction.put(key, value)

    def put_synced(self, key: bytes, value: bytes) -> None:
        self.put(key, value)
        self._env.sync(True)

    def multi_get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        with self._env.begin() as transaction:
            return list(map(transaction.get, keys))

    def scan(self) -> int:
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            return exhaust(cursor)

    def compact(self) -> None:
        self._env.sync(True)

    def close(self) -> None:
        self._env.close()


STORES: dict[str, Callable[[Path, Memory], Store]] = {
    "ringkv": Ringkv,
    "rocksdict": Rocksdict,
    "plyvel": Plyvel,
    "lmdb": Lmdb,
}
HAVE_ROW_CACHE = {"ringkv", "rocksdict"}
