"""Embedded stores behind one face, set up alike: 16 MiB to write into, Bloom filters, 4 KiB blocks."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

Pair = tuple[bytes, bytes]

WRITE_BYTES = 16 << 20
FILTER_BITS = 12


class Store(Protocol):
    """What is measured; `get` is the store's own function, so that nothing is added to it."""

    @property
    def get(self) -> Callable[[bytes], bytes | None]: ...

    def write(self, pairs: Sequence[Pair], sync: bool, /) -> None:
        """Write some pairs at once, all or nothing, with a log where the store has one."""

    def put(self, key: bytes, value: bytes, /) -> None:
        """Write one, without sync."""

    def multi_get(self, keys: Sequence[bytes], /) -> Sequence[bytes | None]: ...
    def scan(self) -> int:
        """Read everything in order; how many there are."""

    def compact(self) -> None: ...
    def close(self) -> None: ...


class Ringkv:
    def __init__(self, path: Path, cache_bytes: int) -> None:
        import engine

        self._new_batch = engine.WriteBatch
        options = engine.Options(
            memtable_bytes_max=WRITE_BYTES,
            cache_bytes_max=cache_bytes,
            row_cache_bytes_max=cache_bytes // 8,
            filter_bits_per_key=FILTER_BITS,
        )
        self._engine = engine.Engine.open(str(path), options)
        self.get = self._engine.get
        self.multi_get = self._engine.multi_get
        self.compact = self._engine.compact
        self.close = self._engine.close

    def write(self, pairs: Sequence[Pair], sync: bool) -> None:
        batch = self._new_batch()
        put = batch.put
        for key, value in pairs:
            put(key, value)
        self._engine.write(batch, sync=sync)

    def put(self, key: bytes, value: bytes) -> None:
        batch = self._new_batch()
        batch.put(key, value)
        self._engine.write(batch, sync=False)

    def scan(self) -> int:
        return sum(1 for _ in self._engine.scan())


class Rocksdict:
    def __init__(self, path: Path, cache_bytes: int) -> None:
        import rocksdict

        self._new_batch = rocksdict.WriteBatch
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(WRITE_BYTES)
        options.set_compression_type(rocksdict.DBCompressionType.lz4())
        table = rocksdict.BlockBasedOptions()
        table.set_bloom_filter(FILTER_BITS, False)
        table.set_block_size(4096)
        if cache_bytes:
            table.set_block_cache(rocksdict.Cache(cache_bytes))
        else:
            table.disable_cache()
        options.set_block_based_table_factory(table)
        self._db = rocksdict.Rdict(str(path), options)
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

    def scan(self) -> int:
        return sum(1 for _ in self._db.items())

    def compact(self) -> None:
        self._db.flush()
        self._db.compact_range(None, None)


class Plyvel:
    def __init__(self, path: Path, cache_bytes: int) -> None:
        import plyvel

        self._db = plyvel.DB(
            str(path),
            create_if_missing=True,
            write_buffer_size=WRITE_BYTES,
            # 0 would mean its default of 8 MiB.
            lru_cache_size=max(cache_bytes, 1),
            bloom_filter_bits=FILTER_BITS,
            block_size=4096,
        )
        self.get = self._db.get
        self.put = self._db.put
        self.compact = self._db.compact_range
        self.close = self._db.close

    def write(self, pairs: Sequence[Pair], sync: bool) -> None:
        with self._db.write_batch(sync=sync) as batch:
            put = batch.put
            for key, value in pairs:
                put(key, value)

    def multi_get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return list(map(self.get, keys))

    def scan(self) -> int:
        return sum(1 for _ in self._db)


class Lmdb:
    """It has neither log nor cache nor compaction: a write changes pages of the map."""

    def __init__(self, path: Path, cache_bytes: int) -> None:
        import lmdb

        self._env = lmdb.open(str(path), map_size=8 << 30, sync=False, metasync=False)

    def get(self, key: bytes) -> bytes | None:
        with self._env.begin(buffers=False) as transaction:
            value: bytes | None = transaction.get(key)
        return value

    def write(self, pairs: Sequence[Pair], sync: bool) -> None:
        with self._env.begin(write=True) as transaction:
            put = transaction.put
            for key, value in pairs:
                put(key, value)
        if sync:
            self._env.sync(True)

    def put(self, key: bytes, value: bytes) -> None:
        with self._env.begin(write=True) as transaction:
            transaction.put(key, value)

    def multi_get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        with self._env.begin() as transaction:
            return list(map(transaction.get, keys))

    def scan(self) -> int:
        with self._env.begin() as transaction:
            return sum(1 for _ in islice(transaction.cursor(), None))

    def compact(self) -> None:
        self._env.sync(True)

    def close(self) -> None:
        self._env.close()


STORES: dict[str, Callable[[Path, int], Store]] = {
    "ringkv": Ringkv,
    "rocksdict": Rocksdict,
    "plyvel": Plyvel,
    "lmdb": Lmdb,
}
