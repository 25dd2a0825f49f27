import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftgroups.ids import LogIndex
from raftgroups.membership import NOBODY, Configuration, Configurations, is_single_step, next_step

names = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=5, unique=True).map(tuple)


def steps(now: Configuration, leader: str, caught_up: str = "abcdefg", heard: str = "abcdefg") -> list[Configuration]:
    """Every step to the target, as long as there is one."""
    taken: list[Configuration] = []
    while (step := next_step(now, leader, caught_up, heard)) is not None:
        taken.append(step)
        now = step
        assert len(taken) < 50, "it never ends"
    return taken


@given(names, names)
def test_steps_lead_to_the_target_one_voter_at_a_time(voters: tuple[str, ...], target: tuple[str, ...]) -> None:
    """Thesis, 4.1: neighbours differ by one voter, so their majorities meet."""
    before = Configuration(voters, (), target)
    taken = steps(before, voters[0])

    assert (taken[-1] if taken else before).voters == target
    for step in taken:
        assert is_single_step(before, step)
        meet = [
            set(one) & set(other)
            for one in combinations(before.voters, len(before.voters) // 2 + 1)
            for other in combinations(step.voters, len(step.voters) // 2 + 1)
        ]
        assert all(meet), f"{before} and {step} have majorities that do not meet"
        assert len(step.learners) <= 1
        before = step


def test_a_node_learns_before_it_votes() -> None:
    """Thesis, 4.2.1."""
    added = next_step(Configuration(("a", "b"), (), ("a", "b", "c")), "a", "", "ab")
    assert added == Configuration(("a", "b"), ("c",), ("a", "b", "c"))

    assert next_step(added, "a", "", "abc") is None
    promoted = next_step(added, "a", "c", "abc")
    assert promoted == Configuration(("a", "b", "c"), (), ("a", "b", "c"))


def test_a_replacement_joins_before_the_replaced_leaves_and_the_leader_goes_last() -> None:
    """Thesis, 4.2.2, for the leader."""
    taken = steps(Configuration(("a", "b", "c"), (), ("c", "d", "e")), "a")

    assert [(step.voters, step.learners) for step in taken] == [
        (("a", "b", "c"), ("d",)),
        (("c", "d", "a", "b"), ()),
        (("c", "d", "a", "b"), ("e",)),
        (("c", "d", "e", "a", "b"), ()),
        (("c", "d", "e", "a"), ()),
        (("c", "d", "e"), ()),
    ]


@pytest.mark.parametrize(
    ("now", "heard", "step"),
    [
        (Configuration(("a", "b", "c"), (), ("a", "b")), "ab", Configuration(("a", "b"), (), ("a", "b"))),
        (Configuration(("a", "b", "c"), (), ("a", "b")), "ac", None),
        (Configuration(("a", "b"), ("c",), ("a", "b", "c")), "ac", Configuration(("a", "b", "c"), (), ("a", "b", "c"))),
        (Configuration(("a", "b", "c"), ("d",), ("a", "b", "c", "d")), "ad", None),
    ],
)
def test_no_step_leaves_a_group_without_a_majority_that_answers(
    now: Configuration, heard: str, step: Configuration | None
) -> None:
    assert next_step(now, "a", "abcd", heard) == step


def test_a_learner_that_is_not_wished_any_more_goes() -> None:
    step = next_step(Configuration(("a", "b"), ("c",), ("a", "b")), "a", "", "ab")

    assert step == Configuration(("a", "b"), (), ("a", "b"))


def test_the_wished_order_comes_last() -> None:
    """Leadership belongs with the first of the target."""
    assert steps(Configuration(("a", "b"), (), ("b", "a")), "a") == [Configuration(("b", "a"), (), ("b", "a"))]


@pytest.mark.parametrize("now", [NOBODY, Configuration(("a",)), Configuration(("a", "b"), (), ("a", "b"))])
def test_a_settled_configuration_stays(now: Configuration) -> None:
    assert now.is_settled
    assert next_step(now, "a", "ab", "ab") is None


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("abc", "abcd", True),
        ("abc", "ab", True),
        ("abc", "cba", True),
        ("abc", "abd", False),
        ("abc", "abcde", False),
        ("a", "", False),
    ],
)
def test_one_voter_comes_or_goes_at_a_time(before: str, after: str, allowed: bool) -> None:
    assert is_single_step(Configuration(tuple(before)), Configuration(tuple(after))) is allowed


# The history in a log.


def grown() -> Configurations:
    history = Configurations(LogIndex(0), Configuration(("a", "b", "c")))
    history.appended(LogIndex(5), Configuration(("a", "b", "c", "d")))
    history.appended(LogIndex(9), Configuration(("b", "c", "d")))
    return history


def test_the_newest_is_in_force_committed_or_not() -> None:
    """Thesis, 4.1."""
    history = grown()

    assert (history.index, history.current.voters) == (9, ("b", "c", "d"))
    assert history.committed[0] == 0
    assert history.is_pending(LogIndex(8))
    assert not history.is_pending(LogIndex(9))


def test_a_truncated_one_is_forgotten() -> None:
    history = grown()

    assert history.truncated(LogIndex(9))
    assert "".join(history.current.voters) == "abcd"
    assert not history.truncated(LogIndex(6))
    assert history.truncated(LogIndex(2))
    assert "".join(history.current.voters) == "abc"


def test_a_committed_one_is_never_truncated() -> None:
    history = grown()
    assert history.commit(LogIndex(7))
    assert not history.commit(LogIndex(8))

    with pytest.raises(AssertionError, match="never cut off"):
        history.truncated(LogIndex(5))


def test_a_node_is_a_member_until_its_removal_is_committed() -> None:
    history = grown()

    assert history.names("a")
    assert history.may_lead("a")
    assert history.may_lead("d")
    history.commit(LogIndex(9))
    assert not history.names("a")
    assert not history.may_lead("a")


def test_a_learner_is_a_member_that_may_not_lead() -> None:
    history = Configurations(LogIndex(3), Configuration(("a",), ("b",)))

    assert history.names("b")
    assert not history.may_lead("b")


@pytest.mark.parametrize(("keeps_log", "index"), [(True, 9), (False, 4)])
def test_a_snapshot_brings_the_one_of_its_index(keeps_log: bool, index: int) -> None:
    """Those after it stay only as far as the log does."""
    history = grown()

    history.restored(LogIndex(4), Configuration(("x",)), LogIndex(7), keeps_log=keeps_log)

    assert history.committed == (4, Configuration(("x",)))
    assert history.index == index


@given(st.integers(0, 2**32))
def test_a_history_is_what_a_list_of_entries_says(seed: int) -> None:
    """Against the plainest model: the configurations of the entries that are there."""
    rng = random.Random(seed)
    history = Configurations(LogIndex(0), NOBODY)
    entries: dict[int, Configuration] = {0: NOBODY}
    last = commit = 0
    for _ in range(40):
        action = rng.random()
        if action < 0.5:
            last += rng.randint(1, 3)
            entries[last] = Configuration((str(last),))
            history.appended(LogIndex(last), entries[last])
        elif action < 0.75 and last > commit:
            last = rng.randint(commit, last)
            entries = {index: configuration for index, configuration in entries.items() if index <= last}
            history.truncated(LogIndex(last + 1))
        else:
            commit = rng.randint(commit, last)
            history.commit(LogIndex(commit))
        assert (history.index, history.current) == max(entries.items(), key=lambda item: item[0])
        assert history.committed[0] == max(index for index in entries if index <= commit)
