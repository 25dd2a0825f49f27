"""Results: what became of a command that was applied. A condition that does not hold is one, too.

result := [1, revision]                                               Written
        | [2, revision, value, content_type, expires_ms, clock_ms]    Changed
        | [3, revision]                                               Unmet
        | [4]                                                         Missing
        | [5, reason, text]                                           Rejected
        | [6, item | nil]                                             Found
        | [7, succeeded, [result, …], revision, clock_ms]             Decided
        | [8]                                                         Reused
        | [9, revision, deleted, reached | nil]                       Cleared
"""

from enum import StrEnum

import msgspec

from raftgroups.item import Item


class Written(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The command made `revision`."""

    revision: int


class Changed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The command made of what was there what is there now.

    clock_ms    state-machine time then, by which `expires_ms` is counted; 0 where nothing expires
    """

    revision: int
    value: bytes
    content_type: str = ""
    expires_ms: int = 0
    clock_ms: int = 0


class Unmet(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The condition does not hold: nothing was changed. The key is at `revision`; 0: it is absent."""

    revision: int


class Missing(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """There is no such key, and the command needs one."""


class Reason(StrEnum):
    """Why a command cannot be done to what is there."""

    NOT_A_NUMBER = "not_a_number"
    OVERFLOW = "overflow"
    TOO_LARGE = "too_large"


class Rejected(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """What is there is not such that the command could be done to it: nothing was changed."""

    reason: Reason
    text: str


class Found(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """What a transaction read; None: the key is absent."""

    item: Item | None


class Reused(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """The idempotency token has come before, with another command: nothing was changed."""


class Decided(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """A transaction: whether its comparisons held, and a result for each step of the branch that was taken.

    revision    of all that it wrote; 0: it wrote nothing
    clock_ms    state-machine time then, by which is counted when what it found expires
    """

    succeeded: bool
    results: list[Written | Found]
    revision: int = 0
    clock_ms: int = 0


class Cleared(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """The beginning of a range of keys was deleted.

    deleted   how many keys were there
    reached   the last key looked at; None at the end of the range
    """

    revision: int
    deleted: int
    reached: bytes | None = None


Result = Written | Changed | Unmet | Missing | Rejected | Found | Decided | Reused | Cleared

encode_result = msgspec.msgpack.Encoder().encode
decode_result = msgspec.msgpack.Decoder(Result).decode
