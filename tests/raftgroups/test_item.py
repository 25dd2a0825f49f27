import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftgroups.item import Item, decode_item, encode_item, is_absent

items = st.builds(Item, st.integers(0, 2**53), st.binary(max_size=99), st.text(max_size=9), st.integers(0, 2**45))


@given(items)
def test_an_item_survives_its_encoding(item: Item) -> None:
    assert decode_item(encode_item(item)) == item


@given(items, st.integers(1, 2**45))
def test_it_is_absent_from_the_moment_it_expires_on(item: Item, clock_ms: int) -> None:
    assert is_absent(encode_item(item), clock_ms) is (0 < item.expires_ms <= clock_ms)


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (Item(7, b"v", "t"), b"\x93\x07\xc4\x01v\xa1t"),
        (Item(7, b"v", "t", 9), b"\x94\x07\xc4\x01v\xa1t\x09"),
    ],
)
def test_the_encoding_never_changes(item: Item, encoded: bytes) -> None:
    """Stored items outlive the version that wrote them."""
    assert encode_item(item) == encoded
