"""Room: on a full disk deletes alone are let in, until the reserve is held again."""

import pytest

from engine import Fault, MemoryFileSystem, StorageFullError, WriteBatch
from engine.files import RESERVE
from tests.engine.small import batch, open_engine
from tests.engine.test_engine import FULL


def test_without_the_reserve_deletes_alone_are_let_in() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk, reserve_bytes=4096)
    room, putting, deleting = engine._writer._room, batch((b"a", b"1")), WriteBatch()
    deleting.delete(b"a")
    assert room.reserve.release()
    disk.faults.append(Fault("write", FULL, suffix=RESERVE, times=2))
    assert not room.look()

    room.admit([deleting])
    with pytest.raises(StorageFullError, match="no space is left for anything but deletes"):
        room.admit([deleting, putting])
    was_held = room.reserve.is_held

    room.admit([putting])
    assert (was_held, room.reserve.is_held) == (False, True)
    engine.close()


def test_the_reserve_is_given_up_for_deletes_alone() -> None:
    engine = open_engine(MemoryFileSystem(), reserve_bytes=4096)
    room, putting, deleting = engine._writer._room, batch((b"a", b"1")), WriteBatch()
    deleting.delete(b"a")
    refused = StorageFullError("/db/x", 28, "No space left on device")
    tried: list[str] = []

    with pytest.raises(StorageFullError) as raised:
        room.once_more([putting], refused, lambda: tried.append("put"))
    assert (raised.value, tried, room.reserve.is_held) == (refused, [], True)
    room.once_more([deleting], refused, lambda: tried.append("delete"))

    assert (tried, room.reserve.is_held) == (["delete"], False)
    engine.close()
