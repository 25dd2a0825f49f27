import pytest

from raftgroups.lease import Lease

VOTERS = ("a", "b", "c")
SECONDS = 0.8


def test_a_majority_s_promises_make_a_lease_from_when_they_were_asked() -> None:
    """Thesis, 6.4.1: not from when they arrived."""
    lease = Lease("a", SECONDS)
    lease.sent(1, now=10.0)
    assert not lease.is_valid(VOTERS, 10.0)

    lease.promised("b", 1)

    assert lease.is_valid(VOTERS, 10.0 + SECONDS - 0.01)
    assert not lease.is_valid(VOTERS, 10.0 + SECONDS)


def test_later_promises_prolong_it() -> None:
    lease = Lease("a", SECONDS)
    for number, now in ((1, 10.0), (2, 10.5)):
        lease.sent(number, now)
        lease.promised("c", number)

    assert lease.is_valid(VOTERS, 11.2)


def test_a_round_sent_again_counts_from_its_first_heartbeat() -> None:
    lease = Lease("a", SECONDS)
    lease.sent(1, now=10.0)
    lease.sent(1, now=10.5)
    lease.promised("b", 1)

    assert not lease.is_valid(VOTERS, 10.0 + SECONDS)


def test_a_promise_to_an_unknown_round_is_none() -> None:
    lease = Lease("a", SECONDS)
    lease.promised("b", 7)

    assert not lease.is_valid(VOTERS, 0.0)


def test_an_older_promise_takes_nothing_back() -> None:
    lease = Lease("a", SECONDS)
    lease.sent(1, now=10.0)
    lease.sent(2, now=10.5)
    lease.promised("b", 2)
    lease.promised("b", 1)

    assert lease.is_valid(VOTERS, 11.0)


@pytest.mark.parametrize(
    ("voters", "promised", "valid"),
    [
        ("a", "", True),
        ("ab", "", False),
        ("abcde", "b", False),
        ("abcde", "bc", True),
        ("bc", "b", False),
        ("bc", "bc", True),
    ],
)
def test_a_majority_of_the_voters_in_force_must_have_promised(voters: str, promised: str, valid: bool) -> None:
    """A leader that is no voter does not count itself."""
    lease = Lease("a", SECONDS)
    lease.sent(1, now=10.0)
    for voter in promised:
        lease.promised(voter, 1)

    assert lease.is_valid(tuple(voters), 10.1) is valid


def test_a_forfeited_lease_never_comes_back() -> None:
    lease = Lease("a", SECONDS)
    lease.sent(1, now=10.0)
    lease.promised("b", 1)
    lease.forfeit()
    lease.sent(2, now=10.1)
    lease.promised("b", 2)

    assert not lease.is_valid(VOTERS, 10.2)


def test_without_the_setting_there_is_never_a_lease() -> None:
    lease = Lease("a", 0.0)
    lease.sent(1, now=10.0)
    lease.promised("b", 1)
    lease.promised("c", 1)

    assert not lease.is_wanted
    assert not lease.is_valid(VOTERS, 10.0)
