"""What is said between an engine and its worker process.

message    := length:u32 job:u32 kind:u8 payload:u8[length]        little-endian

to the worker     1 flush       task                  its records follow
                  2 records     batch                 engine/record.py
                  3 no more records
                  4 compaction  task compaction
                  5 stop
from the worker   6 made        edit that adds them   engine/manifest.py
                  7 stopped
                  8 failed      kind:varint number:varint path:bytes reason:bytes

task       := token:bytes directory:bytes options:bytes            JSON
compaction := level:varint is_in_place:varint clock_ms:varint borders:varint border:bytes*
              inputs:bytes others:bytes                             two edits that add tables
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Protocol

from engine.block import Block, encode_block
from engine.coding import DecodeError, Decoder, encode_bytes, encode_varint
from engine.compaction import Compaction
from engine.errors import CorruptionError, EngineError, StorageError, StorageFullError
from engine.manifest import decode_edit, encode_edit
from engine.memtable import Memtable
from engine.options import Options
from engine.record import SequenceNumber
from engine.version import LEVELS, Table, Version, VersionEdit

FLUSH, RECORDS, RECORDS_END, COMPACTION, STOP, MADE, STOPPED, FAILED = range(1, 9)

_head = struct.Struct("<IIB")
_RECORDS_BYTES = 128 << 10
_RECORDS_MAX = 1024
_OTHER, _FULL, _STORAGE, _CORRUPTION = range(4)


class Stream(Protocol):
    """What messages are read from."""

    def read(self, size: int, /) -> bytes | None: ...


def encode_message(job: int, kind: int, payload: bytes = b"") -> bytes:
    """A message about a job, whose number the engine's side gives."""
    return _head.pack(len(payload), job, kind) + payload


def read_message(stream: Stream) -> tuple[int, int, bytes] | None:
    """The job, the kind and the payload of the next message; None if there is none."""
    head = stream.read(_head.size)
    if not head or len(head) < _head.size:
        return None
    length, job, kind = _head.unpack(head)
    payload = stream.read(length) if length else b""
    if payload is None or len(payload) < length:
        return None
    return job, kind, payload


@dataclass(frozen=True, slots=True)
class Task:
    """What the worker needs to know of the store it makes tables for.

    token       begins the names of the files it makes, which nobody else uses
    directory   an absolute path
    """

    token: str
    directory: str
    options: Options

    def encode(self) -> bytes:
        options = json.dumps(asdict(self.options)).encode()
        return (
            encode_bytes(self.token.encode())
            + encode_bytes(self.directory.encode(errors="surrogateescape"))
            + encode_bytes(options)
        )

    @classmethod
    def decode(cls, decoder: Decoder) -> "Task":
        token, directory, options = decoder.bytes(), decoder.bytes(), decoder.bytes()
        return cls(token.decode(), directory.decode(errors="surrogateescape"), Options(**json.loads(options)))


def encode_compaction(compaction: Compaction, version: Version) -> bytes:
    """A compaction with what it needs of the Version: what may hide below the tables it merges."""
    level = compaction.level
    inputs = [(level, table) for table in compaction.upper]
    inputs += [(level + 1, table) for table in compaction.lower]
    tables = [table for _, table in inputs]
    smallest, largest = min(table.smallest for table in tables), max(table.largest for table in tables)
    others = [
        (below, table)
        for below in range(level + 1, LEVELS)
        for table in version.overlapping(below, smallest, largest)
        if table not in compaction.lower
    ]
    edits = VersionEdit(added=tuple(inputs)), VersionEdit(tuple(others), flushed_sequence=version.flushed_sequence)
    borders = compaction.borders
    numbers = map(encode_varint, (level, compaction.is_in_place, compaction.clock_ms, len(borders)))
    return b"".join([*numbers, *map(encode_bytes, (*borders, *map(encode_edit, edits)))])


def decode_compaction(decoder: Decoder) -> tuple[Compaction, Version]:
    """The reverse: the Version has no other tables than these. Raises: DecodeError."""
    level, is_in_place, clock_ms, count = [decoder.varint() for _ in range(4)]
    borders = tuple(decoder.bytes() for _ in range(count))
    inputs, others = decode_edit(decoder.bytes()), decode_edit(decoder.bytes())
    version = Version().apply(inputs).apply(others)
    numbers = {table.number for _, table in inputs.added}
    chosen = [tuple(t for t in version.levels[number] if t.number in numbers) for number in (level, level + 1)]
    return Compaction(level, chosen[0], chosen[1], clock_ms, bool(is_in_place), borders), version


def encode_flush(memtable: Memtable) -> bytes:
    """A memtable without its records, which follow."""
    return encode_varint(memtable.sequence)


def decode_flush(decoder: Decoder) -> Memtable:
    """The reverse. Raises: DecodeError."""
    return Memtable(SequenceNumber(decoder.varint()))


def encode_records(memtable: Memtable) -> Iterator[bytes]:
    """The records of a sealed memtable in pieces, none of which takes long to make."""
    count = len(memtable.records)
    step = min(max(_RECORDS_BYTES * count // max(memtable.byte_size, 1), 1), _RECORDS_MAX)
    keys, values = iter(memtable.records), iter(memtable.records.values())
    while some := list(islice(keys, step)):
        yield encode_block(some, list(islice(values, step)))


def decode_records(payload: bytes) -> dict[bytes, bytes | None]:
    """The reverse, of one piece. Raises: DecodeError."""
    return dict(zip(*Block(payload).run(), strict=True))


def encode_made(tables: list[Table]) -> bytes:
    """The tables that a job has made; their numbers are those in the names of their files."""
    return encode_edit(VersionEdit(added=tuple((0, table) for table in tables)))


def decode_made(payload: bytes) -> list[Table]:
    """The reverse. Raises: DecodeError."""
    return [table for _, table in decode_edit(payload).added]


def encode_failure(error: BaseException) -> bytes:
    """Why a job has failed."""
    kind, number, path, reason = _OTHER, 0, "", repr(error)
    if isinstance(error, StorageError):
        kind = _FULL if isinstance(error, StorageFullError) else _STORAGE
        number, path, reason = error.number, error.path, error.reason
    elif isinstance(error, CorruptionError):
        kind, number, path, reason = _CORRUPTION, error.offset, error.path, error.reason
    texts = [encode_bytes(text.encode(errors="surrogateescape")) for text in (path, reason)]
    return b"".join((encode_varint(kind), encode_varint(number), *texts))


def decode_failure(payload: bytes) -> EngineError:
    """The error as it would have been raised here. Raises: DecodeError."""
    decoder = Decoder(payload)
    kind, number = decoder.varint(), decoder.varint()
    path, reason = [decoder.bytes().decode(errors="surrogateescape") for _ in range(2)]
    if kind == _CORRUPTION:
        return CorruptionError(path, number, reason)
    if kind == _FULL:
        return StorageFullError(path, number, reason)
    if kind == _STORAGE:
        return StorageError(path, number, reason)
    if kind != _OTHER:
        raise DecodeError(f"there is no failure {kind}")
    return EngineError(f"the worker process failed: {reason}")
