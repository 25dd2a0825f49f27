"""Pieces of a Span: bounded in keys and bytes, without what has expired."""

from hypothesis import given
from hypothesis import strategies as st

from raftgroups.item import Item, decode_item, encode_item
from raftgroups.span import Piece, Span, take_piece

CLOCK_MS = 50


def records(*items: Item) -> list[tuple[bytes, bytes]]:
    return [(b"\x01k%02d" % number, encode_item(item)) for number, item in enumerate(items)]


def test_a_piece_ends_at_its_limit_and_says_how_far_it_came() -> None:
    stored = records(*[Item(1, b"v")] * 4)

    assert take_piece(iter(stored), Span(limit=2), 0).reached == b"k01"
    assert take_piece(iter(stored), Span(limit=4), 0).reached is None
    assert take_piece(iter([]), Span(), 0) == Piece([], None)


def test_a_piece_is_bounded_in_bytes_but_has_one_pair() -> None:
    stored = records(*[Item(1, bytes(100))] * 4)

    assert len(take_piece(iter(stored), Span(bytes_max=1), 0).pairs) == 1
    assert len(take_piece(iter(stored), Span(bytes_max=150), 0).pairs) == 2
    assert take_piece(iter(stored), Span(bytes_max=150), 0).reached == b"k01"


def test_what_has_expired_is_looked_at_and_left_out() -> None:
    """A piece may have nothing, and yet say how far it came."""
    stored = records(*[Item(1, b"v", "", CLOCK_MS)] * 3, Item(2, b"w", "", CLOCK_MS + 1))

    assert take_piece(iter(stored), Span(limit=3), CLOCK_MS) == Piece([], b"k02")
    assert [key for key, _ in take_piece(iter(stored), Span(), CLOCK_MS).pairs] == [b"k03"]


def test_keys_alone_have_their_revision() -> None:
    (pair,) = take_piece(iter(records(Item(7, b"v", "text/plain", 99))), Span(keys_only=True), 0).pairs

    assert decode_item(pair[1]) == Item(7, b"")


@given(st.lists(st.integers(0, 60), max_size=30), st.integers(1, 10), st.integers(1, 200))
def test_pieces_go_through_everything_once(sizes: list[int], limit: int, bytes_max: int) -> None:
    stored = records(*(Item(1, bytes(size)) for size in sizes))
    found: list[tuple[bytes, bytes]] = []
    rest = stored
    while True:
        piece = take_piece(iter(rest), Span(limit=limit, bytes_max=bytes_max), 0)
        found += piece.pairs
        if piece.reached is None:
            break
        assert 0 < len(piece.pairs) <= limit
        rest = [pair for pair in stored if pair[0][1:] > piece.reached]
    assert found == [(key[1:], item) for key, item in stored]
