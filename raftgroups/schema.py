"""Schema: what an engine holds of one partition, by the first byte of its keys.

    0x00 name                    the state machine's own records (statemachine.py)
    0x01 key                     a user's key, holding an Item (item.py)
    0x02 expires_ms:u64 key      that the item under the key may expire then; it holds nothing
    0x03 token                   what a Once with this token came to (idempotency.py)
    0x04 expires_ms:u64 token    that this is forgotten then; it holds nothing
    0x05 index:u64               what the entry there changed, where its commands alone do not tell (history.py)

Numbers are big-endian, so that keys sort by time. Those that hold nothing are hints: an item that was overwritten
leaves its own behind, and so does a token that was forgotten early, to be looked at when their time has come.
"""

from collections.abc import Iterator
from typing import Protocol

USER = b"\x01"
EXPIRY = b"\x02"
TOKEN = b"\x03"
TOKEN_EXPIRY = b"\x04"

CHANGES = b"\x05"

TOKENS_KEY = b"\x00tokens"
HORIZON_KEY = b"\x00horizon"

_TIME_BYTES = 8
_INDEX_BYTES = 8


class Records(Protocol):
    """What can be read: an engine, or a snapshot of one."""

    def get(self, key: bytes, *, wait: bool = True) -> bytes | None: ...

    def scan(
        self, start: bytes = b"", end: bytes | None = None, *, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]: ...


def due_key(kind: bytes, expires_ms: int, name: bytes) -> bytes:
    """The key that says when something expires."""
    return kind + expires_ms.to_bytes(_TIME_BYTES, "big") + name


def parse_due_key(key: bytes) -> tuple[int, bytes]:
    """(expires_ms, name) of such a key."""
    name = 1 + _TIME_BYTES
    return int.from_bytes(key[1:name], "big"), key[name:]


def changes_key(index: int) -> bytes:
    """The key of what an entry changed."""
    return CHANGES + index.to_bytes(_INDEX_BYTES, "big")


def parse_changes_key(key: bytes) -> int:
    """The index in such a key."""
    return int.from_bytes(key[1:], "big")
