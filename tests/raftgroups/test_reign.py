import pytest

from raftgroups.ids import LogIndex, Term
from raftgroups.membership import Configuration
from raftgroups.reign import CAUGHT_UP_ENTRIES, Reign


def reign(voters: str = "abc", learners: str = "", last_index: int = 10) -> Reign[str]:
    """The reign of a, in term 3, which begins at 100 s."""
    configuration = Configuration(tuple(voters), tuple(learners))
    return Reign("a", Term(3), configuration, LogIndex(last_index), now=100.0, lease_seconds=0.0)


def acknowledge(led: Reign[str], **matches: int) -> None:
    for member, match in matches.items():
        progress = led.progress[member]
        progress.accepted(progress.sent(LogIndex(match), 100.0), LogIndex(match))


@pytest.mark.parametrize(
    ("voters", "learners", "without_room", "can"),
    [
        ("abc", "", "", True),
        ("abc", "", "c", False),
        ("abc", "d", "d", True),
        ("abcde", "", "e", True),
        ("abcde", "", "de", False),
        ("ab", "", "", False),
    ],
)
def test_the_others_can_elect_one_of_them_where_a_majority_has_room(
    voters: str, learners: str, without_room: str, can: bool
) -> None:
    led = reign(voters, learners)
    for member in without_room:
        led.told_of_room(member, False)

    assert led.can_do_without_leader() == can
    for member in without_room:
        led.told_of_room(member, True)
    assert led.can_do_without_leader() == (voters != "ab")


@pytest.mark.parametrize(
    ("voters", "durable", "matches", "committed"),
    [
        ("abc", 12, {"b": 12}, 12),
        ("abc", 12, {"b": 10, "c": 9}, 0),
        ("abc", 9, {"b": 12, "c": 11}, 11),
        ("abcde", 13, {"b": 12}, 0),
        ("abcde", 13, {"b": 12, "c": 11}, 11),
        ("a", 12, {}, 12),
    ],
)
def test_what_a_majority_has_on_disk_is_committed(
    voters: str, durable: int, matches: dict[str, int], committed: int
) -> None:
    """The leader counts what it has on disk, like anybody (thesis, 3.6.2, 10.2.1)."""
    led = reign(voters)
    acknowledge(led, **matches)

    assert led.committed(LogIndex(durable), LogIndex(0), lambda index: Term(3 if index > 10 else 2)) == committed


def test_what_older_leaders_left_is_never_committed_alone() -> None:
    """Thesis, 3.6.2 and figure 3.7."""
    led = reign(last_index=12)
    acknowledge(led, b=12, c=12)

    assert led.committed(LogIndex(12), LogIndex(0), lambda index: Term(2)) == 0
    acknowledge(led, b=13)
    assert led.committed(LogIndex(13), LogIndex(0), lambda index: Term(3)) == 13


def test_a_new_voter_takes_nothing_back() -> None:
    """Its empty log counts from now on, but not for what is committed; that may be gone from the log in memory."""
    led = reign("ab")
    acknowledge(led, b=12)
    led.reconfigure(Configuration(("a", "b", "c", "d")), LogIndex(12), 101.0)

    def term_at(index: LogIndex) -> Term:
        raise AssertionError(f"the term at {index} is asked for")

    assert led.committed(LogIndex(12), LogIndex(12), term_at) == 12


def test_learners_count_in_nothing() -> None:
    led = reign("ab", learners="cd")
    acknowledge(led, c=12, d=12)

    assert led.committed(LogIndex(12), LogIndex(0), lambda index: Term(3)) == 0
    for learner in "cd":
        led.heard(learner, 200.0)
    assert led.followed_at(200.0) == 100.0
    assert led.successors() == ["b"]


def test_a_leader_that_is_no_voter_does_not_count_itself() -> None:
    """Thesis, 4.2.2."""
    led = reign()
    led.reconfigure(Configuration(("b", "c")), LogIndex(11), 101.0)
    acknowledge(led, b=11)

    assert led.committed(LogIndex(11), LogIndex(0), lambda index: Term(3)) == 0
    acknowledge(led, c=11)
    assert led.committed(LogIndex(11), LogIndex(0), lambda index: Term(3)) == 11
    assert led.followed_at(300.0) == 100.0


@pytest.mark.parametrize(("heard", "followed"), [({}, 100.0), ({"b": 105.0}, 105.0), ({"b": 105.0, "c": 107.0}, 107.0)])
def test_it_knows_when_a_majority_followed(heard: dict[str, float], followed: float) -> None:
    """Thesis, 6.2 (CheckQuorum)."""
    led = reign()
    for member, now in heard.items():
        led.heard(member, now)

    assert led.followed_at(110.0) == followed


def test_a_change_of_members_keeps_what_is_known_of_those_who_stay() -> None:
    led = reign("abc", "d")
    acknowledge(led, b=12, d=12)
    led.heard("b", 105.0)
    led.reconfigure(Configuration(("a", "b", "d"), ("e",)), LogIndex(12), 106.0)

    assert set(led.progress) == {"b", "d", "e"}
    assert (led.progress["b"].match, led.progress["d"].match, led.progress["e"].match) == (12, 12, 0)
    assert led.heard_since(104.0) == {"a", "b", "e"}


def test_a_successor_that_is_removed_is_none() -> None:
    led = reign()
    led.successor = ("c", 101.0)
    led.reconfigure(Configuration(("a", "b")), LogIndex(11), 100.5)

    assert led.successor is None


def test_a_member_has_caught_up_when_it_lacks_a_few_entries() -> None:
    """Thesis, 4.2.1."""
    led = reign(learners="de", last_index=100)
    acknowledge(led, d=100 - CAUGHT_UP_ENTRIES - 1)
    assert led.caught_up(LogIndex(100)) == frozenset()

    acknowledge(led, d=100 - CAUGHT_UP_ENTRIES)
    assert led.caught_up(LogIndex(100)) == {"d"}


@pytest.mark.parametrize(
    ("voters", "follower", "sole"), [("abc", "b", True), ("abcd", "b", False), ("ab", "x", False), ("bc", "b", False)]
)
def test_leader_and_one_follower_are_a_majority_of_up_to_three(voters: str, follower: str, sole: bool) -> None:
    assert reign(voters).may_be_sole(follower) is sole


def test_who_has_most_of_the_log_succeeds_first() -> None:
    led = reign("abcd")
    acknowledge(led, b=11, c=12)

    assert led.successors() == ["c", "b", "d"]
    assert reign("a").successors() == []
