"""Commands, and the log entries that carry them.

    entry    := msgpack [clock_ms, [command, …]]                             one batch is one entry
              | msgpack [clock_ms, [], configuration]                        a change of membership (membership.py)
              | msgpack [clock_ms, [], nil, grace_ms]                        a reign begins (leaderclock.py)
    command  := [1, key, value, content_type]                                Put
              | [2, key]                                                     Delete
              | [3, key, value, content_type, ttl_ms, expected]              ConditionalPut
              | [4, key, expected]                                           ConditionalDelete
              | [5, key, by, expected]                                       Increment
              | [6, key, suffix, pair_bytes_max, expected]                   AppendTo
              | [7, key, ttl_ms, expected]                                   Touch
              | [8, [comparison, …], [step, …], [step, …]]                   Transaction
              | [9, token, digest, keep_ms, command]                         Once
              | [11, start, end | nil, keys_max, bytes_max]                  DeleteRange
    expected := nil | false | true | [revision, …]

An entry without commands is a leader's first, or tells the time. The format is a concatenation: a command is
encoded once, where it enters the cluster, and its bytes are joined into the entry unread.
A reader that meets anything else raises `msgspec.DecodeError`; behind a checksummed frame
that is a bug of the writer, not damage.

What decodes can be applied, by every replica and whenever: no command runs code, none depends on
the version of who applies it, and none is longer than the engine takes. So an entry never stops a
partition for good. Every bound that decides an outcome is in the command, as settings differ.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from engine import KEY_BYTES_MAX as ENGINE_KEY_BYTES_MAX
from raftgroups.errors import InvalidCommandError
from raftgroups.ids import COMMANDS_PER_ENTRY_MAX
from raftgroups.membership import Configuration

# Less than the engine's by what the state machine puts before it: a byte, and the time at which it expires.
KEY_BYTES_MAX = ENGINE_KEY_BYTES_MAX - 9
VALUE_BYTES_MAX = 1 << 20
CONTENT_TYPE_LENGTH_MAX = 1 << 10
TTL_MS_MAX = 1 << 45  # a thousand years
STEPS_MAX = 128
EXPECTED_MAX = 64
TOKEN_BYTES_MAX = 512
RANGE_KEYS_MAX = 4_096
DIGEST_BYTES_MAX = 64
INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 63) - 1

_Key = Annotated[bytes, msgspec.Meta(min_length=1, max_length=KEY_BYTES_MAX)]
_Bound = Annotated[bytes, msgspec.Meta(max_length=KEY_BYTES_MAX)]
_Value = Annotated[bytes, msgspec.Meta(max_length=VALUE_BYTES_MAX)]
_ContentType = Annotated[str, msgspec.Meta(max_length=CONTENT_TYPE_LENGTH_MAX)]
_Ttl = Annotated[int, msgspec.Meta(ge=0, le=TTL_MS_MAX)]
_Revisions = Annotated[tuple[int, ...], msgspec.Meta(max_length=EXPECTED_MAX)]

Expected = _Revisions | bool | None
"""A condition: the key is at one of these revisions; True: it exists; False: it does not; None: whatever."""


class Put(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The key now holds `value`, of media type `content_type` (empty: none was given)."""

    key: _Key
    value: _Value
    content_type: _ContentType = ""


class Delete(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The key is now absent, whether or not it was before."""

    key: _Key


class ConditionalPut(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """As Put, if what is expected is there; and for `ttl_ms`, if that is not 0."""

    key: _Key
    value: _Value
    content_type: _ContentType = ""
    ttl_ms: _Ttl = 0
    expected: Expected = None


class ConditionalDelete(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """As Delete, if what is expected is there."""

    key: _Key
    expected: Expected = None


class Increment(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The decimal number under the key, 0 if it is absent, is now greater by `by`; it expires when it did."""

    key: _Key
    by: Annotated[int, msgspec.Meta(ge=INTEGER_MIN, le=INTEGER_MAX)]
    expected: Expected = None


class AppendTo(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """The value under the key now ends with `suffix`, unless key and value would be too large."""

    key: _Key
    suffix: _Value
    pair_bytes_max: Annotated[int, msgspec.Meta(ge=0, le=VALUE_BYTES_MAX)]
    expected: Expected = None


class Touch(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The key, which must exist, expires after `ttl_ms` from now; 0: never."""

    key: _Key
    ttl_ms: _Ttl
    expected: Expected = None


class Get(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """A step of a transaction that reads a key, and sees what the steps before it wrote."""

    key: _Key


class Field(StrEnum):
    """What of a key is compared. The revision of an absent key is 0."""

    REVISION = "revision"
    VALUE = "value"
    EXISTS = "exists"


class Operator(StrEnum):
    """How it is compared."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"


class Comparison(msgspec.Struct, frozen=True, array_like=True):
    """Holds if the field of what is under the key stands in this relation to `operand`.

    The value of an absent key stands in none but NE.
    """

    key: _Key
    field: Field
    operator: Operator
    operand: Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)] | bool | _Value


Step = ConditionalPut | ConditionalDelete | Get


class Transaction(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """If all comparisons hold, the steps of `then` are taken, else those of `otherwise`: all or none.

    The steps have no conditions of their own.
    """

    comparisons: Annotated[list[Comparison], msgspec.Meta(max_length=STEPS_MAX)]
    then: Annotated[list[Step], msgspec.Meta(max_length=STEPS_MAX)]
    otherwise: Annotated[list[Step], msgspec.Meta(max_length=STEPS_MAX)]


class DeleteRange(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """The first keys with start <= key < end are now absent; the result says how far that is.

    end         None is above every key
    keys_max    how many keys to look at
    bytes_max   look no further once the keys and items are so long; one key is always taken
    """

    start: _Bound
    end: _Bound | None
    keys_max: Annotated[int, msgspec.Meta(ge=1, le=RANGE_KEYS_MAX)]
    bytes_max: Annotated[int, msgspec.Meta(ge=1)]


Repeatable = (
    Put | Delete | ConditionalPut | ConditionalDelete | Increment | AppendTo | Touch | Transaction | DeleteRange
)


class Once(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """The command, unless one with the same token has been applied: then its result again, and nothing else.

    token     the client's, unique for each command
    digest    of the request that it came with: the same token with another one is a mistake
    keep_ms   how long the result is kept, in state-machine time
    """

    token: Annotated[bytes, msgspec.Meta(min_length=1, max_length=TOKEN_BYTES_MAX)]
    digest: Annotated[bytes, msgspec.Meta(max_length=DIGEST_BYTES_MAX)]
    keep_ms: _Ttl
    command: Repeatable


Command = Repeatable | Once

_DELETE, _ONCE = 2, 9


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One log entry: a batch of commands and the state-machine time when the leader took them, in milliseconds.

    configuration   who holds the group from here on, in an entry of its own
    grace_ms        by so much state-machine time has stood still while nobody led
    """

    clock_ms: int
    commands: list[Command]
    configuration: Configuration | None = None
    grace_ms: int = 0


class _Telling(msgspec.Struct, frozen=True, array_like=True):
    """An entry whose commands are not looked at."""

    clock_ms: int
    commands: msgspec.Raw
    configuration: msgspec.Raw = msgspec.Raw(b"\xc0")
    grace_ms: int = 0


_THREE_FIELDS = b"\x93"
_encoder = msgspec.msgpack.Encoder()
encode_command = _encoder.encode
decode_command = msgspec.msgpack.Decoder(Command).decode
decode_entry = msgspec.msgpack.Decoder(Entry).decode
_decode_telling = msgspec.msgpack.Decoder(_Telling).decode


def check_command(command: bytes) -> None:
    """Raises: InvalidCommandError, when these bytes are no command that could be applied."""
    try:
        decode_command(command)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidCommandError(f"not a command that can be applied: {error}") from error


def is_plain(command: bytes) -> bool:
    """Whether an encoded command is a Put or a Delete, by its second byte."""
    return len(command) > 1 and command[1] <= _DELETE


def token_of(command: bytes) -> bytes | None:
    """The token of an encoded Once; one look at the second byte for any other."""
    if len(command) < 2 or command[1] != _ONCE:
        return None
    once = decode_command(command)
    assert isinstance(once, Once), "the tag says so"
    return once.token


def encode_configuration(clock_ms: int, configuration: Configuration) -> bytes:
    """An entry that changes the membership."""
    return _encoder.encode((clock_ms, [], configuration))


def encode_beginning(clock_ms: int, grace_ms: int) -> bytes:
    """The entry that a reign begins with."""
    return _encoder.encode((clock_ms, [], None, grace_ms)) if grace_ms else encode_entry(clock_ms, [])


def time_in(payload: bytes) -> tuple[int, int]:
    """The time that an entry tells, and the grace that it gives, both in milliseconds."""
    telling = _decode_telling(payload)
    return telling.clock_ms, telling.grace_ms


def configuration_in(payload: bytes) -> Configuration | None:
    """The configuration that an entry holds; one look at the first byte for all that hold none."""
    return decode_entry(payload).configuration if payload[:1] == _THREE_FIELDS else None


def encode_entry(clock_ms: int, commands: Sequence[bytes]) -> bytes:
    """Join already encoded commands into one entry."""
    count = len(commands)
    assert count <= COMMANDS_PER_ENTRY_MAX, "the caller bounds a batch"
    header = b"\x92" + _encoder.encode(clock_ms)
    array = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return b"".join((header, array, *commands))
