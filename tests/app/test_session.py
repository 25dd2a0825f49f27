import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.session import decode_session, encode_session, extend_session

all_marks = st.dictionaries(st.integers(0, 1_023), st.integers(0, 2**60), min_size=1, max_size=20)


@given(all_marks)
def test_a_token_survives_its_encoding(marks: dict[int, int]) -> None:
    assert decode_session(encode_session(marks)) == marks


@given(all_marks, st.integers(0, 1_023), st.integers(0, 2**60))
def test_a_session_never_forgets(marks: dict[int, int], partition: int, revision: int) -> None:
    extended = decode_session(extend_session(marks, partition, revision))

    assert extended is not None
    assert extended == {**marks, partition: max(revision, marks.get(partition, 0))}


@pytest.mark.parametrize(
    "token",
    [b"", b"1-b", b"2-b-ff", b"1-b-ff ", b"1-B-ff", b"1-b-" + b"f" * 17, b"1-b-ff.", b"1-.b-ff", b"1-b-ff.c", b"\xff"],
)
def test_anything_else_is_no_token(token: bytes) -> None:
    assert decode_session(token) is None


def test_a_long_token_that_ends_badly_takes_no_time() -> None:
    assert decode_session(b"1-" + b"1-1." * 10_000 + b"x") is None
    assert decode_session(encode_session(dict.fromkeys(range(1_025), 1))) is None
