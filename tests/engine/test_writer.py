"""Writer: the short ways do what the long one does, or nothing."""

import pytest

from engine import ClosedError, Engine, InvalidBatchError, MemoryFileSystem, Options, SequenceNumber
from tests.engine.small import batch, open_engine


def test_a_put_that_calls_for_more_does_nothing() -> None:
    engine = open_engine(MemoryFileSystem())
    writer = engine._writer
    with writer.lock:
        assert writer.put(b"a", b"1", sync=False) == 1
        engine._backpressure.is_slowing = True
        assert writer.put(b"a", b"2", sync=False) is None
        engine._backpressure.is_slowing = False

    assert (engine.get(b"a"), engine.applied_sequence, writer.written_bytes) == (b"1", 1, 2)
    engine.close()
    assert writer.put(b"a", b"3", sync=False) is None
    with pytest.raises(ClosedError):
        writer.commit([batch((b"a", b"3"))], sync=False)


def test_a_given_sequence_never_falls_and_a_memtable_ends_between_two() -> None:
    engine = Engine.open("/db", Options(own_log=False, memtable_bytes_max=4096), file_system=MemoryFileSystem())
    writer, large = engine._writer, batch((b"a", b"1" * 5000))
    with writer.lock:
        assert not writer.write_given(large, SequenceNumber(5))
        full = writer.active
        assert not writer.write_given(large, SequenceNumber(5))
        assert writer.active is full
        assert writer.write_given(batch((b"b", b"1")), SequenceNumber(6))
        with pytest.raises(InvalidBatchError, match="sequence 5 comes after 6"):
            writer.write_given(large, SequenceNumber(5))

    assert list(writer.active.records) == [b"b"]
    assert full.sequence == 5
    engine.close()


def test_an_empty_memtable_is_not_sealed_for_a_flush() -> None:
    engine = open_engine(MemoryFileSystem())
    writer = engine._writer
    first = writer.active
    with writer.lock:
        writer.seal_for_flush()
        assert writer.active is first
        writer.commit([batch((b"a", b"1"))], sync=False)
        writer.seal_for_flush()
        assert writer.active is not first

    assert engine.get(b"a") == b"1"
    engine.close()
