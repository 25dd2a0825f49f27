"""A window gives what the file has, however it is asked."""

from hypothesis import given
from hypothesis import strategies as st

from engine import MemoryFileSystem
from engine.window import READ_BYTES, Window


def window(content: bytes) -> Window:
    disk = MemoryFileSystem()
    disk.open_append("/a").close()
    disk.replace("/a", content)
    return Window(disk.open_read("/a"))


@given(st.binary(max_size=40), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=10))
def test_it_takes_what_a_slice_would(content: bytes, places: list[tuple[int, int]]) -> None:
    opened = window(content)

    assert [opened.take(at, length) for at, length in places] == [content[at : at + length] for at, length in places]


def test_it_finds_what_begins_in_one_part_and_ends_in_the_next() -> None:
    content = bytearray(3 * READ_BYTES)
    places = [0, READ_BYTES - 2, 2 * READ_BYTES + 7, 3 * READ_BYTES - 4]
    for place in places:
        content[place : place + 4] = b"here"
    opened = window(bytes(content))

    found = []
    at = opened.find(b"here", 0)
    while at is not None:
        found.append(at)
        at = opened.find(b"here", at + 1)

    assert found == places
    assert opened.take(READ_BYTES - 2, 4) == b"here"
    assert opened.take(1, READ_BYTES * 2) == bytes(content[1 : 1 + READ_BYTES * 2])
