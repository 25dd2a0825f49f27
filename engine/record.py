"""Records, what a caller writes, and the bounds of both.

A key has at most one visible record: the newest. A value of None is a tombstone: it hides every
older record of its key until compaction finds none left to hide.
"""

from collections.abc import ItemsView
from typing import NewType

from engine.errors import InvalidKeyError, InvalidValueError

SequenceNumber = NewType("SequenceNumber", int)

KEY_BYTES_MAX = 64 << 10
VALUE_BYTES_MAX = 32 << 20


def check_key(key: bytes) -> None:
    """Raises: InvalidKeyError."""
    if key.__class__ is not bytes:
        raise InvalidKeyError(f"a key is bytes, not {type(key).__name__}")
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise InvalidKeyError(f"a key has 1 to {KEY_BYTES_MAX} bytes, not {len(key)}")


def check_value(value: bytes) -> None:
    """Raises: InvalidValueError."""
    if value.__class__ is not bytes:
        raise InvalidValueError(f"a value is bytes, not {type(value).__name__}")
    if len(value) > VALUE_BYTES_MAX:
        raise InvalidValueError(f"a value has at most {VALUE_BYTES_MAX} bytes, not {len(value)}")


class WriteBatch:
    """Puts and deletes that become visible, and durable, together or not at all.

    Of several records of one key the last one counts. `len()` is the number of keys,
    `byte_size` the bytes of their keys and values.
    """

    __slots__ = ("byte_size", "records")

    def __init__(self) -> None:
        # A dict, because the memtable is one: a write is then a single dict.update at C speed.
        self.records: dict[bytes, bytes | None] = {}
        self.byte_size = 0

    def put(self, key: bytes, value: bytes) -> None:
        # The checks are spelled out here, as a call costs more than both.
        if key.__class__ is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            check_key(key)
        if value.__class__ is not bytes or len(value) > VALUE_BYTES_MAX:
            check_value(value)
        self.records[key] = value
        self.byte_size += len(key) + len(value)

    def delete(self, key: bytes) -> None:
        if key.__class__ is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            check_key(key)
        self.records[key] = None
        self.byte_size += len(key)

    def items(self) -> ItemsView[bytes, bytes | None]:
        return self.records.items()

    def __len__(self) -> int:
        return len(self.records)
