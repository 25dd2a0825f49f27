"""Of a long list as many lines are shown as were asked for, and the rest is counted."""

import pytest

from engine.listing import Listing, Wish, show_record
from engine.record import Expiring


@pytest.mark.parametrize(
    ("limit", "shown", "left_out"),
    [(None, 5, []), (5, 5, []), (4, 4, ["... 1 more key"]), (2, 2, ["... 3 more keys"]), (0, 0, ["... 5 more keys"])],
)
def test_a_limit_is_kept(limit: int | None, shown: int, left_out: list[str]) -> None:
    listing = Listing("key", Wish(limit=limit))

    assert sum(listing.may_show() for _ in range(5)) == shown
    assert list(listing.left_out()) == left_out


def test_a_record_is_one_line() -> None:
    values = Wish(values=True)

    assert show_record(b"k\n", b"v\0", values) == r"    b'k\n' = b'v\x00'"
    assert show_record(b"k", b"v" * 70, values) == f"    b'k' = b'{'v' * 60}'... (70 bytes)"
    assert show_record(b"k", b"v" * 70, Wish()) == "    b'k' = 70 bytes"
    assert show_record(b"k", Expiring.at(99, b"v"), values) == "    b'k' = b'v' until 99"
    assert show_record(b"k", None, values) == "    b'k' deleted"
