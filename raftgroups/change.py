"""Changes: what a reader of a partition's history is told, and from where on.

    change    := msgpack [revision, key, item | nil, has_expired]    item as in item.py, as an array
    position  := [entry, ordinal]                                    the next change to be told

A transaction's changes share their revision, so that a place in the history is an entry and a number within it.
"""

from typing import NamedTuple

import msgspec

from raftgroups.item import Item


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One change of one key; `item` is None where it is absent from then on."""

    revision: int
    key: bytes
    item: Item | None
    has_expired: bool = False


class Position(NamedTuple):
    """Before change number `ordinal`, from 0, of the entry at LogIndex `entry`, and after all that come before it."""

    entry: int
    ordinal: int = 0


class Told(msgspec.Struct, frozen=True, array_like=True):
    """A change, and the position after it."""

    entry: int
    ordinal: int
    change: Change

    @property
    def position(self) -> Position:
        return Position(self.entry, self.ordinal)


encode_changes = msgspec.msgpack.Encoder().encode
decode_changes = msgspec.msgpack.Decoder(list[Change]).decode
