"""Bulk: many commands, or many keys, of one partition, on their way through the cluster as one request.

The leader takes all commands in one turn, in their order, so that they share entries; each has its own outcome.
Those that certainly had no effect, because who took them leads no longer, are tried again, and no others.
Keys are let through together and read together: one receipt stands for all of them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from app.failures import decode_failure, encode_failure, encode_refusal
from app.requests import CommandOutcome, Outcome, Query, Readings, Request, in_doubt
from raftgroups import (
    BehindError,
    BulkReadCall,
    BulkReadReturn,
    BulkWriteCall,
    BulkWriteReturn,
    CallMessage,
    Freshness,
    NotLeaderError,
    OutcomeUnknownError,
    PartitionId,
    RaftGroup,
    RaftGroupError,
    Receipt,
    Refusal,
    ReturnMessage,
    StaleEpochError,
    Written,
    decode_item,
    decode_result,
    encode_result,
)

RETRIABLE = (NotLeaderError, StaleEpochError, BehindError)

OutcomesDone = Callable[[list[CommandOutcome]], None]
ReadingsDone = Callable[[Readings | RaftGroupError], None]
_Found = tuple[list[bytes | None], Receipt]


class BulkWrite(Request):
    """Encoded commands for the leader; `done` is told the outcome of each, in their order."""

    may_apply = True
    __slots__ = ("_done", "_known", "_outcomes", "_places", "commands")

    def __init__(
        self,
        partition: PartitionId,
        deadline: float,
        commands: Sequence[bytes],
        done: OutcomesDone,
        *,
        is_repeatable: bool,
    ) -> None:
        super().__init__(partition, deadline)
        self.commands = commands
        self.is_repeatable = is_repeatable
        self._places: Sequence[int] = range(len(commands))
        self._outcomes: list[CommandOutcome | None] = [None] * len(commands)
        self._known: Sequence[CommandOutcome | None] = ()
        self._done = done

    def watch(self, outcomes: Sequence[CommandOutcome | None]) -> None:
        """What is known so far of each command is here, should no more be known at the deadline."""
        self._known = outcomes

    def keep(self, outcomes: Sequence[CommandOutcome]) -> RaftGroupError | None:
        """Keep what is final. What is left of the commands is to be tried again, because of the error returned."""
        left: list[int] = []
        reason: RaftGroupError | None = None
        for number, outcome in enumerate(outcomes):
            if isinstance(outcome, RETRIABLE):
                left.append(number)
                reason = outcome
            else:
                self._outcomes[self._places[number]] = outcome
        self._places = [self._places[number] for number in left]
        self.commands = [self.commands[number] for number in left]
        self._known = ()
        return reason

    def message(self, call: int, epoch: int, timeout_ms: int) -> CallMessage:
        return BulkWriteCall(call, self.partition, epoch, timeout_ms, list(self.commands))

    def finish(self, result: Outcome) -> None:
        outcomes = self._outcomes
        if isinstance(result, RaftGroupError):
            for number, place in enumerate(self._places):
                known = self._known[number] if self._known else None
                outcomes[place] = result if known is None else known
        found = [outcome for outcome in outcomes if outcome is not None]
        self._done([in_doubt(outcome) for outcome in found] if self.in_doubt else found)


class BulkRead(Query):
    """Keys to be read, as fresh as asked."""

    __slots__ = ("_done", "keys")

    def __init__(
        self, partition: PartitionId, deadline: float, keys: Sequence[bytes], fresh: Freshness, done: ReadingsDone
    ) -> None:
        super().__init__(partition, deadline)
        self.fresh = fresh
        self.keys = keys
        self._done = done

    def message(self, call: int, epoch: int, timeout_ms: int) -> CallMessage:
        return BulkReadCall(call, self.partition, epoch, timeout_ms, self.fresh, list(self.keys))

    def finish(self, result: Outcome) -> None:
        assert isinstance(result, Readings | RaftGroupError), "a bulk read is not answered by anything else"
        self._done(result)


class Way(Protocol):
    """What bulk requests need of their Coordinator."""

    def proposer(self, request: Request) -> RaftGroup | None:
        """The replica here, if it leads; else the request has been sent or parked."""

    def reader(self, request: BulkRead) -> RaftGroup | None:
        """The replica here, if it may answer; else the request has been sent or parked."""

    def may_serve(self, group: RaftGroup, fresh: Freshness) -> bool:
        """Whether the replica here may answer a peer."""

    def admit(
        self,
        group: RaftGroup,
        fresh: Freshness,
        deadline: float,
        serve: Callable[[Callable[[], Receipt]], None],
        refuse: Callable[[RaftGroupError], None],
    ) -> None:
        """Call `serve` when the replica here is fresh enough, with what makes the receipt."""

    def settle(self, request: Request, result: Outcome) -> None:
        """An answer came from where the request was sent."""


class Bulk:
    """How bulk requests are answered here, for this node and for its peers."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def route(self, request: BulkWrite | BulkRead) -> None:
        """Hand the request to whoever can answer it."""
        if isinstance(request, BulkRead):
            reader = self._way.reader(request)
            if reader is not None:
                self._read(reader, request.keys, request.fresh, request.deadline, partial(self._was_read, request))
            return
        leader = self._way.proposer(request)
        if leader is not None:
            propose_all(leader, request.commands, request.deadline, partial(self._kept, request), request.watch)

    def called(
        self,
        group: RaftGroup,
        message: BulkWriteCall | BulkReadCall,
        deadline: float,
        reply: Callable[[ReturnMessage], None],
    ) -> None:
        """A peer's gateway asks the replica here."""
        call = message.call
        if isinstance(message, BulkWriteCall):
            propose_all(
                group,
                message.commands,
                deadline,
                lambda outcomes: reply(BulkWriteReturn(call, [_encode_outcome(outcome) for outcome in outcomes])),
            )
            return
        if not self._way.may_serve(group, message.fresh):
            reply(encode_failure(call, NotLeaderError(group.partition, group.leader)))
            return

        def done(found: _Found | RaftGroupError) -> None:
            if isinstance(found, RaftGroupError):
                reply(encode_failure(call, found))
            else:
                items, receipt = found
                reply(BulkReadReturn(call, [item or b"" for item in items], receipt))

        self._read(group, message.keys, message.fresh, deadline, done)

    def returned(self, request: Request, message: BulkWriteReturn | BulkReadReturn) -> None:
        """A peer answered."""
        if isinstance(request, BulkWrite) and isinstance(message, BulkWriteReturn):
            outcomes = [_decode_outcome(request.partition, outcome) for outcome in message.outcomes]
            if len(outcomes) == len(request.commands):
                self._kept(request, outcomes)
                return
        elif (
            isinstance(request, BulkRead)
            and isinstance(message, BulkReadReturn)
            and len(message.items) == len(request.keys)
        ):
            self._was_read(request, (list(message.items), message.receipt))
            return
        self._way.settle(request, OutcomeUnknownError(f"{request.sent_to} has answered something else"))

    def _kept(self, request: BulkWrite, outcomes: list[CommandOutcome]) -> None:
        if request.is_open:
            reason = request.keep(outcomes)
            self._way.settle(request, outcomes if reason is None else reason)

    def _was_read(self, request: BulkRead, found: _Found | RaftGroupError) -> None:
        if isinstance(found, RaftGroupError):
            self._way.settle(request, found)
            return
        items, receipt = found
        self._way.settle(request, Readings([decode_item(item) if item else None for item in items], receipt))

    def _read(
        self,
        group: RaftGroup,
        keys: Sequence[bytes],
        fresh: Freshness,
        deadline: float,
        done: Callable[[_Found | RaftGroupError], None],
    ) -> None:
        def serve(receipt: Callable[[], Receipt]) -> None:
            def found(items: list[bytes | None] | RaftGroupError) -> None:
                done(items if isinstance(items, RaftGroupError) else (items, receipt()))

            group.read_many_applied(keys, found)

        self._way.admit(group, fresh, deadline, serve, done)


def propose_all(
    group: RaftGroup,
    commands: Sequence[bytes],
    deadline: float,
    done: OutcomesDone,
    watch: Callable[[Sequence[CommandOutcome | None]], None] | None = None,
) -> None:
    """Propose all commands in one turn; `done` is told their outcomes, `watch` is given them as they come."""
    outcomes: list[CommandOutcome | None] = [None] * len(commands)
    left = len(commands)
    if watch is not None:
        watch(outcomes)

    def ended(place: int, outcome: CommandOutcome) -> None:
        nonlocal left
        outcomes[place] = outcome
        left -= 1
        if not left:
            done([outcome for outcome in outcomes if outcome is not None])

    for place, command in enumerate(commands):
        group.propose(command, deadline, partial(ended, place))
    if not commands:
        done([])


def _encode_outcome(outcome: CommandOutcome) -> int | bytes | Refusal:
    if isinstance(outcome, Written):
        return outcome.revision
    return encode_refusal(outcome) if isinstance(outcome, RaftGroupError) else encode_result(outcome)


def _decode_outcome(partition: PartitionId, outcome: int | bytes | Refusal) -> CommandOutcome:
    if isinstance(outcome, int):
        return Written(outcome)
    return decode_failure(partition, outcome) if isinstance(outcome, Refusal) else decode_result(outcome)
