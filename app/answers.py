"""Answers: what a handler says, in the shape that both doors can send.

A head is whole header lines, each ended by CRLF, because the fast door sends them as they are. It holds neither
Content-Length nor Connection: those belong to the door.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus

import msgspec

NO_SNIFFING = b"x-content-type-options: nosniff\r\n"
NO_CONTENT_STATUSES = frozenset((204, 304))


class Answer(msgspec.Struct, frozen=True, eq=False):
    """One response.

    head  header lines
    body  given for HEAD too, whose Content-Length it determines; the door leaves it out
    """

    status: int
    head: bytes
    body: bytes = b""


Reply = Callable[[Answer], None]
"""Takes the one answer of a request; may be called before the handler returns."""

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def encode_starts(headers: Iterable[tuple[bytes, bytes]]) -> dict[int, bytes]:
    """By status: its line, and the header lines that every answer carries."""
    common = NO_SNIFFING + b"".join(b"%b: %b\r\n" % header for header in headers)
    return {status: line + common for status, line in STATUS_LINES.items()}


def encode_answer(answer: Answer, start: bytes, is_head: bool, keep_alive: bool) -> bytes:
    """The whole response as bytes; `start` is its status line and whatever headers the server adds."""
    status = answer.status
    body = answer.body
    tail = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
    if status == 204 or status == 304:
        return b"".join((start, answer.head, tail))
    return b"%b%bcontent-length: %d\r\n%b%b" % (start, answer.head, len(body), tail, b"" if is_head else body)


def header_pairs(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The answer's headers as ASGI wants them, with Content-Length."""
    pairs: list[tuple[bytes, bytes]] = []
    for line in answer.head.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        pairs.append((name, value))
    if answer.status not in NO_CONTENT_STATUSES:
        pairs.append((b"content-length", b"%d" % len(answer.body)))
    return pairs
