"""The bounds of a scan: what start, end and prefix leave together, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import InvalidKeyError, InvalidLimitError
from engine.bounds import after_prefix, check_limit, intersect
from tests.strategies import keys

_bounds = st.one_of(st.just(b""), keys, st.binary(max_size=3))


@given(keys, _bounds, st.one_of(st.none(), _bounds), _bounds)
def test_a_key_is_within_if_all_three_let_it(key: bytes, start: bytes, end: bytes | None, prefix: bytes) -> None:
    low, high = intersect(start, end, prefix)

    is_asked_for = start <= key and (end is None or key < end) and key.startswith(prefix)
    assert (low <= key and (high is None or key < high)) == is_asked_for


@pytest.mark.parametrize(
    ("prefix", "above"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"a\xfe\xff\xff", b"a\xff"), (b"\xff", None), (b"\xff\xff", None), (b"", None)],
)
def test_what_follows_a_prefix(prefix: bytes, above: bytes | None) -> None:
    assert after_prefix(prefix) == above


@pytest.mark.parametrize(
    ("start", "end", "prefix", "name"),
    [
        ("a", None, b"", "start of a scan is bytes, not str"),
        (None, None, b"", "start"),
        (b"", "b", b"", "end"),
        (b"", bytearray(b"b"), b"", "end of a scan is bytes, not bytearray"),
        (b"", None, None, "prefix"),
        (b"", None, 7, "prefix of a scan is bytes, not int"),
    ],
)
def test_bounds_are_bytes(start: Any, end: Any, prefix: Any, name: str) -> None:
    with pytest.raises(InvalidKeyError, match=name):
        intersect(start, end, prefix)


@pytest.mark.parametrize("limit", [-1, 1.0, "1", True])
def test_a_limit_is_a_count(limit: Any) -> None:
    with pytest.raises(InvalidLimitError):
        check_limit(limit)


@pytest.mark.parametrize("limit", [None, 0, 1, 1 << 70])
def test_a_limit_may_be_missing(limit: int | None) -> None:
    check_limit(limit)
