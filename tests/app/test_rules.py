"""Rules that hold at every door, and that the layers and the client agree on."""

import math

import pytest

import raftgroups
from app import rules
from app.rules import left_ms, left_seconds, ttl_ms_of, whole_number
from raftgroups import Level


@pytest.mark.parametrize(
    ("seconds", "ttl_ms"),
    [
        (0.001, 1),
        (0.0011, 2),
        (1, 1_000),
        (1.0004, 1_001),
        (1.1, 1_100),
        (2.3, 2_300),
        (0.1 + 0.2, 300),
        (1.001, 1_001),
        (1e-3 + 1e-15, 1),
        (60.000001, 60_001),
        (3_153_600_000, 3_153_600_000_000),
    ],
)
def test_a_lifetime_is_rounded_up_to_milliseconds(seconds: float, ttl_ms: int) -> None:
    """And what a float has by accident is no part of it."""
    assert ttl_ms_of(seconds) == ttl_ms


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 0.00099999, -1.0, 3_153_600_000.001, 1e12, math.inf, math.nan])
def test_any_other_lifetime_is_none(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"^must be seconds from 0\.001 to 3153600000$"):
        ttl_ms_of(seconds)


def test_what_is_there_has_some_time_left() -> None:
    assert [left_ms(expires_ms, 1_000) for expires_ms in (900, 1_000, 1_001, 3_500)] == [1, 1, 1, 2_500]
    assert [left_seconds(expires_ms, 1_000) for expires_ms in (900, 1_001, 2_000, 2_001)] == [1, 1, 1, 2]


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", " 1", "1_0", "0x1", "\u0661", "101", "1" * 5_000])
def test_a_whole_number_is_spelled_in_digits(text: str) -> None:
    assert whole_number(text, 0, 100) is None
    assert whole_number(text.encode(), 0, 100) is None


def test_a_whole_number_is_within_its_bounds() -> None:
    assert [whole_number(text, 1, 9) for text in ("0", "1", "09", "9", "10")] == [None, 1, 9, 9, None]


def test_the_layers_agree() -> None:
    """These rules import no layer, so that a client needs none; what they say of one is true."""
    assert tuple(Level) == rules.LEVEL_NAMES
    assert (rules.INTEGER_MIN, rules.INTEGER_MAX) == (raftgroups.INTEGER_MIN, raftgroups.INTEGER_MAX)
    assert rules.EXPECTED_MAX == raftgroups.EXPECTED_MAX
    assert rules.TTL_SECONDS_MAX * 1_000 <= raftgroups.TTL_MS_MAX
    assert rules.IDEMPOTENCY_KEY_BYTES_MAX < raftgroups.TOKEN_BYTES_MAX
