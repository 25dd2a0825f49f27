"""Failures between gateways: an error by the name of its class, and back."""

from collections.abc import Mapping

import raftgroups
from raftgroups import (
    BehindError,
    FailureReturn,
    NoQuorumError,
    NotLeaderError,
    OutcomeUnknownError,
    PartitionId,
    RaftGroupError,
    Refusal,
    TooStaleError,
)

_OF_PARTITION: Mapping[str, type[NoQuorumError | BehindError | TooStaleError]] = {
    error.__name__: error for error in (NoQuorumError, BehindError, TooStaleError)
}


def encode_failure(call: int, error: RaftGroupError) -> FailureReturn:
    """The failure of a whole call."""
    refusal = encode_refusal(error)
    return FailureReturn(call, refusal.error, refusal.text, refusal.leader)


def encode_refusal(error: RaftGroupError) -> Refusal:
    """The failure of one command of many."""
    leader = error.leader if isinstance(error, NotLeaderError) else None
    return Refusal(type(error).__name__, str(error), leader or "")


def decode_failure(partition: PartitionId, failure: FailureReturn | Refusal) -> RaftGroupError:
    """The error that a peer named. What this version does not know may have had any outcome."""
    if failure.error == NotLeaderError.__name__:
        return NotLeaderError(partition, failure.leader or None)
    if failure.error in _OF_PARTITION:
        return _OF_PARTITION[failure.error](partition)
    kind = getattr(raftgroups, failure.error, None)
    if isinstance(kind, type) and issubclass(kind, RaftGroupError):
        return kind(failure.text)
    return OutcomeUnknownError(failure.text)
