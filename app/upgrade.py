"""Upgrades that are not wanted: a request is read as if it had not asked for one (RFC 9110, section 7.8).

httptools stops where a request that asks for another protocol has its head behind it, and takes its body for that
protocol. So the head is written again, without the field, and a new parser goes on from there.
"""

from collections.abc import Sequence

import httptools


def without_upgrade(method: bytes, target: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The head of the same request, without the wish for another protocol."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    lines += [b"%b: %b" % field for field in headers if field[0] != b"upgrade"]
    return b"\r\n".join((*lines, b"", b""))


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    """A parser as uvicorn makes it: what comes behind a request that closes is dropped, not an error."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
