"""How large keys and pairs may be, and what is said of one that is larger."""

from app.pairs import key_problem, pair_problem
from app.settings import Limits

LIMITS = Limits(key_bytes_max=4, pair_bytes_max=6)


def test_what_fits_is_no_problem() -> None:
    assert pair_problem(b"keys", b"vv", LIMITS) is None
    assert key_problem(b"keys", 4) is None


def test_a_key_is_too_long_before_its_pair_is_too_large() -> None:
    problem = pair_problem(b"longkey", b"v", LIMITS)

    assert problem is not None and problem.kind.status == 414
    assert problem.detail == "the key has 7 bytes; at most 4 are allowed"
    assert problem.members == {"limit": 4, "size": 7}


def test_key_and_value_count_together() -> None:
    problem = pair_problem(b"keys", b"vvv", LIMITS)

    assert problem is not None and problem.kind.status == 413
    assert problem.detail == "key and value have 7 bytes; together they may have 6"
    assert problem.members == {"limit": 6, "size": 7}
