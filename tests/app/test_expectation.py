"""What must be there: header fields and members that say the same mean the same."""

import pytest

from app.expectation import expected_of, read_expectation
from app.problems import Problem
from raftgroups import Expected


def of_header(if_match: bytes) -> Expected | Problem:
    return read_expectation({b"if-match": if_match}, may_be_absent=True)


@pytest.mark.parametrize(
    ("if_match", "expected"),
    [
        (b"*", True),
        (b'"7"', (7,)),
        (b'"8", "7", "8"', (7, 8)),
        (b'"9223372036854775807"', (2**63 - 1,)),
    ],
)
def test_a_tag_is_a_revision(if_match: bytes, expected: Expected) -> None:
    assert of_header(if_match) == expected


@pytest.mark.parametrize("tag", [b"007", b"+7", b"9223372036854775808", b"x", b"", b"7.0", b"-1"])
def test_a_tag_that_was_never_given_out_matches_nothing(tag: bytes) -> None:
    """As it matches nothing in If-None-Match: tags are compared byte for byte (RFC 9110, 8.8.3.2)."""
    assert of_header(b'"%b"' % tag) == ()


def test_there_may_be_so_many() -> None:
    assert len(expected_of(range(64))) == 64
    with pytest.raises(ValueError, match="may have 64 revisions, not 65"):
        expected_of(range(65))
