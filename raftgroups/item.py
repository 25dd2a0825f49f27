"""Items: what a key holds.

    item := msgpack [revision, value, content_type]                until it is overwritten
          | msgpack [revision, value, content_type, expires_ms]    until state-machine time reaches that, too

What is stored for every key is read at every get: the first byte alone says whether it may expire.
"""

import msgspec

_EXPIRES = 0x94  # an array of four


class Item(msgspec.Struct, frozen=True, array_like=True):
    """What a key holds.

    expires_ms  it is absent from then on, in state-machine time; 0: never
    """

    revision: int
    value: bytes
    content_type: str = ""
    expires_ms: int = 0


_encode = msgspec.msgpack.Encoder().encode
decode_item = msgspec.msgpack.Decoder(Item).decode


def encode_item(item: Item) -> bytes:
    """Its bytes, as the engine stores them and links carry them."""
    if item.expires_ms:
        return _encode(item)
    return encode_lasting(item.revision, item.value, item.content_type)


def encode_lasting(revision: int, value: bytes, content_type: str) -> bytes:
    """The bytes of an Item that does not expire, without making it first."""
    return _encode((revision, value, content_type))


def may_expire(stored: bytes) -> bool:
    """Whether a stored item will expire, unless it is overwritten."""
    return stored[0] == _EXPIRES


def is_absent(stored: bytes, clock_ms: int) -> bool:
    """Whether a stored item has expired at `clock_ms`."""
    return stored[0] == _EXPIRES and decode_item(stored).expires_ms <= clock_ms
