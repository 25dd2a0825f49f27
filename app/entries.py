r"""Entries: what a key holds as a JSON object, as scans and exports give it and imports take it.

    {"key":"a","value":"1","encoding":"utf8","revision":8193,"key_encoding":"base64","content_type":"…","expires_in":59.5}

`encoding` is of the value, `key_encoding` of the key: "base64" where the bytes are not UTF-8, else "utf8". A key is
seldom not, so its encoding is left out when it is utf8; and so are a content type and an end that the key has not.

    export := entry "\n" … end         end: see exportend.py
"""

from collections.abc import Callable, Iterable

import msgspec

from app.exportend import End, decode_end
from app.fields import is_media_type
from app.operations import Ttl
from app.pairs import pair_problem
from app.rules import left_ms, ttl_ms_of
from app.settings import Limits
from app.spelling import Encoding, spell, unspell
from raftgroups import ConditionalPut, Pair, Put, decode_item

# A control character of one byte takes six, and a name or a number of an entry never more than this.
_ESCAPED_BYTES = 6
_OTHER_BYTES = 1_024


class KeyEntry(msgspec.Struct, omit_defaults=True, frozen=True):
    """A key, without what it holds."""

    key: str
    revision: int
    key_encoding: Encoding = "utf8"


class Entry(msgspec.Struct, omit_defaults=True, frozen=True):
    """A key and what it holds.

    expires_in  seconds until it is gone; None: never
    """

    key: str
    value: str
    encoding: Encoding
    revision: int
    key_encoding: Encoding = "utf8"
    content_type: str = ""
    expires_in: float | None = None


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry as it is taken in: what has a default may be left out. The revision is not kept."""

    key: str
    value: str
    encoding: Encoding = "utf8"
    key_encoding: Encoding = "utf8"
    revision: int = 0
    content_type: str = ""
    expires_in: Ttl | None = None


class BadEntryError(ValueError):
    """Not an entry; the text says why."""


_encoder = msgspec.json.Encoder()
_line_decoder = msgspec.json.Decoder(Line)


def entries_of(pairs: Iterable[Pair], clock_ms_of: Callable[[bytes], int]) -> list[Entry]:
    """What pairs are as JSON; `clock_ms_of` a key is state-machine time where it was read."""
    entries = []
    for raw_key, stored in pairs:
        item = decode_item(stored)
        key, key_encoding = spell(raw_key)
        value, encoding = spell(item.value)
        expires_in = left_ms(item.expires_ms, clock_ms_of(raw_key)) / 1_000 if item.expires_ms else None
        entries.append(Entry(key, value, encoding, item.revision, key_encoding, item.content_type, expires_in))
    return entries


def key_entries_of(pairs: Iterable[Pair]) -> list[KeyEntry]:
    """The same without values."""
    entries = []
    for raw_key, stored in pairs:
        key, key_encoding = spell(raw_key)
        entries.append(KeyEntry(key, decode_item(stored).revision, key_encoding))
    return entries


def encode_page(entries: list[Entry] | list[KeyEntry], cursor: str | None) -> bytes:
    """The answer to a scan."""
    return _encoder.encode({"items": entries, "cursor": cursor})


def encode_lines(entries: list[Entry]) -> bytes:
    """A part of an export."""
    return _encoder.encode_lines(entries)


def decode_line(line: bytes, limits: Limits) -> Put | ConditionalPut | End:
    """What puts an entry back, or the end of an export. Raises: BadEntryError."""
    try:
        entry = _line_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        end = decode_end(line)
        if end is not None:
            return end
        raise BadEntryError(f"not an entry: {error}") from error
    key = _bytes("key", entry.key, entry.key_encoding)
    value = _bytes("value", entry.value, entry.encoding)
    if not key:
        raise BadEntryError("the key is empty")
    refused = pair_problem(key, value, limits)
    if refused is not None:
        raise BadEntryError(refused.detail)
    kind = entry.content_type
    if not is_media_type(kind, limits.content_type_bytes_max):
        raise BadEntryError(f"content_type is no media type of at most {limits.content_type_bytes_max} bytes")
    if entry.expires_in is None:
        return Put(key, value, kind)
    return ConditionalPut(key, value, kind, ttl_ms_of(entry.expires_in), None)


def line_bytes_max(limits: Limits) -> int:
    """How long a line of a pair within the limits can be."""
    return _ESCAPED_BYTES * limits.pair_bytes_max + limits.content_type_bytes_max + _OTHER_BYTES


def _bytes(name: str, text: str, encoding: Encoding) -> bytes:
    try:
        return unspell(text, encoding)
    except ValueError as error:
        raise BadEntryError(f"{name} {error}") from error
