import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftgroups.ids import LogIndex, Term
from raftgroups.messages import VoteRequest
from raftgroups.votes import Ballot, Tally, Voter, decide

GRANT = Ballot(granted=True, adopt=False)
REFUSE = Ballot(granted=False, adopt=False)


def voter(term: int = 3, vote: str | None = None, log: tuple[int, int] = (2, 7), *, has_leader: bool = False) -> Voter:
    return Voter(Term(term), vote, Term(log[0]), LogIndex(log[1]), has_leader)


def request(
    term: int = 3, log: tuple[int, int] = (2, 7), *, probe: bool = False, transfer: bool = False
) -> VoteRequest:
    return VoteRequest(0, term, log[1], log[0], probe, transfer)


def test_one_vote_a_term() -> None:
    """Thesis, 3.4: first come, first served."""
    assert decide(voter(), "b", request()) == GRANT
    assert decide(voter(vote="b"), "c", request()) == REFUSE


def test_a_candidate_that_asks_again_gets_the_same_answer() -> None:
    assert decide(voter(vote="b"), "b", request()) == GRANT


def test_a_higher_term_frees_the_vote() -> None:
    assert decide(voter(vote="b"), "c", request(term=4)) == Ballot(granted=True, adopt=True)


def test_an_older_term_gets_nothing() -> None:
    """Thesis, 3.3."""
    assert decide(voter(), "b", request(term=2)) == REFUSE
    assert decide(voter(), "b", request(term=2, transfer=True)) == REFUSE


@pytest.mark.parametrize(
    ("log", "granted"),
    [((2, 7), True), ((2, 8), True), ((3, 1), True), ((2, 6), False), ((1, 99), False)],
)
def test_a_vote_needs_a_log_that_is_as_new(log: tuple[int, int], granted: bool) -> None:
    """The last term decides, then the length (thesis, section 3.6.1)."""
    assert decide(voter(), "b", request(log=log)).granted is granted


def test_a_refusal_for_an_old_log_adopts_the_term_all_the_same() -> None:
    assert decide(voter(vote="b"), "c", request(term=4, log=(1, 1))) == Ballot(granted=False, adopt=True)


def test_a_voter_that_hears_a_leader_neither_votes_nor_adopts() -> None:
    """A node that was cut off returns with a high term; the leader stays (thesis, section 4.2.3)."""
    assert decide(voter(has_leader=True), "b", request(term=9, log=(9, 99))) == REFUSE
    assert decide(voter(has_leader=True), "b", request(term=9, log=(9, 99), probe=True)) == REFUSE


def test_an_election_that_the_leader_asked_for_is_let_through() -> None:
    """Thesis, 4.2.3, at its end, and 3.10."""
    asked = request(term=4, transfer=True)

    assert decide(voter(has_leader=True), "b", asked) == Ballot(granted=True, adopt=True)


def test_a_probe_changes_nothing() -> None:
    """Thesis, 9.6."""
    assert decide(voter(vote="b"), "c", request(term=4, probe=True)) == GRANT


def test_a_probe_is_refused_where_the_election_would_be() -> None:
    assert decide(voter(), "b", request(term=3, probe=True)) == REFUSE
    assert decide(voter(), "b", request(term=4, log=(1, 9), probe=True)) == REFUSE


terms = st.integers(1, 4)
logs = st.tuples(terms, st.integers(0, 4))
voters = st.builds(
    lambda term, vote, log, leader: voter(term, vote, log, has_leader=leader),
    terms,
    st.sampled_from([None, "b", "c"]),
    logs,
    st.booleans(),
)
requests = st.builds(
    lambda term, log, probe, transfer: request(term, log, probe=probe, transfer=transfer),
    terms,
    logs,
    st.booleans(),
    st.booleans(),
)


@given(voters, requests)
def test_no_ballot_breaks_a_rule(asked: Voter, question: VoteRequest) -> None:
    ballot = decide(asked, "b", question)

    if ballot.granted:
        assert (question.last_term, question.last_index) >= (asked.last_term, asked.last_index)
        assert question.term >= asked.term
    if ballot.granted and not question.probe:
        assert ballot.adopt or asked.vote != "c"
    if ballot.adopt:
        assert question.term > asked.term
        assert not question.probe


@pytest.mark.parametrize(
    ("voters", "grants", "won"),
    [
        ("a", "a", True),
        ("ab", "a", False),
        ("ab", "ab", True),
        ("abc", "a", False),
        ("abc", "ac", True),
        ("abcd", "ab", False),
        ("abcde", "abc", True),
        ("abc", "aaa", False),
        ("abc", "axyz", False),
    ],
)
def test_a_majority_of_voters_wins(voters: str, grants: str, won: bool) -> None:
    """Each counts once, and who is no voter not at all."""
    tally = Tally(VoteRequest(0, 3, 0, 0, probe=False, transfer=False), voters, begun=0.0)
    for name in grants:
        tally.grant(name)

    assert tally.is_won is won
