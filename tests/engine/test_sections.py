"""Sections are found by nothing but their checksums."""

import random

from hypothesis import given
from hypothesis import strategies as st

from engine.section import Packer, seal
from engine.sections import FIND_BYTES_MAX, find_sections, section_ends


@given(
    st.lists(st.tuples(st.binary(max_size=60), st.binary(max_size=300)), max_size=6),
    st.one_of(st.integers(0, 1 << 34), st.integers(-700, 10).map(lambda beyond: (1 << 32) + beyond)),
    st.binary(max_size=60),
)
def test_every_section_is_found_among_other_bytes(parts: list[tuple[bytes, bytes]], position: int, tail: bytes) -> None:
    """At any position, also where it no longer fits 32 bits."""
    data = b""
    expected = []
    for junk, content in parts:
        start = len(data) + len(junk)
        data += junk + seal(content, position + start, Packer())
        expected.append((start, len(data)))
    data += tail

    assert set(expected) <= set(find_sections(data, position))
    for start, end in expected:
        assert end - start in section_ends(data[start:], position + start)


def test_a_section_in_another_place_is_not_one() -> None:
    section = seal(random.Random(1).randbytes(200), 1000)

    assert find_sections(section, 1000) == [(0, len(section))]
    assert find_sections(section, 1001) == []
    assert list(section_ends(section, 1001)) == []


def test_a_window_full_of_sections_gives_those_and_few_by_chance() -> None:
    rng = random.Random(3)
    data = b""
    expected = set()
    while len(data) < FIND_BYTES_MAX - 5000:
        start = len(data)
        data += seal(rng.randbytes(rng.randint(0, 4000)), start)
        expected.add((start, len(data)))

    found = set(find_sections(data, 0))

    assert expected <= found
    assert len(found - expected) < 20
