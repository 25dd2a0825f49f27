"""What a failing disk still gives is read; the rest is zeros, and the reason is kept."""

import random

import pytest

from engine import MemoryFileSystem, StorageError
from engine.patient import PAGE_BYTES, PatientFileSystem
from tests.engine.badsectors import BadSectors


def test_only_the_pages_that_fail_are_zeros() -> None:
    disk = BadSectors()
    content = random.Random(1).randbytes(5 * PAGE_BYTES + 100)
    disk.open_append("/a").close()
    disk.replace("/a", content)
    disk.bad["/a"] = {PAGE_BYTES + 5, 5 * PAGE_BYTES + 1}
    patient = PatientFileSystem(disk)
    file = patient.open_read("/a")

    zeros = bytes(PAGE_BYTES)
    expected = content[:PAGE_BYTES] + zeros + content[2 * PAGE_BYTES : 5 * PAGE_BYTES] + bytes(100)
    assert file.read(0, 10 * PAGE_BYTES) == expected
    assert file.read(10, 50) == content[10:60]
    assert file.read(PAGE_BYTES - 3, 6) == content[PAGE_BYTES - 3 : PAGE_BYTES] + content[PAGE_BYTES : PAGE_BYTES + 3]
    assert file.read_nowait(5 * PAGE_BYTES, 100) == bytes(100)
    assert file.read(6 * PAGE_BYTES, 5) == b""
    assert patient.refusal("/a", 0, PAGE_BYTES) is None
    assert patient.refusal("/a", 0, PAGE_BYTES + 1) == "Input/output error"
    assert patient.refusal("/a", 2 * PAGE_BYTES, 5 * PAGE_BYTES) is None
    assert patient.refusal("/b", 0, 1) is None
    file.close()


def test_a_file_that_is_not_there_is_an_error() -> None:
    patient = PatientFileSystem(MemoryFileSystem())

    assert not patient.exists("/a")
    with pytest.raises(StorageError):
        patient.open_read("/a")
    with pytest.raises(StorageError):
        patient.size("/a")
