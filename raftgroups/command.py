"""Commands, and the log entries that carry them.

    entry    := msgpack [clock_ms, [command, …]]           one batch is one entry
              | msgpack [clock_ms, [], configuration]      a change of membership (membership.py)
    command  := [1, key, value, content_type] | [2, key]   Put | Delete
    item     := [revision, value, content_type]            what the engine stores under a key

An entry without commands is a leader's no-op. The format is a concatenation: a command is
encoded once, where it enters the cluster, and its bytes are joined into the entry unread.
A reader that meets anything else raises `msgspec.DecodeError`; behind a checksummed frame
that is a bug of the writer, not damage.

What decodes can be applied, by every replica and whenever: no command runs code, none depends on
the version of who applies it, and none is longer than the engine takes. So an entry never stops a
partition for good.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from engine import KEY_BYTES_MAX as ENGINE_KEY_BYTES_MAX
from raftgroups.errors import InvalidCommandError
from raftgroups.ids import COMMANDS_PER_ENTRY_MAX
from raftgroups.membership import Configuration

# One byte less than the engine's, which is what the state machine puts before it.
KEY_BYTES_MAX = ENGINE_KEY_BYTES_MAX - 1
VALUE_BYTES_MAX = 1 << 20
CONTENT_TYPE_LENGTH_MAX = 1 << 10

_Key = Annotated[bytes, msgspec.Meta(max_length=KEY_BYTES_MAX)]
_Value = Annotated[bytes, msgspec.Meta(max_length=VALUE_BYTES_MAX)]
_ContentType = Annotated[str, msgspec.Meta(max_length=CONTENT_TYPE_LENGTH_MAX)]


class Put(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The key now holds `value`, of media type `content_type` (empty: none was given)."""

    key: _Key
    value: _Value
    content_type: _ContentType = ""


class Delete(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The key is now absent, whether or not it was before."""

    key: _Key


Command = Put | Delete


class Written(msgspec.Struct, frozen=True, array_like=True):
    """Result: the command was applied and made `revision`."""

    revision: int


class Item(msgspec.Struct, frozen=True, array_like=True):
    """What a key holds."""

    revision: int
    value: bytes
    content_type: str = ""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One log entry: a batch of commands and the leader's clock when it took them, in milliseconds.

    configuration   who holds the group from here on, in an entry of its own
    """

    clock_ms: int
    commands: list[Command]
    configuration: Configuration | None = None


_THREE_FIELDS = b"\x93"
_encoder = msgspec.msgpack.Encoder()
encode_command = _encoder.encode
encode_item = _encoder.encode
decode_command = msgspec.msgpack.Decoder(Command).decode
decode_item = msgspec.msgpack.Decoder(Item).decode
decode_entry = msgspec.msgpack.Decoder(Entry).decode


def check_command(command: bytes) -> None:
    """Raises: InvalidCommandError, when these bytes are no command that could be applied."""
    try:
        decode_command(command)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidCommandError(f"not a command that can be applied: {error}") from error


def encode_configuration(clock_ms: int, configuration: Configuration) -> bytes:
    """An entry that changes the membership."""
    return _encoder.encode(Entry(clock_ms, [], configuration))


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
