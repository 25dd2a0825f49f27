"""Spelling: bytes inside JSON, as their UTF-8 or in base64."""

import binascii
from typing import Literal

from app.calls import stranger

Encoding = Literal["utf8", "base64"]


def read_spelled(text: str, encoding: Encoding) -> bytes:
    """The bytes that an answer spells. Raises: NotAGatewayError, if it is no base64."""
    if encoding == "utf8":
        return text.encode()
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise stranger(is_write=False) from error
