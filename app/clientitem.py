"""Items, as clients are given them: a key and what it holds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key that exists."""

    key: bytes
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Key):
    """A key and what it holds.

    content_type   empty where it has none
    expires_in     seconds until the key is gone; None if it stays
    """

    value: bytes
    content_type: str
    expires_in: float | None
