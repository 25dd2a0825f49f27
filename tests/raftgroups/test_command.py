import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import KEY_BYTES_MAX
from raftgroups.command import (
    CONTENT_TYPE_LENGTH_MAX,
    VALUE_BYTES_MAX,
    Command,
    Delete,
    Entry,
    Put,
    check_command,
    configuration_in,
    decode_command,
    decode_entry,
    encode_beginning,
    encode_command,
    encode_configuration,
    encode_entry,
    time_in,
)
from raftgroups.errors import InvalidCommandError
from raftgroups.ids import COMMANDS_PER_ENTRY_MAX, LogIndex, revision_of
from raftgroups.item import Item, decode_item, encode_item
from raftgroups.membership import Configuration

keys = st.binary(min_size=1, max_size=1024)
values = st.binary(max_size=2048)
commands = st.one_of(st.builds(Put, keys, values, st.text(max_size=40)), st.builds(Delete, keys))


@given(commands)
def test_a_command_survives_its_encoding(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@given(st.builds(Item, st.integers(0, 2**63 - 1), values, st.text(max_size=40)))
def test_an_item_survives_its_encoding(item: Item) -> None:
    assert decode_item(encode_item(item)) == item


@given(st.integers(0, 2**53), st.lists(commands, max_size=40))
def test_an_entry_is_the_concatenation_of_its_commands(clock_ms: int, batch: list[Command]) -> None:
    """Joining encoded commands gives what encoding the whole entry gives."""
    joined = encode_entry(clock_ms, [encode_command(command) for command in batch])

    assert joined == msgspec.msgpack.encode([clock_ms, batch])
    assert decode_entry(joined) == Entry(clock_ms, batch)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 255, 256, COMMANDS_PER_ENTRY_MAX])
def test_entries_of_every_size_class_survive(count: int) -> None:
    batch: list[Command] = [Delete(b"k%d" % number) for number in range(count)]

    assert decode_entry(encode_entry(1, [encode_command(command) for command in batch])).commands == batch


def test_an_entry_without_commands_is_a_no_op() -> None:
    assert decode_entry(encode_entry(5, [])) == Entry(5, [])


def test_an_entry_larger_than_its_bound_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        encode_entry(1, [encode_command(Delete(b"k"))] * (COMMANDS_PER_ENTRY_MAX + 1))


def test_the_encoding_never_changes() -> None:
    """Log entries and stored items outlive the version that wrote them."""
    assert encode_command(Put(b"k", b"v", "t")) == b"\x94\x01\xc4\x01k\xc4\x01v\xa1t"
    assert encode_command(Delete(b"k")) == b"\x92\x02\xc4\x01k"
    assert encode_item(Item(4097, b"v", "t")) == b"\x93\xcd\x10\x01\xc4\x01v\xa1t"
    assert encode_entry(7, [b"\x92\x02\xc4\x01k"]) == b"\x92\x07\x91\x92\x02\xc4\x01k"


@given(st.binary(max_size=60))
def test_garbage_is_a_decode_error(data: bytes) -> None:
    for decode in (decode_command, decode_entry, decode_item):
        try:
            decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass


@pytest.mark.parametrize(
    "data",
    [
        msgspec.msgpack.encode([3, b"key"]),
        msgspec.msgpack.encode([1, b"key"]),
        msgspec.msgpack.encode([1, "key", b"value"]),
        msgspec.msgpack.encode([2, 7]),
        b"",
        encode_command(Delete(b"k")) + b"\x00",
        encode_command(Delete(b"k" * KEY_BYTES_MAX)),
        encode_command(Put(b"k" * KEY_BYTES_MAX, b"")),
        encode_command(Put(b"k", b"v" * (VALUE_BYTES_MAX + 1))),
        encode_command(Put(b"k", b"", "t" * (CONTENT_TYPE_LENGTH_MAX + 1))),
    ],
)
def test_what_is_no_command_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_command(data)
    with pytest.raises(InvalidCommandError, match="not a command that can be applied"):
        check_command(data)


def test_what_is_no_text_is_no_command() -> None:
    with pytest.raises(InvalidCommandError):
        check_command(b"\x94\x01\xc4\x01k\xc4\x01v\xa1\xff")


@given(st.integers(1, 2**41 - 1), st.integers(0, COMMANDS_PER_ENTRY_MAX - 1))
def test_revisions_grow_with_the_log_and_fit_in_json(index: int, place: int) -> None:
    revision = revision_of(LogIndex(index), place)

    assert revision_of(LogIndex(index - 1), COMMANDS_PER_ENTRY_MAX - 1) < revision
    assert revision < revision_of(LogIndex(index + 1), 0)
    assert float(revision) == revision


@pytest.mark.parametrize("grace_ms", [0, 1, 60_000])
def test_a_reign_begins_with_a_time_and_a_grace(grace_ms: int) -> None:
    payload = encode_beginning(1_700_000_000_000, grace_ms)

    assert decode_entry(payload) == Entry(1_700_000_000_000, [], None, grace_ms)
    assert time_in(payload) == (1_700_000_000_000, grace_ms)
    assert configuration_in(payload) is None


def test_the_time_of_an_entry_is_read_without_its_commands() -> None:
    assert time_in(encode_entry(7, [encode_command(Put(b"k", b"v"))])) == (7, 0)
    assert time_in(encode_configuration(8, Configuration(("a",)))) == (8, 0)
    assert encode_configuration(8, Configuration(("a",)))[:1] == b"\x93", "as earlier versions wrote and read it"
