"""What is shown is printable, and short."""

import ast

from hypothesis import given
from hypothesis import strategies as st

from engine.show import count, show


@given(st.binary(max_size=60))
def test_short_bytes_are_shown_whole(data: bytes) -> None:
    assert ast.literal_eval(show(data)) == data
    assert show(data).isascii() and show(data).isprintable()


def test_of_long_bytes_the_beginning_is_shown() -> None:
    assert show(b"x" * 2000) == f"b'{'x' * 60}'... (2,000 bytes)"
    assert show(b"abc", 2) == "b'ab'... (3 bytes)"


def test_a_count_has_its_noun() -> None:
    assert [count(number, "block") for number in (0, 1, 1234)] == ["0 blocks", "1 block", "1,234 blocks"]
