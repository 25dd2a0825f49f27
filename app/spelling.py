"""Spelling: bytes inside JSON, as their UTF-8 where they are that, else in base64 (RFC 4648, section 4, padded)."""

import binascii
from typing import Literal

Encoding = Literal["utf8", "base64"]


def spell(data: bytes) -> tuple[str, Encoding]:
    """The text of bytes, and how it is spelled."""
    try:
        return data.decode(), "utf8"
    except UnicodeDecodeError:
        return spell_base64(data), "base64"


def spell_together(*parts: bytes) -> tuple[list[str], Encoding]:
    """The texts of several, all spelled alike."""
    try:
        return [part.decode() for part in parts], "utf8"
    except UnicodeDecodeError:
        return [spell_base64(part) for part in parts], "base64"


def spell_base64(data: bytes) -> str:
    """The text of bytes in base64, whatever they are."""
    return binascii.b2a_base64(data, newline=False).decode()


def unspell(text: str, encoding: Encoding) -> bytes:
    """The bytes that a text spells. Raises: ValueError, whose text goes on after the name of what was given."""
    try:
        return text.encode() if encoding == "utf8" else binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise ValueError(f"is not {'UTF-8' if encoding == 'utf8' else 'base64'}") from error
