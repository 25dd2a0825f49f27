"""What goes to the worker process and back arrives as it was."""

import io

import pytest

from engine import CorruptionError, EngineError, Options, SequenceNumber, StorageError, StorageFullError
from engine.coding import DecodeError, Decoder, encode_varint
from engine.compaction import Compaction
from engine.memtable import Memtable
from engine.orders import (
    FLUSH,
    STOP,
    Task,
    decode_compaction,
    decode_failure,
    decode_flush,
    decode_made,
    decode_records,
    encode_compaction,
    encode_failure,
    encode_flush,
    encode_made,
    encode_message,
    encode_records,
    read_message,
)
from engine.record import Expiring
from engine.version import Table, Version, VersionEdit


def table(number: int, smallest: bytes, largest: bytes) -> Table:
    return Table(number, 1000 + number, smallest, largest, 10, number % 2)


def test_messages_are_read_one_after_the_other() -> None:
    stream = io.BytesIO(encode_message(1, FLUSH, b"abc") + encode_message(2, STOP))

    assert [read_message(stream) for _ in range(3)] == [(1, FLUSH, b"abc"), (2, STOP, b""), None]


@pytest.mark.parametrize("length", range(12))
def test_a_message_that_is_cut_off_is_none(length: int) -> None:
    """Whoever sent it is gone."""
    assert read_message(io.BytesIO(encode_message(1, FLUSH, b"abc")[:length])) is None


def test_a_task_has_every_option() -> None:
    options = Options(
        own_log=False, memtable_bytes_max=5000, block_bytes=100, worker_process=False, stall_seconds_max=0.5
    )
    task = Task("0123456789abcdef", "/with/ä", options)

    assert Task.decode(Decoder(task.encode())) == task


def test_a_compaction_brings_what_may_hide_below_it() -> None:
    """And nothing else of a Version that may be large."""
    levels = {
        0: [table(9, b"a", b"k"), table(8, b"c", b"m")],
        1: [table(1, b"a", b"d"), table(2, b"e", b"n"), table(3, b"p", b"z")],
        2: [table(4, b"b", b"c"), table(5, b"o", b"p")],
        6: [table(6, b"a", b"z")],
    }
    version = Version().apply(VersionEdit(added=tuple((n, t) for n, tables in levels.items() for t in tables)))
    compaction = Compaction(0, version.levels[0], version.levels[1][:2], clock_ms=1234)

    version = version.apply(VersionEdit(flushed_sequence=SequenceNumber(77)))
    decoded, part = decode_compaction(Decoder(encode_compaction(compaction, version)))

    assert decoded == compaction
    assert sorted(t.number for t in part.tables()) == [1, 2, 4, 6, 8, 9]
    assert part.levels[2] == (levels[2][0],)
    assert part.flushed_sequence == 77


def test_a_compaction_in_place_brings_the_next_level() -> None:
    above, below = table(1, b"a", b"d"), table(2, b"c", b"e")
    version = Version().apply(VersionEdit(added=((1, above), (2, below))))
    compaction = Compaction(1, (above,), (), is_in_place=True)

    decoded, part = decode_compaction(Decoder(encode_compaction(compaction, version)))

    assert (decoded, part) == (compaction, version)


def test_a_flush_tells_how_new_its_records_are() -> None:
    assert decode_flush(Decoder(encode_flush(Memtable(SequenceNumber(300))))).sequence == 300


@pytest.mark.parametrize("value_bytes", [0, 100, 100_000])
def test_records_go_in_pieces_of_bounded_size(value_bytes: int) -> None:
    memtable = Memtable(SequenceNumber(0))
    records = {
        b"%05d" % n: None if n % 5 == 0 else bytes(value_bytes) for n in range(3000 if value_bytes < 1000 else 30)
    }
    size = sum(len(key) + len(value or b"") for key, value in records.items())
    memtable.write(records, size, SequenceNumber(1))

    pieces = list(encode_records(memtable))

    assert max(map(len, pieces)) <= max(256 << 10, 2 * value_bytes)
    assert len(pieces) > 2
    decoded: dict[bytes, bytes | None] = {}
    for piece in pieces:
        decoded.update(decode_records(piece))
    assert decoded == records


def test_records_keep_the_time_at_which_they_expire() -> None:
    memtable = Memtable(SequenceNumber(0))
    memtable.write({b"a": Expiring.at(5000, b"v"), b"b": b"v"}, 4, SequenceNumber(1))

    (piece,) = encode_records(memtable)

    decoded = decode_records(piece)[b"a"]
    assert isinstance(decoded, Expiring)
    assert (decoded, decoded.expires_ms) == (b"v", 5000)


def test_a_memtable_without_records_has_no_pieces() -> None:
    assert list(encode_records(Memtable(SequenceNumber(0)))) == []


def test_tables_that_were_made_are_described() -> None:
    tables = [table(1, b"a", b"b"), table(2, b"c", b"d")]

    assert decode_made(encode_made(tables)) == tables
    assert decode_made(encode_made([])) == []


@pytest.mark.parametrize(
    "error",
    [
        StorageFullError("/db/1.sst", 28, "No space left on device"),
        StorageError("/db/\udcff", 5, "Input/output error"),
        CorruptionError("/db/1.sst", 4096, "the checksum of a section does not match"),
    ],
)
def test_an_error_arrives_as_it_was_raised(error: EngineError) -> None:
    decoded = decode_failure(encode_failure(error))

    assert (type(decoded), vars(decoded), str(decoded)) == (type(error), vars(error), str(error))


def test_any_other_error_says_what_it_was() -> None:
    assert "KeyError(3)" in str(decode_failure(encode_failure(KeyError(3))))


def test_an_unknown_failure_is_refused() -> None:
    with pytest.raises(DecodeError):
        decode_failure(encode_varint(9) + bytes(3))
