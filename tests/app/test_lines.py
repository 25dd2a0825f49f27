"""Lines out of any pieces, whatever ends them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lines import BOM, LineReader


def cut(data: bytes, *cuts: int, bytes_max: int = 5) -> list[bytes | None]:
    """The lines of what comes in these pieces."""
    reader = LineReader(bytes_max)
    ends = sorted({min(place, len(data)) for place in cuts} | {0, len(data)})
    pieces = [data[start:end] for start, end in itertools.pairwise(ends)]
    return [line for piece in pieces for line in reader.feed(piece)] + reader.end()


def lines_of(data: bytes, bytes_max: int) -> list[bytes | None]:
    """The same of a whole."""
    early = data[: bytes_max + len(BOM) + 2]
    end = b"\r" if b"\n" not in early and b"\r" in early else b"\n"
    *whole, rest = data.split(end)
    lines = [*whole, *([rest] if rest else [])]
    if lines:
        lines[0] = lines[0].removeprefix(BOM)
    if end == b"\n":
        lines = [line.removesuffix(b"\r") for line in lines]
    return [line if len(line) <= bytes_max else None for line in lines]


@given(
    st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b"\r", b"\xff", BOM]), max_size=30).map(b"".join),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_lines_come_out_of_any_pieces(data: bytes, cuts: list[int]) -> None:
    """Where a stream is cut into pieces makes no difference."""
    assert cut(data, *cuts) == lines_of(data, 5)
    assert cut(data, *cuts, bytes_max=100) == lines_of(data, 100)


@given(st.text("ab\n", max_size=60).map(str.encode), st.lists(st.integers(0, 60), max_size=6))
def test_no_line_outgrows_its_bound(data: bytes, cuts: list[int]) -> None:
    *whole, rest = data.split(b"\n")

    assert cut(data, *cuts) == [line if len(line) <= 5 else None for line in (*whole, *([rest] if rest else []))]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\rb\rc", [b"a", b"b", b"c"]),
        (b"a\rb\nc\rd\n", [b"a\rb", b"c\rd"]),
        (BOM + b"a\n" + BOM + b"\n", [b"a", BOM]),
        (BOM + b"12345\r\n", [b"12345"]),
        (BOM, [b""]),
        (b"123456\r1", [None, b"1"]),
        (b"1234567890\r1\n2", [None, b"2"]),
        (b"1234567890\n1\r2\n", [None, b"1\r2"]),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_however_they_end(data: bytes, lines: list[bytes | None], step: int) -> None:
    assert cut(data, *range(0, len(data), step)) == lines
