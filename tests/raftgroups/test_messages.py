import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftgroups.change import Change, Told
from raftgroups.item import Item
from raftgroups.level import Freshness, Level, Receipt
from raftgroups.messages import (
    Address,
    AnyMessage,
    Append,
    AppendReply,
    Awake,
    Beat,
    BulkReadCall,
    BulkReadReturn,
    BulkWriteCall,
    BulkWriteReturn,
    ClockAsk,
    ClockTell,
    DiskReport,
    FailureReturn,
    Heartbeat,
    HeartbeatReply,
    Lead,
    Leads,
    Placement,
    ReadCall,
    ReadIndexReply,
    ReadIndexRequest,
    ReadReturn,
    Refusal,
    Removed,
    ScanCall,
    ScanReturn,
    Sleep,
    SnapshotChunk,
    SnapshotOffer,
    SnapshotReply,
    TargetCall,
    TimeoutNow,
    TransferCall,
    VoteReply,
    VoteRequest,
    WatchCall,
    WatchNote,
    WatchReturn,
    WriteCall,
    WriteReturn,
    decode_messages,
    encode_messages,
)
from raftgroups.span import Piece, Span

ONE_OF_EACH: list[AnyMessage] = [
    Append(3, 7, 41, 6, [(7, b"entry"), (7, b"")], 40, 9),
    AppendReply(3, 7, 9, ok=False, match=0, hint_index=12, hint_term=5),
    Heartbeat(3, 7, 40, 2),
    HeartbeatReply(3, 7, 2, promise=True),
    VoteRequest(3, 8, 43, 7, probe=True, transfer=False),
    VoteReply(3, 8, probe=True, granted=True),
    TimeoutNow(3, 7),
    ReadIndexRequest(3, 7, 5),
    ReadIndexReply(3, 7, 5, 43, 42),
    SnapshotOffer(3, 7, 1, 43, [("000001.sst", 4096), ("CURRENT", 16)]),
    SnapshotChunk(3, 1, 4096, b"\x00\xff"),
    SnapshotReply(3, 7, 1, 4112, installed=True, failed=False),
    Beat(17, 16, 900, 3, 2, promises=True),
    Beat(17, 16, 900, 3, 2, disk=DiskReport(310_000, is_slow=True)),
    Sleep(3, 7, 43),
    Leads([Lead(3, 7, 43, 42), Lead(4, 7, 9, 9, has_ended=True)], is_all=True),
    Awake(3, 7),
    WriteCall(11, 3, 1, 2000, b"command"),
    ReadCall(12, 3, 1, 2000, Freshness(Level.SESSION, 7), b"key"),
    WriteReturn(11, 4097),
    WriteReturn(11, 0, b"result"),
    ReadReturn(12, b"item", Receipt(Level.STALE, 15, "n1", "leader", 42)),
    FailureReturn(13, "NotLeaderError", "partition 3 is led by n2", "n2"),
    TransferCall(14, 3, "n2"),
    Removed(3, 7, 41),
    Address("n2", "10.0.0.2:9001"),
    ClockAsk(17.25),
    ClockTell(17.25, 1_700_000_000_000),
    Placement(3, 41, ("n1", "n2"), ("n3",), ("n1", "n3")),
    TargetCall(15, 3, ["n1", "n3"]),
    ScanCall(16, 3, 1, 2000, Freshness(), Span(b"a", None, 10, 100, keys_only=True, reverse=True)),
    ScanReturn(16, Piece([(b"key", b"item")], b"key"), Receipt(Level.STALE, 15, "n1", "leader", 42)),
    BulkWriteCall(16, 3, 1, 2000, [b"command", b"another"]),
    BulkWriteReturn(16, [4097, b"result", Refusal("NotLeaderError", "partition 3 is led by n2", "n2")]),
    BulkReadCall(17, 3, 1, 2000, Freshness(Level.SESSION, 7), [b"key", b"another"]),
    BulkReadReturn(17, [b"item", b""], Receipt(Level.STALE, 15, "n1", "leader", 42)),
    WatchCall(16, 3, 1, 2000, 41, 2),
    WatchNote(0, 0, b"\x00segment", b"\x00base", 7, b"\x01\x02\x03"),
    WatchReturn(16, [Told(42, 0, Change(4097, b"key", Item(4097, b"v"), has_expired=False))], 42, 0, 7, "why"),
]

# A text that is not UTF-8 is the one damage that msgspec has no error of its own for.
REFUSALS = (msgspec.DecodeError, UnicodeDecodeError)

integers = st.integers(0, 2**63 - 1)
messages = st.one_of(
    st.builds(
        Append,
        *[integers] * 4,
        st.lists(st.tuples(integers, st.binary(max_size=50)), max_size=5),
        integers,
        integers,
    ),
    st.builds(AppendReply, integers, integers, integers, st.booleans(), integers, integers, integers),
    st.builds(SnapshotOffer, *[integers] * 4, st.lists(st.tuples(st.text(max_size=9), integers), max_size=5)),
    st.builds(SnapshotChunk, integers, integers, integers, st.binary(max_size=50)),
    st.builds(WriteCall, *[integers] * 4, st.binary(max_size=50)),
    st.builds(FailureReturn, integers, st.text(max_size=9), st.text(max_size=9), st.text(max_size=9)),
)


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: type(message).__name__)
def test_every_message_survives_its_encoding(message: AnyMessage) -> None:
    assert decode_messages(encode_messages([message])) == [message]


def test_one_of_each_is_tested() -> None:
    assert {type(message) for message in ONE_OF_EACH} == set(AnyMessage.__args__)


def test_a_frame_carries_all_that_a_turn_has() -> None:
    assert decode_messages(encode_messages(ONE_OF_EACH)) == ONE_OF_EACH
    assert decode_messages(encode_messages([])) == []


@given(st.lists(messages, max_size=8))
def test_any_messages_survive_together(sent: list[AnyMessage]) -> None:
    assert decode_messages(encode_messages(sent)) == sent


@pytest.mark.parametrize(
    "body",
    [
        [[99, 3, 7]],
        [[0, 3, 7]],
        [["1", 3, 7]],
        [[]],
        [3],
        {"tag": 3},
        [[3, 1, 7, 40]],
        [[3, 1, 7, 40, 2, 5]],
        [[3, 1, 7, 40, "2"]],
        [[3, 1, 7, 40, 2.5]],
        [[6, 1, 7, 1, 1]],
        [[1, 3, 7, 41, 6, [[7]], 40, 9]],
        [[1, 3, 7, 41, 6, [[7, "text"]], 40, 9]],
        [[11, 3, 1, 0, "text"]],
    ],
)
def test_what_is_no_message_is_refused(body: object) -> None:
    """Unknown tags, missing and surplus fields, wrong types: never a guess."""
    with pytest.raises(msgspec.ValidationError):
        decode_messages(msgspec.msgpack.encode(body))


@given(st.binary(max_size=100))
def test_garbage_raises_nothing_but_refusals(data: bytes) -> None:
    try:
        decode_messages(data)
    except REFUSALS:
        pass


@given(st.data())
def test_a_damaged_frame_raises_nothing_but_refusals(data: st.DataObject) -> None:
    whole = bytearray(encode_messages(ONE_OF_EACH))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for body in (bytes(whole), bytes(whole[:cut])):
        try:
            decode_messages(body)
        except REFUSALS:
            pass
