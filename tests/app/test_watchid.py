import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.watchid import WatchIds, encode_position
from raftgroups import Position

IDS = WatchIds("cluster")
all_positions = st.lists(st.builds(Position, st.integers(0, 2**52), st.integers(0, 4_095)), min_size=1, max_size=40)


def encode(first: int, positions: list[Position]) -> bytes:
    return IDS.encode(first, map(encode_position, positions))


@given(st.integers(0, 1_023), all_positions)
def test_an_id_says_the_position_in_each_partition(first: int, positions: list[Position]) -> None:
    assert IDS.decode(encode(first, positions)) == dict(enumerate(positions, first))


@given(st.integers(0, 1_023), all_positions, st.data())
def test_an_id_that_was_altered_is_none(first: int, positions: list[Position], data: st.DataObject) -> None:
    """Else a watch would go on from where its client never was."""
    good = encode(first, positions)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = good[:place] + bytes((data.draw(st.integers(32, 126)),)) + good[place + 1 :]

    # The last character may have bits of no byte.
    assert IDS.decode(bad) in (None, IDS.decode(good))
    assert bad == good or place == len(good) - 1 or IDS.decode(bad) is None
    assert IDS.decode(good[:place]) is None


@given(st.binary(max_size=60))
def test_anything_else_is_no_id(text: bytes) -> None:
    assert IDS.decode(text) is None
    assert IDS.decode(b"w1." + text) is None


def test_the_id_of_another_cluster_is_none_here() -> None:
    assert WatchIds("other").decode(encode(0, [Position(7)])) is None


@pytest.mark.parametrize("body", [b"\0\1", b"\0\1\x80", b"\0" + b"\xff" * 20 + b"\1\0"])
def test_a_body_that_is_no_list_of_positions_is_none(body: bytes) -> None:
    assert IDS.decode(IDS.encode(body[0], [body[1:]])) is None


def test_the_positions_of_all_partitions_fit_into_a_head() -> None:
    """Of the 16 KiB that a request's head may have."""
    assert len(encode(0, [Position(10**9, 9)] * 1_024)) < 9_000


@given(st.binary(min_size=6, max_size=6), st.integers(0, 10_000))
def test_a_short_id_names_a_segment_and_a_count(segment: bytes, count: int) -> None:
    short = IDS.encode_short(segment, count)

    assert IDS.decode_short(short) == (segment, count) and len(short) <= 20
    assert IDS.decode(short) is None
    assert WatchIds("other").decode_short(short) is None
    assert IDS.decode_short(encode(0, [Position(7)])) is None
    assert IDS.decode_short(short[:-1]) is None
