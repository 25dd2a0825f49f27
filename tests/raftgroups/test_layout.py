from hypothesis import given
from hypothesis import strategies as st

from raftgroups.layout import Layout


@given(st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_every_byte_has_its_place(sizes: list[int]) -> None:
    layout = Layout([(f"{number}", size) for number, size in enumerate(sizes)])
    expected = [(f"{number}", at, size - at) for number, size in enumerate(sizes) for at in range(size)]

    places = [layout.locate(offset) for offset in range(layout.size)]

    assert [(place.name, place.at, place.left) for place in places] == expected
