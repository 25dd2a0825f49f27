import pytest

from engine import ClosedError, CorruptionError, StorageError, StorageFullError, is_damage


@pytest.mark.parametrize(
    ("error", "is_to_blame"),
    [
        (CorruptionError("000001.sst", 8, "a flipped bit"), True),
        (StorageError("000001.sst", 5, "input/output error"), True),
        (StorageFullError("000001.sst", 28, "no space left on device"), False),
        (ClosedError("the engine is closed"), False),
        (RuntimeError("a bug"), False),
    ],
)
def test_a_disk_is_to_blame_for_what_it_does_not_give_back(error: Exception, is_to_blame: bool) -> None:
    assert is_damage(error) is is_to_blame
