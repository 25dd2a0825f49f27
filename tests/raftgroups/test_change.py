from hypothesis import given
from hypothesis import strategies as st

from raftgroups.change import Change, Position, Told, decode_changes, encode_changes
from raftgroups.item import Item

items = st.none() | st.builds(Item, st.integers(1, 2**53), st.binary(), st.text(), st.integers(0, 2**45))
changes = st.builds(Change, st.integers(1, 2**53), st.binary(min_size=1), items, st.booleans())


@given(st.lists(changes))
def test_changes_survive_their_encoding(made: list[Change]) -> None:
    assert decode_changes(encode_changes(made)) == made


def test_what_was_told_says_where_to_go_on() -> None:
    change = Change(7, b"k", None)

    assert Told(3, 1, change).position == Position(3, 1)
    assert Position(3, 1) > Position(3) > Position(2, 9)
