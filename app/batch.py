"""POST /v1/batch: many operations in one request, each with its own outcome.

Grouped by partition and sent in parallel, writes and reads apart: what a batch writes it need not read. Writes of one
partition are taken in their order and share log entries.

With an Idempotency-Key the partition that the key itself hashes to is asked first: the same key with another body is
found there before anything of it is applied. Each write has a token of its own, from the key and its place.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from app.answers import Answer
from app.bulk import OutcomesDone, ReadingsDone
from app.envelope import MSGPACK, Envelope, read_envelope
from app.kv import Request
from app.operations import (
    BatchAnswer,
    Lookup,
    OperationResult,
    Step,
    encode_json,
    encode_msgpack,
    read_batch,
    result_of,
    result_of_item,
    result_of_problem,
)
from app.problems import DEADLINE, NOT_READY, TOKEN_BUSY, TOKEN_REUSED, Problem, problem_of
from app.reading import of_session, read_freshness, weakest
from app.requests import CommandOutcome, Readings
from app.session import encode_session
from app.settings import IDEMPOTENCY_SECONDS, Limits
from app.writing import DIGEST_BYTES
from raftgroups import (
    Changed,
    Command,
    DeleteRange,
    Freshness,
    Level,
    LogIndex,
    Once,
    OutcomeUnknownError,
    RaftGroupError,
    Receipt,
    Result,
    Reused,
    Transaction,
    Written,
    revision_of,
)

PATH = b"/v1/batch"

# Tokens of a batch, beside those of keys: no key is empty, and no Idempotency-Key holds a zero byte.
SCOPE = hashlib.blake2b(b"", digest_size=DIGEST_BYTES).digest()
_END = b"\x00"


class Store(Protocol):
    """What the handler asks of a Coordinator."""

    def write(
        self, key: bytes, command: Command, deadline: float, done: Callable[[Result | RaftGroupError], None]
    ) -> None: ...

    def write_many(self, partition: int, commands: Sequence[Command], deadline: float, done: OutcomesDone) -> None: ...

    def read_many(
        self, partition: int, keys: Sequence[bytes], fresh: Freshness, deadline: float, done: ReadingsDone
    ) -> None: ...

    def partition_of(self, key: bytes) -> int: ...


class BatchHandler:
    """Parses, groups, calls the store, answers.

    level         what reads get that do not say
    keep_seconds  how long the results of a batch with an Idempotency-Key are kept
    """

    def __init__(
        self, limits: Limits, level: Level = Level.LINEARIZABLE, keep_seconds: float = IDEMPOTENCY_SECONDS
    ) -> None:
        self._limits = limits
        self._level = level
        self._keep_ms = round(keep_seconds * 1_000)
        self._store: Store | None = None
        # The Idempotency-Keys of batches that are on their way through this node.
        self._running: set[bytes] = set()

    def open(self, store: Store) -> None:
        """Answer from `store` from now on; before, every request is told to come back."""
        self._store = store

    def handle(self, request: Request) -> None:
        """Answer one request through its `reply`."""
        refused = self._take(request)
        if refused is not None:
            request.reply(refused.answer())

    def _take(self, request: Request) -> Problem | None:
        fresh = read_freshness(request.target.partition(b"?")[2], self._level)
        if isinstance(fresh, Problem):
            return fresh
        envelope = read_envelope(request.fields, self._limits, fresh.level)
        if isinstance(envelope, Problem):
            return envelope
        steps = read_batch(request.body, self._limits, is_msgpack=envelope.is_msgpack)
        if isinstance(steps, Problem):
            return steps
        if self._store is None:
            return Problem(NOT_READY, "the node is still starting")
        batch = _Batch(self._store, request, envelope, fresh, steps)
        token = envelope.token
        if token is None or not batch.writes:
            batch.send(request.reply)
            return None
        if token in self._running:
            return Problem(TOKEN_BUSY, "a batch with this Idempotency-Key is on its way")
        self._running.add(token)
        self._claim(batch, token, request)
        return None

    def _claim(self, batch: "_Batch", token: bytes, request: Request) -> None:
        """Have the key belong to this body; go on if it does."""
        digest = hashlib.blake2b(request.body, digest_size=DIGEST_BYTES).digest()
        claim = Once(SCOPE + token + _END, digest, self._keep_ms, Transaction([], [], []))

        def reply(answer: Answer) -> None:
            self._running.discard(token)
            request.reply(answer)

        def claimed(result: Result | RaftGroupError) -> None:
            refused = _refusal_of_claim(result)
            if refused is not None:
                reply(refused.answer())
                return
            batch.bind(token, digest, self._keep_ms)
            batch.send(reply)

        assert self._store is not None, "nothing is taken before"
        self._store.write(token, claim, batch.deadline, claimed)


def _refusal_of_claim(result: Result | RaftGroupError) -> Problem | None:
    """Why the operations are not sent; whatever became of the claim, nothing of them has been applied."""
    if isinstance(result, Reused):
        return Problem(TOKEN_REUSED, "this Idempotency-Key came before, with another request")
    if isinstance(result, OutcomeUnknownError):
        return Problem(DEADLINE, f"nothing of the batch was sent, as its Idempotency-Key was not confirmed: {result}")
    return problem_of(result) if isinstance(result, RaftGroupError) else None


class _Batch:
    """One batch on its way.

    writes, reads   the places of its operations, by partition
    """

    def __init__(
        self, store: Store, request: Request, envelope: Envelope, fresh: Freshness, steps: Sequence[Step]
    ) -> None:
        self._store = store
        self._envelope = envelope
        self._fresh = fresh
        self._steps = steps
        self._commands: list[Command | None] = [None] * len(steps)
        self._results: list[OperationResult | None] = [None] * len(steps)
        self._marks = dict(envelope.marks)
        self._receipts: list[Receipt] = []
        self._left = 0
        self._reply: Callable[[Answer], None] = request.reply
        self.deadline = request.received + envelope.timeout_seconds
        self.writes: dict[int, list[int]] = {}
        self.reads: dict[int, list[int]] = {}
        self._group()

    def _group(self) -> None:
        partition_of = self._store.partition_of
        for place, step in enumerate(self._steps):
            task = step.task
            if isinstance(task, Lookup):
                self.reads.setdefault(partition_of(task.key), []).append(place)
            elif isinstance(task, Problem):
                self._results[place] = result_of_problem(task)
            else:
                assert not isinstance(task, Transaction | DeleteRange), "an operation is for one key"
                self._commands[place] = task
                self.writes.setdefault(partition_of(task.key), []).append(place)

    def bind(self, token: bytes, digest: bytes, keep_ms: int) -> None:
        """Have each write be done once, under a token of its own."""
        for places in self.writes.values():
            for place in places:
                command = self._commands[place]
                assert command is not None and not isinstance(command, Once), "it is bound once"
                own = SCOPE + token + _END + place.to_bytes(4, "big")
                self._commands[place] = Once(own, digest, keep_ms, command)

    def send(self, reply: Callable[[Answer], None]) -> None:
        """Send every group on its way; `reply` is given the one answer."""
        self._reply = reply
        self._left = 1 + len(self.writes) + len(self.reads)
        for partition, places in self.writes.items():
            self._write(partition, places)
        for partition, places in self.reads.items():
            self._read(partition, places)
        self._ended()

    def _write(self, partition: int, places: list[int]) -> None:
        commands = [command for place in places if (command := self._commands[place]) is not None]

        def done(outcomes: list[CommandOutcome]) -> None:
            steps, results, is_raw = self._steps, self._results, self._envelope.answers_msgpack
            newest = 0
            for place, outcome in zip(places, outcomes, strict=True):
                results[place] = result_of(outcome, in_base64=steps[place].in_base64, is_raw=is_raw)
                if isinstance(outcome, Written | Changed):
                    newest = max(newest, outcome.revision)
            self._saw(partition, newest)
            self._ended()

        self._store.write_many(partition, commands, self.deadline, done)

    def _read(self, partition: int, places: list[int]) -> None:
        keys = [task.key for place in places if isinstance(task := self._steps[place].task, Lookup)]

        def done(found: Readings | RaftGroupError) -> None:
            steps, results, is_raw = self._steps, self._results, self._envelope.answers_msgpack
            if isinstance(found, RaftGroupError):
                result = result_of_problem(problem_of(found, writes=False))
                for place in places:
                    results[place] = result
            else:
                for place, item in zip(places, found.items, strict=True):
                    results[place] = result_of_item(
                        item, found.receipt.clock_ms, in_base64=steps[place].in_base64, is_raw=is_raw
                    )
                self._receipts.append(found.receipt)
                self._saw(partition, revision_of(LogIndex(found.receipt.index), 0))
            self._ended()

        fresh = of_session(self._fresh, self._envelope.marks, partition)
        self._store.read_many(partition, keys, fresh, self.deadline, done)

    def _saw(self, partition: int, revision: int) -> None:
        if revision > self._marks.get(partition, 0):
            self._marks[partition] = revision

    def _ended(self) -> None:
        self._left -= 1
        if not self._left:
            results = [result for result in self._results if result is not None]
            assert len(results) == len(self._steps), "every operation has a result"
            head = _receipt_lines(self._receipts) + session_line(self._marks)
            self._reply(document_answer(BatchAnswer(results), head, is_msgpack=self._envelope.answers_msgpack))


def document_answer(document: object, head: bytes, *, is_msgpack: bool) -> Answer:
    """A document as it was asked for, with further header lines."""
    kind = MSGPACK if is_msgpack else "application/json"
    body = encode_msgpack(document) if is_msgpack else encode_json(document)
    return Answer(200, b"content-type: %b\r\ncache-control: no-store\r\n%b" % (kind.encode(), head), body)


def session_line(marks: Mapping[int, int]) -> bytes:
    """The header line of who has seen this, if it is anything."""
    return b"kv-session: %b\r\n" % encode_session(marks) if marks else b""


def _receipt_lines(receipts: Sequence[Receipt]) -> bytes:
    """What holds for all reads together: the weakest level, the greatest age, and everybody who served."""
    if not receipts:
        return b""
    level = weakest(receipt.level for receipt in receipts)
    age = max(receipt.staleness_ms for receipt in receipts)
    served = dict.fromkeys(f"{receipt.served_by};role={receipt.role}" for receipt in receipts)
    return f"kv-consistency: {level}\r\nkv-staleness-ms: {age}\r\nkv-served-by: {', '.join(served)}\r\n".encode()
