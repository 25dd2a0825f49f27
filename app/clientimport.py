"""Imports of a client: entries as lines of JSON, as `scan_lines` gives them, put many at once and part by part.

A part that failed, or of which nobody knows what became of it, is sent again as a whole. That is harmless as long as
nobody else writes its keys meanwhile.
"""

from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.arguments import read_bytes
from app.calls import Call, expect, stranger
from app.clienterrors import InvalidArgumentError, InvalidArgumentTypeError, Response

PART_LINES_MAX = 1_000
PART_BYTES_MAX = 1 << 18

_LINES = {"Content-Type": "application/x-ndjson"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineError:
    """A line that was not stored, by its number from 1, and why."""

    line: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one part of an import.

    lines      how many lines are done with, those of the parts before it too
    imported   how many of this part were stored
    failed     how many were not, and never will be as they are
    errors     the first of those
    """

    lines: int
    imported: int
    failed: int
    errors: tuple[LineError, ...]


class _Error(msgspec.Struct):
    line: int
    code: str
    detail: str


class _Answer(msgspec.Struct):
    imported: int
    failed: int
    errors: list[_Error]


def call_of(part: Sequence[bytes], before: int) -> Call[Imported]:
    """What puts the entries of these lines; `before` is how many lines came before them."""

    def read(response: Response) -> Imported:
        expect(response, 200, is_write=True)
        try:
            answer = msgspec.json.decode(response.body, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise stranger(is_write=True) from error
        errors = tuple(
            LineError(line=before + error.line, code=error.code, detail=error.detail) for error in answer.errors
        )
        return Imported(lines=before + len(part), imported=answer.imported, failed=answer.failed, errors=errors)

    body = b"\n".join(part) + b"\n"
    return Call("POST", "/v1/import", read, _LINES, body, is_write=True, takes_session=False)


class Part:
    """The lines that are sent together."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._bytes = 0
        self._before = 0

    def add(self, given: Any) -> Call[Imported] | None:
        """Take one more line, with or without its end; what sends those before it, if it is one too many.

        Raises: InvalidArgumentError, InvalidArgumentTypeError.
        """
        line = read_bytes("a line", given).rstrip(b"\r\n")
        if b"\n" in line:
            raise InvalidArgumentError("a line has an end inside of it: give each line by itself")
        is_full = len(self._lines) == PART_LINES_MAX or self._bytes + len(line) > PART_BYTES_MAX
        call = self.take() if is_full else None
        self._lines.append(line)
        self._bytes += len(line)
        return call

    def take(self) -> Call[Imported] | None:
        """What sends the lines that are left, if there are any."""
        if not self._lines:
            return None
        call = call_of(self._lines, self._before)
        self._before += len(self._lines)
        self._lines, self._bytes = [], 0
        return call


def check_lines(lines: object) -> None:
    """Raises: InvalidArgumentTypeError, unless it may give lines: a text is one, and no list of them."""
    if isinstance(lines, str | bytes | bytearray) or not isinstance(lines, Iterable | AsyncIterable):
        raise InvalidArgumentTypeError(f"lines must be a list of bytes, or a file, not a {type(lines).__name__}")


def calls_of(lines: Iterable[bytes]) -> Iterator[Call[Imported]]:
    """What puts the entries of all lines, one part after the other."""
    part = Part()
    for line in lines:
        call = part.add(line)
        if call is not None:
            yield call
    call = part.take()
    if call is not None:
        yield call
