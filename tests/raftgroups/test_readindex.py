from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftgroups.ids import LogIndex
from raftgroups.readindex import Probe, ReadIndex, Serve


def reads_of(voters: str) -> ReadIndex[str]:
    return ReadIndex(voters, voters[0])


def test_a_late_read_waits_for_the_next_round() -> None:
    """A read arriving while a round is in flight is not served by it (Ongaro 6.4)."""
    reads = reads_of("abc")

    reads.arrived("early")
    assert reads.launch(LogIndex(7)) == [Probe(1)]
    reads.arrived("late")
    assert reads.echoed("b", 1) == [Serve(("early",), LogIndex(7))]
    assert reads.launch(LogIndex(9)) == [Probe(2)]
    assert reads.echoed("c", 1) == []
    assert reads.echoed("c", 2) == [Serve(("late",), LogIndex(9))]


def test_reads_of_one_turn_share_a_round() -> None:
    reads = reads_of("abc")
    for read in ("x", "y", "z"):
        reads.arrived(read)

    assert reads.launch(LogIndex(7)) == [Probe(1)]
    assert reads.echoed("b", 1) == [Serve(("x", "y", "z"), LogIndex(7))]


def test_a_read_waits_until_a_round_is_launched() -> None:
    reads = reads_of("abc")
    waited = [reads.has_waiting]
    reads.arrived("x")
    waited.append(reads.has_waiting)
    reads.launch(LogIndex(7))
    waited.append(reads.has_waiting)

    assert waited == [False, True, False]


def test_nothing_is_probed_when_nothing_waits() -> None:
    reads = reads_of("abc")

    assert reads.launch(LogIndex(7)) == []
    assert reads.round == 0


def test_a_leader_alone_serves_at_once() -> None:
    reads = reads_of("a")
    reads.arrived("x")

    assert reads.launch(LogIndex(7)) == [Serve(("x",), LogIndex(7))]


@pytest.mark.parametrize(("voters", "needed"), [("ab", 1), ("abc", 1), ("abcd", 2), ("abcde", 2)])
def test_a_majority_with_the_leader_confirms(voters: str, needed: int) -> None:
    reads = reads_of(voters)
    reads.arrived("x")
    reads.launch(LogIndex(7))

    for echo in voters[1:needed]:
        assert reads.echoed(echo, 1) == []
    assert reads.echoed(voters[needed], 1) == [Serve(("x",), LogIndex(7))]


def test_an_echo_counts_once_and_a_stranger_not_at_all() -> None:
    reads = reads_of("abcde")
    reads.arrived("x")
    reads.launch(LogIndex(7))

    assert reads.echoed("b", 1) == reads.echoed("b", 1) == []
    assert reads.echoed("stranger", 1) == []
    assert reads.echoed("c", 1) == [Serve(("x",), LogIndex(7))]


def test_an_echo_of_a_later_round_confirms_the_earlier_ones() -> None:
    reads = reads_of("abc")
    for read, index in (("x", 7), ("y", 8), ("z", 9)):
        reads.arrived(read)
        reads.launch(LogIndex(index))

    assert reads.echoed("b", 2) == [Serve(("x",), LogIndex(7)), Serve(("y",), LogIndex(8))]
    assert reads.echoed("c", 1) == []
    assert reads.echoed("c", 3) == [Serve(("z",), LogIndex(9))]


def test_what_nobody_waits_for_any_more_is_not_served() -> None:
    reads = reads_of("abc")
    reads.arrived("gone")
    reads.arrived("x")
    reads.launch(LogIndex(7))
    reads.arrived("gone")
    reads.arrived("y")

    reads.forget(lambda read: read == "gone")

    assert reads.echoed("b", 1) == [Serve(("x",), LogIndex(7))]
    assert reads.abandon() == ("y",)


def test_a_reign_that_ends_gives_back_every_read() -> None:
    reads = reads_of("abc")
    reads.arrived("served")
    reads.launch(LogIndex(7))
    reads.echoed("b", 1)
    reads.arrived("probed")
    reads.launch(LogIndex(7))
    reads.arrived("waiting")

    assert reads.abandon() == ("probed", "waiting")
    assert reads.abandon() == ()
    assert reads.echoed("b", 2) == []


@given(st.integers(1, 5), st.lists(st.integers(0, 9), max_size=60))
def test_every_read_is_served_once_by_a_majority_that_echoed_after_it_came(size: int, steps: list[int]) -> None:
    """Against a model that remembers, for each read, who has echoed a probe sent after it arrived."""
    voters = "abcde"[:size]
    reads = reads_of(voters)
    arrived: dict[str, int] = {}
    echoes = dict.fromkeys(voters, 0)
    served: list[str] = []
    number = 0
    for step in steps:
        effects: list[Probe | Serve[str]] = []
        if step < 4:
            number += 1
            arrived[f"r{number}"] = reads.round + 1
            reads.arrived(f"r{number}")
        elif step < 6:
            effects = reads.launch(LogIndex(number))
            echoes[voters[0]] = reads.round
        else:
            voter = voters[step % size]
            if voter != voters[0]:
                echoes[voter] = max(echoes[voter], min(reads.round, echoes[voter] + step - 5))
                effects = [*reads.echoed(voter, echoes[voter])]
        for effect in effects:
            if isinstance(effect, Serve):
                for read in effect.reads:
                    assert 2 * sum(echo >= arrived[read] for echo in echoes.values()) > size
                served += effect.reads
    order = [int(read[1:]) for read in served]
    assert all(earlier < later for earlier, later in pairwise(order))
    left = reads.abandon()
    assert sorted([*served, *left], key=lambda read: int(read[1:])) == list(arrived)
    for read in left:
        was_probed = arrived[read] <= reads.round
        assert not (was_probed and 2 * sum(echo >= arrived[read] for echo in echoes.values()) > size)


def test_confirmed_reads_are_held_until_what_was_due_is_told() -> None:
    reads = reads_of("a")
    one, other = Serve(("x",), LogIndex(7)), Serve(("y",), LogIndex(7))
    reads.hold(500, one)
    reads.hold(600, other)

    assert reads.has_held
    assert reads.release(lambda until_ms: until_ms <= 500) == [one]
    assert reads.release(lambda until_ms: until_ms <= 500) == []
    assert reads.release(lambda until_ms: True) == [other]
    assert not reads.has_held


def test_held_reads_are_forgotten_and_abandoned_like_others() -> None:
    reads = reads_of("a")
    reads.hold(500, Serve(("x", "y"), LogIndex(7)))

    reads.forget(lambda read: read == "x")

    assert reads.abandon() == ("y",)
    assert not reads.has_held
