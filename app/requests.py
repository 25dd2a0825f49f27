"""A request on its way through the cluster, and where it is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from raftgroups import (
    Freshness,
    Item,
    OutcomeUnknownError,
    PartitionId,
    RaftGroupError,
    Reading,
    Receipt,
    Result,
    Scanned,
    TargetCall,
    TransferCall,
)


@dataclass(frozen=True, slots=True)
class Readings:
    """What a read of several keys of one partition found, None where a key is absent, and its receipt."""

    items: list[Item | None]
    receipt: Receipt


CommandOutcome = Result | RaftGroupError
Outcome = CommandOutcome | list[CommandOutcome] | Reading | Readings | Scanned
WriteDone = Callable[[Result | RaftGroupError], None]
ReadDone = Callable[[Reading | RaftGroupError], None]

# Not as unions, which every request would build anew.
_READINGS = (Reading, Readings, Scanned, list)
_READ_OUTCOMES = (Reading, RaftGroupError)


def in_doubt(outcome: CommandOutcome) -> CommandOutcome:
    """What an outcome says of a command that was sent before: that it was refused now says nothing about then."""
    if isinstance(outcome, RaftGroupError) and not outcome.may_have_applied:
        return OutcomeUnknownError(f"it was sent before, to a node that did not answer; then: {outcome}")
    return outcome


class Request(ABC):
    """One request.

    deadline    in loop time
    parked_at   since when nobody has been known who could answer it
    sent_to     the node that has it, "" when none has
    refused_by  the nodes that have said, since it was parked last, that they do not lead
    sent_at     since when that node has it, if it is another one
    call        its number at that node, 0 when it is this one
    in_doubt    it was sent before, and may have had an effect there
    is_repeatable  to do it twice is to do it once: it reads, or its token makes sure of that
    """

    may_apply: ClassVar[bool]
    __slots__ = (
        *("call", "deadline", "in_doubt", "is_open", "is_repeatable"),
        *("parked_at", "partition", "refused_by", "sent_at", "sent_to"),
    )

    def __init__(self, partition: PartitionId, deadline: float) -> None:
        self.partition = partition
        self.deadline = deadline
        self.parked_at: float | None = None
        self.sent_to = ""
        self.refused_by: tuple[str, ...] = ()
        self.sent_at = 0.0
        self.call = 0
        self.in_doubt = False
        self.is_open = True
        self.is_repeatable = not self.may_apply

    @abstractmethod
    def finish(self, result: Outcome) -> None:
        """Give the client its one answer."""


class Write(Request):
    """An encoded command for the leader."""

    may_apply = True
    __slots__ = ("command", "done")

    def __init__(
        self, partition: PartitionId, deadline: float, command: bytes, done: WriteDone, *, is_repeatable: bool
    ) -> None:
        super().__init__(partition, deadline)
        self.command = command
        self.done = done
        self.is_repeatable = is_repeatable

    def finish(self, result: Outcome) -> None:
        assert not isinstance(result, _READINGS), "a write is not answered by a reading"
        self.done(in_doubt(result) if self.in_doubt else result)


class Errand(Request):
    """Something for the leader itself to do. `call` of the message is filled in when it is sent."""

    may_apply = True
    __slots__ = ("done", "message")

    def __init__(self, deadline: float, message: TransferCall | TargetCall, done: WriteDone) -> None:
        super().__init__(PartitionId(message.partition), deadline)
        self.message = message
        self.done = done

    def finish(self, result: Outcome) -> None:
        assert not isinstance(result, _READINGS), "an errand is not answered by a reading"
        self.done(result)


class Query(Request):
    """Something to be read, as `fresh` as asked."""

    may_apply = False
    __slots__ = ("fresh",)

    fresh: Freshness


class Read(Query):
    """A key to be read."""

    __slots__ = ("done", "key")

    def __init__(self, partition: PartitionId, deadline: float, key: bytes, fresh: Freshness, done: ReadDone) -> None:
        super().__init__(partition, deadline)
        self.fresh = fresh
        self.key = key
        self.done = done

    def finish(self, result: Outcome) -> None:
        assert isinstance(result, _READ_OUTCOMES), "a read is answered by a reading"
        self.done(result)
