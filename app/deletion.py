"""Deletion: all keys of a range, over all partitions.

    DELETE /v1/kv ?prefix=&start=&end=&all=true          Idempotency-Key, KV-Session, KV-Timeout-Ms

Each partition is asked for a piece of the range after another, a few partitions at once, so that other requests come
between. A piece is deleted all or nothing, the whole range is not: a key that is written meanwhile may stay. Under an
Idempotency-Key each piece is done once, and a repeated request goes on where the first one ended.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from app.fields import read_raw_query, read_timeout
from app.keyrange import KeyRange
from app.problems import BAD_PARAMETER, NOT_TOGETHER, UNSUPPORTED, Problem, problem_of
from app.reading import read_session
from app.requests import CommandOutcome
from app.settings import IDEMPOTENCY_SECONDS, Limits
from app.writing import once, read_token, refusal
from raftgroups import (
    Cleared,
    Command,
    DeleteRange,
    Level,
    OutcomeUnknownError,
    OverloadedError,
    PartitionId,
    RaftGroupError,
    Reused,
)

# A piece takes a replica about a millisecond, and there may be one of each partition in a turn.
PIECE_KEYS_MAX = 256
PIECE_BYTES_MAX = 256 << 10
PARTITIONS_AT_ONCE = 4
DELETIONS_OPEN_MAX = 8

# The share of its time after which a request begins no further piece, but says how far it came.
TIME_SHARE = 0.8

_PARAMETERS = ("prefix", "start", "end", "all")
_CONDITIONS = {b"if-match": "If-Match", b"if-none-match": "If-None-Match"}


class DeletionStore(Protocol):
    """What is asked of a Coordinator."""

    def write_many(
        self,
        partition: int,
        commands: Sequence[Command],
        deadline: float,
        done: Callable[[list[CommandOutcome]], None],
    ) -> None: ...

    def partitions_of(self, prefix: bytes) -> Sequence[PartitionId]: ...


@dataclass(frozen=True, slots=True)
class DeletionRequest:
    """What is to be deleted.

    marks   of the session
    token   the Idempotency-Key, if there is one
    """

    keys: KeyRange
    timeout_seconds: float
    marks: Mapping[int, int]
    token: bytes | None


@dataclass(slots=True)
class Deletion:
    """What came of it.

    deleted      how many keys were there
    is_complete  nothing of the range is left to be looked at
    marks        the newest revision made, by partition
    failure      what ended it early
    """

    deleted: int = 0
    is_complete: bool = True
    marks: dict[int, int] = field(default_factory=dict)
    failure: Problem | RaftGroupError | None = None

    def problem(self) -> Problem | None:
        """Why it failed; once something is deleted, it is not known any more what of the rest is."""
        failure = self.failure
        if failure is None or isinstance(failure, Problem):
            return failure
        if self.deleted and not failure.may_have_applied:
            failure = OutcomeUnknownError(f"{self.deleted} keys were deleted, and then it failed: {failure}")
        problem = problem_of(failure)
        return Problem(problem.kind, problem.detail, {**problem.members, "deleted": self.deleted}, problem.head)


def read_deletion(query: bytes, fields: Mapping[bytes, bytes], limits: Limits) -> DeletionRequest | Problem:
    """The request, which must name what it means: everything only by `all=true`."""
    raw = read_raw_query(query, _PARAMETERS)
    if isinstance(raw, Problem):
        return raw
    keys = KeyRange(raw.get("prefix", b""), raw.get("start", b""), raw.get("end", b""))
    is_everything = keys == KeyRange()
    if raw.get("all", b"true") != b"true":
        detail = "query parameter 'all' must be true, or left out"
        return Problem(BAD_PARAMETER, detail, {"parameter": "all"})
    if "all" in raw and not is_everything:
        detail = "query parameter 'all' goes without prefix, start and end: leave it out, or them"
        return Problem(NOT_TOGETHER, detail, {"parameter": "all"})
    if is_everything and "all" not in raw:
        detail = "say which keys: prefix=, start= or end=, or all=true to delete every key"
        return Problem(NOT_TOGETHER, detail, {"parameter": "prefix"})
    for name, text in _CONDITIONS.items():
        if name in fields:
            detail = f"header {text} is not supported here: a range of keys has no condition"
            return Problem(UNSUPPORTED, detail, {"header": text})
    timeout = read_timeout(fields, limits)
    if isinstance(timeout, Problem):
        return timeout
    marks = read_session(fields[b"kv-session"], Level.LINEARIZABLE) if b"kv-session" in fields else {}
    if isinstance(marks, Problem):
        return marks
    token = read_token(fields[b"idempotency-key"]) if b"idempotency-key" in fields else None
    if isinstance(token, Problem):
        return token
    return DeletionRequest(keys, timeout, marks, token)


class Deleter:
    """Deletes ranges; bounds how many at once."""

    def __init__(self, store: DeletionStore, keep_seconds: float = IDEMPOTENCY_SECONDS) -> None:
        self._store = store
        self._keep_seconds = keep_seconds
        self._open = 0

    async def delete(self, request: DeletionRequest) -> Deletion:
        """Delete as much of the range as the request has time for."""
        if self._open >= DELETIONS_OPEN_MAX:
            text = f"{DELETIONS_OPEN_MAX} ranges are being deleted through this node already"
            return Deletion(failure=OverloadedError(text))
        self._open += 1
        try:
            return await self._delete(request)
        finally:
            self._open -= 1

    async def _delete(self, request: DeletionRequest) -> Deletion:
        now = asyncio.get_running_loop().time()
        deadline, until = now + request.timeout_seconds, now + TIME_SHARE * request.timeout_seconds
        deletion = Deletion()
        gate = asyncio.Semaphore(PARTITIONS_AT_ONCE)

        async def clear(partition: PartitionId) -> None:
            async with gate:
                await self._clear(partition, request, deletion, deadline, until)

        await asyncio.gather(*map(clear, self._store.partitions_of(request.keys.prefix)))
        return deletion

    async def _clear(
        self, partition: PartitionId, request: DeletionRequest, deletion: Deletion, deadline: float, until: float
    ) -> None:
        """One partition, a piece after the other, until it ends, or anything fails."""
        loop = asyncio.get_running_loop()
        (start, end), piece = request.keys.bounds(), 0
        while deletion.failure is None:
            if loop.time() >= until:
                deletion.is_complete = False
                return
            command = DeleteRange(start, end, PIECE_KEYS_MAX, PIECE_BYTES_MAX)
            outcome = await self._ask(partition, self._bound(command, request.token, partition, piece), deadline)
            if isinstance(outcome, Reused):
                deletion.failure = refusal(outcome)
                return
            if isinstance(outcome, RaftGroupError):
                deletion.failure = outcome
                return
            assert isinstance(outcome, Cleared), "a range is cleared, or it fails"
            deletion.deleted += outcome.deleted
            deletion.marks[partition] = outcome.revision
            if outcome.reached is None:
                return
            start, piece = outcome.reached + b"\x00", piece + 1

    def _bound(self, command: DeleteRange, token: bytes | None, partition: PartitionId, piece: int) -> Command:
        """The command, with a token it is to be done once under one of its own."""
        if token is None:
            return command
        place = msgspec.msgpack.encode(("range", partition, piece))
        return once(place, token, command, self._keep_seconds)

    async def _ask(self, partition: PartitionId, command: Command, deadline: float) -> CommandOutcome:
        answered: asyncio.Future[CommandOutcome] = asyncio.get_running_loop().create_future()

        def done(outcomes: list[CommandOutcome]) -> None:
            if not answered.done():
                answered.set_result(outcomes[0])

        self._store.write_many(partition, [command], deadline, done)
        return await answered
