"""Importing: puts of many entries, read as lines while they come, many on their way at once.

Each line is written for itself: those before a bad one, and those after it, are kept. Two lines of one key are written
one after the other, so that the later one is what is left. A write that certainly was not applied is tried again for a
while; when one fails for good, no more lines are taken.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Protocol

from app.entries import BadEntryError, decode_line, line_bytes_max
from app.exportend import End
from app.frontier import Frontier
from app.lines import LineReader
from app.problems import BAD_BODY, DRAINING, INCOMPLETE_IMPORT, TOO_SLOW, Problem, problem_of
from app.settings import Limits
from app.writing import refusal
from raftgroups import Changed, Command, ConditionalPut, Put, RaftGroupError, Result, Written

WRITES_OPEN_MAX = 512
IMPORTS_OPEN_MAX = 16
ERRORS_SHOWN_MAX = 20
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.2
LOOK_SECONDS = 0.5


class WriteStore(Protocol):
    """What is asked of a Coordinator."""

    def write(
        self, key: bytes, command: Command, deadline: float, done: Callable[[Result | RaftGroupError], None]
    ) -> None: ...


class Import:
    """One import under way.

    imported, failed  how many lines were written, and were not
    errors            the first of what went wrong
    failure           why no more lines were taken; None if they all were
    next_line         all lines before it are done with: who goes on, goes on there
    """

    def __init__(
        self, store: WriteStore, limits: Limits, timeout_seconds: float, is_ending: Callable[[], bool]
    ) -> None:
        self._store = store
        self._limits = limits
        self._timeout_seconds = timeout_seconds
        self._is_ending = is_ending
        self._loop = asyncio.get_running_loop()
        self._reader = LineReader(line_bytes_max(limits))
        self._number = 0
        self._open: set[bytes] = set()
        self._frontier = Frontier()
        self._some_ended = asyncio.Event()
        self._may_have_applied = False
        self.imported = 0
        self.failed = 0
        self.errors: list[Mapping[str, str | int]] = []
        self.failure: Problem | None = None

    async def run(self, pieces: AsyncIterator[bytes]) -> None:
        """Take it all in, and wait for what is on its way. A client that is silent for too long ends it."""
        iterator = aiter(pieces)
        while self.failure is None:
            piece = await self._next(iterator)
            if piece is None:
                break
            for line in self._reader.feed(piece):
                await self._take(line)
        if self.failure is None:
            for line in self._reader.end():
                await self._take(line)
        while self._open:
            await self._wait()

    @property
    def next_line(self) -> int:
        return self._frontier.next_line

    def document(self) -> dict[str, object]:
        """What came of it."""
        return {"imported": self.imported, "failed": self.failed, "errors": self.errors}

    def problem(self) -> Problem | None:
        """The refusal, where not all lines were taken; if anything may have been written, how far it came is in it."""
        if self.failure is None or not (self.imported or self._may_have_applied):
            return self.failure
        counts = f"{self.imported} lines were imported and {self.failed} were not: go on with line {self.next_line}"
        members = {"imported": self.imported, "failed": self.failed, "next_line": self.next_line}
        return Problem(INCOMPLETE_IMPORT, f"{self.failure.detail}; {counts}", members)

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        """The next piece; None at the end, or when it is not waited for any longer."""
        coming = asyncio.ensure_future(anext(pieces, None))
        seconds = self._limits.import_pause_seconds
        silent_at = self._loop.time() + seconds
        try:
            while True:
                await asyncio.wait((coming,), timeout=min(LOOK_SECONDS, seconds))
                if coming.done():
                    return coming.result()
                if self._is_ending():
                    self._give_up(Problem(DRAINING, "this node is shutting down"))
                elif self._loop.time() >= silent_at:
                    self._give_up(Problem(TOO_SLOW, f"nothing more of the body came for {seconds:g} s"))
                if self.failure is not None:
                    return None
        finally:
            coming.cancel()

    async def _take(self, line: bytes | None) -> None:
        if self.failure is not None:
            return
        self._number += 1
        self._frontier.skip(self._number)
        if line is None:
            self._refuse(self._number, Problem(BAD_BODY, f"a line may have {line_bytes_max(self._limits)} bytes"))
            return
        if not line.strip():
            return
        try:
            command = decode_line(line, self._limits)
        except BadEntryError as error:
            self._refuse(self._number, Problem(BAD_BODY, str(error)))
            return
        if isinstance(command, End):
            if not command.complete:
                self._refuse(self._number, Problem(BAD_BODY, "the export that this comes from is not complete"))
            return
        while len(self._open) >= WRITES_OPEN_MAX or command.key in self._open:
            await self._wait()
        self._open.add(command.key)
        self._frontier.begin(self._number)
        self._write(self._number, command, self._loop.time() + PATIENCE_SECONDS)

    def _write(self, number: int, command: Put | ConditionalPut, give_up_at: float) -> None:
        done = partial(self._done, number, command, give_up_at)
        self._store.write(command.key, command, self._loop.time() + self._timeout_seconds, done)

    def _done(
        self, number: int, command: Put | ConditionalPut, give_up_at: float, result: Result | RaftGroupError
    ) -> None:
        if isinstance(result, Written | Changed):
            self.imported += 1
            self._frontier.end(number)
        elif isinstance(result, RaftGroupError):
            problem = problem_of(result)
            is_safe = problem.kind.retryable and not result.may_have_applied
            if is_safe and self.failure is None and not self._is_ending() and self._loop.time() < give_up_at:
                self._loop.call_later(PAUSE_SECONDS, self._write, number, command, give_up_at)
                return
            self._may_have_applied |= result.may_have_applied
            self._refuse(number, problem)
            self._give_up(Problem(problem.kind, f"line {number}: {problem.detail}", problem.members))
        else:
            refused = refusal(result)
            assert refused is not None, "a put has no other result"
            self._refuse(number, refused)
            self._frontier.end(number)
        self._open.discard(command.key)
        self._some_ended.set()

    def _refuse(self, number: int, problem: Problem) -> None:
        self.failed += 1
        if len(self.errors) < ERRORS_SHOWN_MAX:
            kind = problem.kind
            self.errors.append({"line": number, "code": kind.code, "detail": problem.detail, "outcome": kind.outcome})

    def _give_up(self, failure: Problem) -> None:
        self.failure = self.failure or failure
        self._some_ended.set()

    async def _wait(self) -> None:
        """Until a write has ended."""
        self._some_ended.clear()
        await self._some_ended.wait()
