"""Items, as clients are given them: a key and what it holds."""

from dataclasses import dataclass

from app.calls import stranger
from app.spelling import Encoding, unspell


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


def read_spelled(text: str, encoding: Encoding) -> bytes:
    """The bytes that an answer spells. Raises: NotAGatewayError, if it spells none."""
    try:
        return unspell(text, encoding)
    except ValueError as error:
        raise stranger(is_write=False) from error
