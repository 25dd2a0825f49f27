"""What is left of a table: every block that is whole, and every hole, whatever is damaged.

Where footer and index are whole they tell where each block begins and which keys it may have. Where
one of them is lost the blocks are found by their checksums (sections.py), and what may have been
between them is told by the keys around it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from operator import lt
from typing import NamedTuple

from engine.block import Block
from engine.bloom import BloomFilter
from engine.coding import DecodeError
from engine.dictionary import Dictionary, is_dictionary
from engine.files import ReadableFileSystem
from engine.footer import FOOTER_BYTES, Footer
from engine.keyspan import KeySpan
from engine.patient import PatientFileSystem
from engine.section import NoDictionaryError, codec_of, unseal
from engine.sections import FIND_BYTES_MAX, find_sections, section_ends
from engine.sstable import Index
from engine.version import Table
from engine.window import Window

# How far the end of a section is looked for: first so far, as most are shorter, then so far.
_END_BYTES = (64 << 10, 1 << 20)
_NOTHING_FOUND = DecodeError("no block is found here")


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes of a table that cannot be read, or are not what was written.

    keys            where the records are that they hold; None if they hold none
    is_consequence  they are whole, but cannot be unpacked without a dictionary that is not
    """

    start: int
    end: int
    reason: str
    keys: KeySpan | None = None
    is_consequence: bool = False


@dataclass(frozen=True, slots=True)
class WholeBlock:
    """A block as it was written.

    start, end   of its section
    unpacked     its size without compression
    """

    start: int
    end: int
    codec: str
    unpacked: int
    keys: list[bytes]
    values: list[bytes | None]


class _Section(NamedTuple):
    """Where a block is; `last` is its last key, if an index tells it."""

    start: int
    end: int
    last: bytes | None = None


class TableSurvey:
    """Reads a table that nobody changes, and trusts nothing in it.

    footer, index, bloom, dictionary   None if they are damaged, were not found or never were there
    holes                              where they were, and what is missing at the end of the file
    """

    def __init__(self, file_system: ReadableFileSystem, path: str, table: Table | None = None) -> None:
        """`table` is what the manifest says, if that is known. Raises: StorageError, if it cannot be opened."""
        self._disk = PatientFileSystem(file_system)
        self._path = path
        self._table = table
        self.byte_size = self._disk.size(path)
        self._window = Window(self._disk.open_read(path))
        self.footer: Footer | None = None
        self.index: Index | None = None
        self.bloom: BloomFilter | None = None
        self.holes: list[Hole] = []
        self.dictionary: Dictionary | None = None
        # Up to here there may be blocks.
        self._blocks_end = self.byte_size
        self._read_end()
        self._sections = self._locate()

    def _locate(self) -> list[_Section]:
        found = self._walk() if self.index is None else []
        if self.index is None:
            return found
        starts = [0, *self.index.block_ends[:-1]]
        return list(map(_Section, starts, self.index.block_ends, self.index.last_keys))

    def blocks(self) -> Iterator[WholeBlock | Hole]:
        """All blocks in order, or where they may have been; with an index, one for each of its entries."""
        return self._indexed_blocks() if self.index is not None else self._found_blocks()

    def _indexed_blocks(self) -> Iterator[WholeBlock | Hole]:
        keys = self._from_smallest()
        largest = b""
        for section in self._sections:
            try:
                block = self._read_block(section, largest)
            except DecodeError as error:
                yield self._hole(section.start, section.end, error, replace(keys, last=section.last))
            else:
                yield block
                largest = block.keys[-1]
            keys = KeySpan(after=section.last)

    def _found_blocks(self) -> Iterator[WholeBlock | Hole]:
        keys = self._from_smallest()
        largest = b""
        at = 0
        problem = _NOTHING_FOUND
        for section in self._sections:
            try:
                block = self._read_block(section, largest)
            except DecodeError as error:
                problem = error
                continue
            if at < section.start:
                yield self._hole(at, section.start, problem, replace(keys, before=block.keys[0]))
            yield block
            at, largest, problem = section.end, block.keys[-1], _NOTHING_FOUND
            keys = KeySpan(after=largest)
        if at < self._blocks_end:
            last = self._table.largest if self._table else None
            missing = None if largest == last else replace(keys, last=last)
            yield self._hole(at, self._blocks_end, problem, missing)

    def _from_smallest(self) -> KeySpan:
        return KeySpan(first=self._table.smallest if self._table else None)

    def _read_block(self, section: _Section, largest: bytes) -> WholeBlock:
        """A block whose keys follow the largest one before. Raises: DecodeError."""
        data = self._read(section.start, section.end)
        content = unseal(data, section.start, self.dictionary)
        keys, values = Block(content).run()
        if not all(map(lt, [largest, *keys], keys)):
            raise DecodeError("keys are out of order")
        return WholeBlock(section.start, section.end, codec_of(data), len(content), keys, values)

    def _read(self, start: int, end: int) -> bytes:
        return self._window.take(start, end - start)

    def _hole(self, start: int, end: int, problem: DecodeError, keys: KeySpan | None = None) -> Hole:
        reason = self._disk.refusal(self._path, start, end) or str(problem)
        return Hole(start, end, reason, keys, isinstance(problem, NoDictionaryError))

    # Parts behind the blocks

    def _read_end(self) -> None:
        """The footer, and all that it points to."""
        ends = {self.byte_size}
        if self._table is not None and self._table.byte_size != self.byte_size:
            known = self._table.byte_size
            reason = DecodeError(f"it has {self.byte_size} of {known} bytes")
            self.holes.append(self._hole(min(known, self.byte_size), max(known, self.byte_size), reason))
            # Behind the end of the table there is something else, or a part of it is missing.
            ends = {known} if known < self.byte_size else set()
        for end in ends:
            at = max(end - FOOTER_BYTES, 0)
            try:
                footer = Footer.decode(self._read(at, end))
                if footer.index_start > at:
                    raise DecodeError("the footer points out of the file")
            except DecodeError as error:
                self.holes.append(self._hole(at, end, error))
            else:
                self.footer = footer
                self._blocks_end = footer.dictionary_start
                self._read_parts(footer, at)

    def _read_parts(self, footer: Footer, end: int) -> None:
        if footer.dictionary_start < footer.filter_start:
            self._read_part(footer.dictionary_start, footer.filter_start, self._take_dictionary)
        self._read_part(footer.filter_start, footer.index_start, self._take_filter)
        self._read_part(footer.index_start, end, self._take_index)

    def _read_part(self, start: int, end: int, take: Callable[[bytes], None]) -> None:
        try:
            take(unseal(self._read(start, end), start))
        except DecodeError as error:
            self.holes.append(self._hole(start, end, error))

    def _take_dictionary(self, content: bytes) -> None:
        self.dictionary = Dictionary.of(content)

    def _take_filter(self, content: bytes) -> None:
        self.bloom = BloomFilter.decode(content)

    def _take_index(self, content: bytes) -> None:
        index = Index.decode(content)
        ends = [0, *index.block_ends]
        if not all(map(lt, ends, ends[1:])) or not all(map(lt, index.last_keys, index.last_keys[1:])):
            raise DecodeError("the index is out of order")
        if ends[-1] > self._blocks_end:
            raise DecodeError("the index belongs to another table")
        self.index = index

    # Without an index

    def _walk(self) -> list[_Section]:
        """Find the blocks, and without a footer also what comes behind them, by their checksums."""
        blocks: list[_Section] = []
        at, limit = 0, self._blocks_end
        while (found := self._next_section(at, limit)) is not None:
            start, at, kind = found
            if kind is _Kind.BLOCK:
                blocks.append(_Section(start, at))
                continue
            self._blocks_end = min(self._blocks_end, start)
            if kind is _Kind.DICTIONARY:
                self._read_part(start, at, self._take_dictionary)
            elif kind is _Kind.FILTER:
                self._read_part(start, at, self._take_filter)
            else:
                self._read_part(start, at, self._take_index)
        return blocks

    def _next_section(self, at: int, limit: int) -> tuple[int, int, "_Kind"] | None:
        """Where the first section is that begins there, or behind it."""
        for reach in _END_BYTES:
            data = self._read(at, min(at + reach, limit))
            for end in section_ends(data, at):
                kind = _kind(data[:end], at)
                if kind is not None:
                    return at, at + end, kind
        while at < limit:
            data = self._read(at, min(at + FIND_BYTES_MAX, limit))
            for start, end in sorted(find_sections(data, at)) if any(data) else ():
                kind = _kind(data[start:end], at + start)
                # Anything may look like a filter, and so may what matches by chance.
                if kind not in {None, _Kind.FILTER}:
                    return at + start, at + end, kind
            at += FIND_BYTES_MAX // 2
        return None


class _Kind(Enum):
    """What a section holds, where no index or footer tells it."""

    BLOCK = 1
    DICTIONARY = 2
    FILTER = 3
    INDEX = 4


def _kind(section: bytes, position: int) -> _Kind | None:
    """What a section whose checksum matches looks like; None if it is none."""
    try:
        content = unseal(section, position)
    except NoDictionaryError:
        return _Kind.BLOCK
    except DecodeError:
        return None
    try:
        keys, _ = Block(content).run()
        if all(map(lt, [b"", *keys], keys)):
            return _Kind.BLOCK
    except DecodeError:
        pass
    if is_dictionary(content):
        return _Kind.DICTIONARY
    try:
        Index.decode(content)
    except DecodeError:
        return _Kind.FILTER
    return _Kind.INDEX
