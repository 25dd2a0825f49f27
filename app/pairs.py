"""Pairs: how large a key, and a key with its value, may be, as a cluster is set."""

from app.problems import KEY_TOO_LONG, PAIR_TOO_LARGE, Problem
from app.settings import Limits


def key_problem(key: bytes, key_bytes_max: int) -> Problem | None:
    """Why a key is too long, if it is."""
    size = len(key)
    if size <= key_bytes_max:
        return None
    detail = f"the key has {size} bytes; at most {key_bytes_max} are allowed"
    return Problem(KEY_TOO_LONG, detail, {"limit": key_bytes_max, "size": size})


def pair_problem(key: bytes, value: bytes, limits: Limits) -> Problem | None:
    """Why a key, or a pair, cannot be stored for its size, if it cannot."""
    size = len(key) + len(value)
    if len(key) <= limits.key_bytes_max and size <= limits.pair_bytes_max:
        return None
    return key_problem(key, limits.key_bytes_max) or pair_too_large(size, limits)


def pair_too_large(size: int, limits: Limits) -> Problem:
    """The refusal of a pair, or of what came of it so far, of `size` bytes."""
    limit = limits.pair_bytes_max
    detail = f"key and value have {size} bytes; together they may have {limit}"
    return Problem(PAIR_TOO_LARGE, detail, {"limit": limit, "size": size})
