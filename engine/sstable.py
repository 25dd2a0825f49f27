"""SSTable: sorted records in a file that never changes.

    table       := section* dictionary? filter index footer       engine/section.py
    section     := of a block                                     engine/block.py
    dictionary  := section of what zstd was trained to            engine/dictionary.py
    filter      := section of a Bloom filter                      engine/bloom.py
    index       := section of count:u32 block_end:u64[count] key_end:u32[count] key*
    footer      := where all that begins                          engine/footer.py

The index has the last key of each block, and where its section ends; it begins where the one before
ends, the first at 0. There is a dictionary unless it would start where the filter does. Integers are
little-endian.

What does not match its checksum, or the grammar, is a CorruptionError.
"""

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate, chain, pairwise
from operator import add

from engine.block import Block, append_records, encode_block
from engine.bloom import BloomFilter, hash_key, probe
from engine.cache import BlockCache, Places
from engine.coding import DecodeError, ascend, decode_integers, encode_integers
from engine.dictionary import Dictionary
from engine.errors import CorruptionError, WouldBlockError
from engine.files import FileSystem, ReadableFile
from engine.footer import FOOTER_BYTES, Footer
from engine.options import Options
from engine.record import ABSENT, Expiring, Found, Run, SequenceNumber
from engine.section import Packer, seal, unseal
from engine.version import LEVELS, NOTHING, Table

_count = struct.Struct("<I")
_WRITE_BYTES = 256 << 10
SPAN_BYTES = 128 << 10
_FIRST_SPAN_BYTES = 8 << 10
_HITS_TO_OPEN = 8  # of a block; to open it pays after ten more
# What a block costs in the index beyond the bytes of its key: an object, its places in three lists.
_KEY_BYTES = 72
# What a dictionary costs each of the tables that share it.
_DICTIONARY_BYTES = 16 << 10


class SSTableWriter:
    """Writes one table from sorted runs; either `finish` or `close` ends it.

    level        that it is to be in, which decides how it is packed
    sequence     every write up to it is in this table, or in tables there are already; None if it will be
                 in another level
    dictionary   for its blocks, if the level has zstd
    """

    def __init__(
        self,
        file_system: FileSystem,
        path: str,
        number: int,
        options: Options,
        level: int = 0,
        sequence: SequenceNumber | None = NOTHING,
        dictionary: Dictionary | None = None,
    ) -> None:
        self._file_system = file_system
        self._path = path
        self._number = number
        self._options = options
        self._origin = (NOTHING, LEVELS) if sequence is None else (sequence, level)
        has_zstd = level >= options.zstd_from_level
        self._dictionary = dictionary if has_zstd else None
        self._packer = Packer(options.zstd_compression_level if has_zstd else None, self._dictionary)
        self._file = file_system.open_append(path)
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._position = 0
        # What is not in a block yet, and where it starts to be so.
        self._keys: list[bytes] = []
        self._values: list[bytes | None] = []
        self._last_keys: list[bytes] = []
        self._block_ends: list[int] = []
        self._smallest = b""
        # For the filter; the keys themselves would take twenty times as much memory.
        self._hashes = array("I")
        self._tombstones = 0
        self._expiries: list[int] = []

    @property
    def byte_size(self) -> int:
        """Of the blocks written so far, compressed."""
        return self._position

    @property
    def path(self) -> str:
        return self._path

    def add(self, keys: list[bytes], values: list[bytes | None]) -> None:
        """Append records, whose keys follow all those before."""
        if not self._hashes:
            self._smallest = keys[0]
        self._hashes.extend(map(hash_key, keys))
        try:
            lengths = list(map(len, values))  # type: ignore[arg-type]  # a tombstone ends in the except
        except TypeError:
            lengths = [0 if value is None else len(value) for value in values]
            self._tombstones += values.count(None)
        if not all(values):
            self._expiries += [value.expires_ms for value in values if isinstance(value, Expiring)]
        if self._keys:
            keys = self._keys + keys
            values = self._values + values
            lengths = [0 if value is None else len(value) for value in self._values] + lengths
        self._cut_blocks(keys, values, list(accumulate(map(add, map(len, keys), lengths))))

    def _cut_blocks(self, keys: list[bytes], values: list[bytes | None], sizes: list[int]) -> None:
        start = done = 0
        while sizes[-1] - done >= self._options.block_bytes:
            end = bisect_left(sizes, done + self._options.block_bytes, start) + 1
            self._write_block(keys[start:end], values[start:end])
            start, done = end, sizes[end - 1]
            if end == len(sizes):
                break
        self._keys, self._values = keys[start:], values[start:]

    def _write_block(self, keys: list[bytes], values: list[bytes | None]) -> None:
        self._write_section(seal(encode_block(keys, values), self._position, self._packer))
        self._last_keys.append(keys[-1])
        self._block_ends.append(self._position)

    def _write_section(self, section: bytes) -> None:
        self._pieces.append(section)
        self._position += len(section)
        self._buffered += len(section)
        if self._buffered >= _WRITE_BYTES:
            self._write_out()

    def _write_out(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        self._file.write(data)

    def finish(self, cache: BlockCache) -> "SSTableReader":
        """Make the table durable, but for its name in the directory, and open it."""
        if self._keys:
            self._write_block(self._keys, self._values)
            self._keys, self._values = [], []
        index = Index(self._last_keys, array("Q", self._block_ends))
        bloom = BloomFilter.build(self._hashes, self._options.filter_bits_per_key)
        dictionary_start = self._position
        if self._dictionary is not None:
            self._write_section(seal(self._dictionary.content, self._position, Packer()))
        filter_start = self._position
        self._write_section(seal(bloom.encode(), self._position))
        index_start = self._position
        self._write_section(seal(index.encode(), self._position, Packer()))
        records, tombstones = len(self._hashes), self._tombstones
        starts = dictionary_start, filter_start, index_start
        self._write_section(Footer(*starts, records, tombstones, *self._origin).encode())
        half = (records + 1) // 2
        expiry_ms = sorted(self._expiries)[half - 1] if len(self._expiries) >= half else 0
        self._write_out()
        self._file.sync()
        self._file.close()
        table = Table(self._number, self._position, self._smallest, self._last_keys[-1], records, tombstones, expiry_ms)
        reader = SSTableReader(self._file_system, self._path, table, cache)
        reader.hand_over(index, bloom, self._dictionary)
        return reader

    def close(self) -> None:
        """Let go of a table that will not be finished."""
        self._file.close()


class Index:
    """The last key of every block and the end of its section."""

    __slots__ = ("block_ends", "last_keys")

    def __init__(self, last_keys: list[bytes], block_ends: "array[int]") -> None:
        self.last_keys = last_keys
        self.block_ends = block_ends

    def end_within(self, low: int, high: int, byte_size: int) -> int:
        """Where to end the blocks that are read from `low` on, at most `high`, for about so many bytes."""
        start = self.block_ends[low - 1] if low else 0
        return max(bisect_left(self.block_ends, start + byte_size, low, high), low + 1)

    def first_within(self, low: int, high: int, byte_size: int) -> int:
        """The same backward: where to begin those that are read up to `high`, at least `low`."""
        start = self.block_ends[high - 1] - byte_size
        if start <= (self.block_ends[low - 1] if low else 0):
            return low
        return min(bisect_left(self.block_ends, start, low, high) + 1, high - 1)

    def encode(self) -> bytes:
        key_ends = encode_integers("I", accumulate(map(len, self.last_keys)))
        block_ends = encode_integers("Q", self.block_ends)
        return b"".join((_count.pack(len(self.last_keys)), block_ends, key_ends, *self.last_keys))

    @classmethod
    def decode(cls, data: bytes) -> "Index":
        """Raises: DecodeError."""
        if len(data) < _count.size:
            raise DecodeError("an index is cut off")
        count = _count.unpack_from(data)[0]
        key_ends_start = _count.size + 8 * count
        keys_start = key_ends_start + 4 * count
        if not count or keys_start > len(data):
            raise DecodeError("an index is cut off")
        block_ends = decode_integers("Q", data[_count.size : key_ends_start])
        key_ends = decode_integers("I", data[key_ends_start:keys_start])
        if key_ends[-1] != len(data) - keys_start:
            raise DecodeError("the keys of an index do not fill it")
        # What is read for a block, or taken for a key, is then no more than there is.
        if not (ascend(block_ends) and ascend(key_ends)):
            raise DecodeError("what an index points to is out of order")
        keys = data[keys_start:]
        return cls([keys[start:end] for start, end in pairwise(chain((0,), key_ends))], block_ends)


class _DeniesNothing:
    """The filter of a table that was not read yet, of any size."""

    def __getitem__(self, number: int) -> int:
        return 0


_DENIES_NOTHING = _DeniesNothing()


class _Parts:
    """What a reader has of its table in memory, beside blocks, and the places for these."""

    __slots__ = ("blocks", "bloom", "dictionary", "index", "last_keys")

    def __init__(self, index: Index, bloom: BloomFilter, dictionary: Dictionary | None) -> None:
        self.index = index
        self.last_keys = index.last_keys
        self.blocks: Places = [None] * len(index.last_keys)
        self.bloom = bloom
        self.dictionary = dictionary

    @property
    def byte_size(self) -> int:
        keys = _KEY_BYTES * len(self.last_keys) + sum(map(len, self.last_keys))
        return keys + 8 * len(self.bloom.words) + (_DICTIONARY_BYTES if self.dictionary else 0)


class SSTableReader:
    """Reads one table, from any thread.

    Index, filter and dictionary are read at the first use, and then kept as long as the cache has room
    for them. The file is there to be read until the last reference is gone, also once it is removed if `keep` says so.

    words        the filter, for a lookup that asks many; while it is not in memory it denies nothing
    word_count   how many there are
    is_used      as IndexedTable has it
    is_counted   the same
    """

    __slots__ = (
        "__weakref__", "_cache", "_file", "_parts", "_path", "is_counted", "is_used", "largest", "smallest", "table",
        "word_count", "words",
    )  # fmt: skip

    def __init__(self, file_system: FileSystem, path: str, table: Table, cache: BlockCache) -> None:
        """Raises: CorruptionError, if the file is missing or has another size."""
        if not file_system.exists(path):
            raise CorruptionError(path, 0, "the table is missing")
        size = file_system.size(path)
        if size != table.byte_size or size < FOOTER_BYTES:
            raise CorruptionError(path, min(size, table.byte_size), f"it has {size} of {table.byte_size} bytes")
        self._file: ReadableFile = file_system.open_read(path)
        self._path = path
        self.table = table
        self.smallest = table.smallest
        self.largest = table.largest
        self._cache = cache
        self._parts: _Parts | None = None
        self.is_used = self.is_counted = False
        self.words: array[int] | _DeniesNothing = _DENIES_NOTHING
        self.word_count = 1

    @property
    def path(self) -> str:
        return self._path

    def get(self, key: bytes, spot: int, bits: int, wait: bool) -> Found:
        """Look up a key that is not above the largest one, and whose probe the filter does not deny.

        Raises: WouldBlockError, if not `wait` and what is needed is not in memory.
        """
        parts = self._parts
        if parts is None:
            parts = self._load(wait)
            if not parts.bloom.may_contain(spot, bits):
                return ABSENT
        self.is_used = True
        number = bisect_left(parts.last_keys, key)
        block = parts.blocks[number]
        if block is None:
            block = self._read_block(parts, number, wait)
        else:
            block.hits += 1
            rows = block.rows
            if rows is not None:
                return rows.get(key, ABSENT)
            if block.hits == _HITS_TO_OPEN and isinstance(block, Block):
                self._cache.open(parts.blocks, number, block)
        return block.get(key)

    def runs(
        self,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        reverse: bool = False,
        keep: bool = False,
        span_bytes: int = SPAN_BYTES,
    ) -> Iterator[Run]:
        """All records of the blocks that may hold start <= key < end, read in spans of about `span_bytes`.

        With `reverse` it begins with the last span. With `keep` the first block comes from the cache
        or goes there, for scans that end soon; those that do not take larger and larger spans past it.
        """
        parts = self._parts or self._load(True)
        index = parts.index
        # Blocks from `low` up to `high` are still to be read.
        low = bisect_left(index.last_keys, start)
        high = len(index.last_keys)
        if end is not None:
            high = min(bisect_left(index.last_keys, end) + 1, high)
        step_bytes = span_bytes
        if keep and low < high:
            number = high - 1 if reverse else low
            block = parts.blocks[number] or self._read_block(parts, number, True)
            yield block.run()
            low, high = (low, number) if reverse else (number + 1, high)
            step_bytes = _FIRST_SPAN_BYTES
        while low < high:
            if reverse:
                first = index.first_within(low, high, step_bytes)
                yield self._read_span(parts, first, high)
                high = first
            else:
                end_number = index.end_within(low, high, step_bytes)
                yield self._read_span(parts, low, end_number)
                low = end_number
            step_bytes = min(2 * step_bytes, span_bytes)

    def keep(self) -> bool:
        """Stay readable also once the file is removed; False, if there is no descriptor for that."""
        return self._file.keep()

    def read_block(self, number: int) -> Block:
        """A block from the file, past the cache."""
        return self._fetch_block(self._parts or self._load(True), number, True)

    def index(self) -> Index:
        return (self._parts or self._load(True)).index

    def dictionary(self) -> Dictionary | None:
        """What its blocks may be packed with, and others like them."""
        return (self._parts or self._load(True)).dictionary

    def may_contain(self, key: bytes) -> bool:
        return (self._parts or self._load(True)).bloom.may_contain(*probe(key))

    def hand_over(self, index: Index, bloom: BloomFilter, dictionary: Dictionary | None) -> None:
        """Take the parts from the writer, which has just written them."""
        self._offer(_Parts(index, bloom, dictionary))

    def _offer(self, parts: _Parts) -> None:
        def keep() -> None:
            # In this order: another thread may take the old words with the new count.
            self.word_count = len(parts.bloom.words)
            self.words = parts.bloom.words
            self._parts = parts

        self._cache.add_index(self, parts.byte_size, keep)

    def forget_index(self) -> None:
        """Let go of index, filter and dictionary; whoever is reading has them in hand."""
        self.words = _DENIES_NOTHING
        self._parts = None

    def _load(self, wait: bool) -> _Parts:
        if not wait:
            raise WouldBlockError(f"the index of {self._path} is not in memory")
        size = self.table.byte_size
        at = size - FOOTER_BYTES
        try:
            footer = Footer.decode(self._file.read(at, FOOTER_BYTES))
            if footer.index_start > at:
                raise DecodeError("the footer points out of the file")
            if (footer.records, footer.tombstones) != (self.table.records, self.table.tombstones):
                raise DecodeError("the manifest describes another table")
        except DecodeError as error:
            raise CorruptionError(self._path, at, str(error)) from error
        starts = (footer.dictionary_start, footer.filter_start, footer.index_start, at)
        sections = self._file.read(starts[0], at - starts[0])
        parts = [sections[start - starts[0] : end - starts[0]] for start, end in pairwise(starts)]
        at = footer.dictionary_start
        try:
            dictionary = Dictionary.of(unseal(parts[0], at)) if parts[0] else None
            at = footer.filter_start
            bloom = BloomFilter.decode(unseal(parts[1], at))
            at = footer.index_start
            index = Index.decode(unseal(parts[2], at))
            if index.last_keys[-1] != self.largest or index.block_ends[-1] != footer.dictionary_start:
                raise DecodeError("the index belongs to another table")
        except DecodeError as error:
            raise CorruptionError(self._path, at, str(error)) from error
        loaded = _Parts(index, bloom, dictionary)
        self._offer(loaded)
        # Another thread may have been quicker; or there is no room, and these are for once.
        return self._parts or loaded

    def _read_block(self, parts: _Parts, number: int, wait: bool) -> Block:
        block = self._fetch_block(parts, number, wait)
        self._cache.add(parts.blocks, number, block)
        return block

    def _fetch_block(self, parts: _Parts, number: int, wait: bool) -> Block:
        ends = parts.index.block_ends
        start = ends[number - 1] if number else 0
        if wait:
            section = self._file.read(start, ends[number] - start)
        else:
            found = self._file.read_nowait(start, ends[number] - start)
            if found is None:
                raise WouldBlockError(f"a block of {self._path} is not in memory")
            section = found
        try:
            return Block(unseal(section, start, parts.dictionary))
        except DecodeError as error:
            raise CorruptionError(self._path, start, str(error)) from error

    def _read_span(self, parts: _Parts, first: int, end: int) -> Run:
        """What lies in one stretch of the file, or in the cache; the cache stays as it is."""
        ends, dictionary = parts.index.block_ends, parts.dictionary
        start = at = ends[first - 1] if first else 0
        blocks = parts.blocks[first:end]
        data = self._file.read(start, ends[end - 1] - start) if None in blocks else b""
        keys: list[bytes] = []
        values: list[bytes | None] = []
        for number, block in enumerate(blocks, first):
            try:
                if block is None:
                    append_records(unseal(data[at - start : ends[number] - start], at, dictionary), keys, values)
                else:
                    block.append_to(keys, values)
            except DecodeError as error:
                raise CorruptionError(self._path, at, str(error)) from error
            at = ends[number]
        return keys, values
