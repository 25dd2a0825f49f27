"""Rules: what a request may hold through whichever door it comes, said once for gateway, client and command line.

What depends on how a cluster is set, such as how long a key may be, is in its Limits; pairs.py is about that.
"""

import math
from typing import Literal, get_args

LevelName = Literal["linearizable", "lease", "session", "bounded", "stale"]

LEVEL_NAMES: tuple[LevelName, ...] = get_args(LevelName)  # from the strongest to the weakest
STALENESS_MS = 10_000  # of consistency=bounded that does not say
STALENESS_MS_MAX = 86_400_000

TTL_SECONDS_MIN, TTL_SECONDS_MAX = 0.001, 100 * 365 * 86_400
IDEMPOTENCY_KEY_BYTES_MAX = 255
INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 63) - 1
EXPECTED_MAX = 64  # revisions of which a key may be at one

_DIGITS_MAX = 20
_FLOAT_DIGITS = 6  # of milliseconds: 0.1 + 0.2 is meant as 0.3


def ttl_ms_of(seconds: float) -> int:
    """A lifetime in whole milliseconds, rounded up: nothing is gone before its time.

    Raises: ValueError, whose text goes on after the name of what was given.
    """
    if not TTL_SECONDS_MIN <= seconds <= TTL_SECONDS_MAX:  # as NaN is not
        raise ValueError(f"must be seconds from {TTL_SECONDS_MIN} to {TTL_SECONDS_MAX}")
    return math.ceil(round(seconds * 1_000, _FLOAT_DIGITS))


def left_ms(expires_ms: int, clock_ms: int) -> int:
    """How long a key stays that was there: what is over by now is about to be gone."""
    return max(1, expires_ms - clock_ms)


def left_seconds(expires_ms: int, clock_ms: int) -> int:
    """The same in whole seconds, rounded up as a lifetime is."""
    return math.ceil(left_ms(expires_ms, clock_ms) / 1_000)


def takes_session(level: str) -> bool:
    """Whether a session's token means anything to a read at this level."""
    return level not in {"bounded", "stale"}


def whole_number(text: str | bytes, least: int, most: int) -> int | None:
    """The number that ASCII digits spell; None, if they spell none from `least` to `most`."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        return None
    number = int(text)
    return number if least <= number <= most else None
