"""KeyRange: the keys that a scan is asked for, over all partitions, and the cursor that says how far it came.

    cursor := base64url (digest:u8[8] after:u8[])        without padding

To the client a cursor is opaque. It names no node and no partition: it goes on after the key `after`, wherever that is
answered. The digest is of the range and of `after`: with another range, or changed, it is no cursor.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

import msgspec

_DIGEST_BYTES = 8
_CURSOR = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys that begin with `prefix`, from `start` up to, not including, `end`.

    end      empty: no end
    reverse  the last key first; the bounds mean the same
    """

    prefix: bytes = b""
    start: bytes = b""
    end: bytes = b""
    reverse: bool = False

    def bounds(self, after: bytes | None = None) -> tuple[bytes, bytes | None]:
        """Low <= key < high of what is left after the key `after`; a high of None is above every key."""
        low, high = max(self.start, self.prefix), self.end or None
        above = _above(self.prefix)
        if high is None or (above is not None and above < high):
            high = above
        if after is None:
            return low, high
        if self.reverse:
            return low, after if high is None else min(after, high)
        return max(low, after + b"\x00"), high

    def encode_cursor(self, after: bytes) -> str:
        """What goes on after a key of this range."""
        return base64.urlsafe_b64encode(self._digest(after) + after).rstrip(b"=").decode()

    def decode_cursor(self, cursor: str) -> bytes | None:
        """The key after which it goes on; None, if it is no cursor of this range."""
        if not _CURSOR.fullmatch(cursor):
            return None
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except binascii.Error:
            return None
        digest, after = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        return after if digest == self._digest(after) and self.encode_cursor(after) == cursor else None

    def _digest(self, after: bytes) -> bytes:
        text = msgspec.msgpack.encode((self.prefix, self.start, self.end, self.reverse, after))
        return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()


def _above(prefix: bytes) -> bytes | None:
    """The least key above all that begin with `prefix`, None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None
