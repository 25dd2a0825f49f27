from hypothesis import given
from hypothesis import strategies as st

from raftgroups.schema import EXPIRY, due_key, parse_due_key

dues = st.tuples(st.integers(0, 2**62), st.binary(max_size=9))


@given(dues, dues)
def test_what_is_due_sorts_by_time_and_then_by_name(one: tuple[int, bytes], other: tuple[int, bytes]) -> None:
    first, second = due_key(EXPIRY, *one), due_key(EXPIRY, *other)

    assert (first < second) is (one < other)
    assert parse_due_key(first) == one
