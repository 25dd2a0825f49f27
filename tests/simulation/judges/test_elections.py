from raftgroups import Configuration
from tests.simulation.judges.court import Court, breaks

ELECTIONS = "one leader per term"


def lead(court: Court, name: str, term: int, voted: str) -> None:
    """Some vote, and the leader leads."""
    for voter in voted:
        court[voter].set_term(term, name)
        court[voter].sync()
        court.see(voter)
    court[name].group.consensus.is_leader = True


def test_two_replicas_never_lead_in_one_term() -> None:
    court = Court()
    court.elect("a", term=1)

    court["c"].group.consensus.is_leader = True
    with breaks(ELECTIONS, "a and c both lead"):
        court.see()


def test_a_minority_elects_nobody() -> None:
    court = Court()
    lead(court, "a", term=1, voted="a")

    with breaks(ELECTIONS, "with the votes of ['a'] on disk"):
        court.see()


def test_a_vote_that_is_not_on_disk_elects_nobody() -> None:
    court = Court()
    court["b"].set_term(1, "a")
    court.see()
    lead(court, "a", term=1, voted="a")

    with breaks(ELECTIONS, "with the votes of ['a'] on disk"):
        court.see()


def test_a_vote_for_another_elects_nobody() -> None:
    court = Court()
    lead(court, "b", term=1, voted="bc")
    court["b"].group.consensus.is_leader = False
    lead(court, "a", term=1, voted="a")

    with breaks(ELECTIONS):
        court.see("a")


def test_a_vote_of_a_node_that_does_not_vote_elects_nobody() -> None:
    court = Court(founding=Configuration(("a", "b"), learners=("c",)))
    lead(court, "a", term=1, voted="ac")

    with breaks(ELECTIONS, "of ['a', 'b']"):
        court.see()


def test_a_vote_is_given_once_even_if_it_was_forgotten_between() -> None:
    """Terms excuses what it takes for lost; the vote that somebody may have counted is remembered."""
    court = Court()
    court["c"].set_term(1, "a")
    court["c"].sync()
    court.see()
    court["c"].set_term(2, None)
    court.see()
    court.facts.replicas.clear()

    court["c"].set_term(1, "b")
    court["c"].sync()
    with breaks(ELECTIONS, "gave two votes in term 1: to a and to b"):
        court.see()


def test_who_has_not_voted_yet_may_vote() -> None:
    court = Court()
    for vote in (None, "a"):
        for node in court.nodes.values():
            node.set_term(1, vote)
            node.sync()
        court.see()

    court["a"].group.consensus.is_leader = True
    court.see()


def test_who_votes_and_goes_on_to_another_term_in_one_step_has_voted() -> None:
    """Both are on disk together, and the answer to the first leaves after that."""
    court = Court()
    lead(court, "a", term=1, voted="a")
    court["b"].set_term(1, "a")
    court["b"].set_term(2, "b")
    court["b"].sync()
    court.see("b")

    court.see()


def test_a_vote_of_a_step_in_between_counts_when_it_is_on_disk() -> None:
    court = Court()
    lead(court, "a", term=1, voted="a")
    court["b"].set_term(1, "a")
    court["b"].set_term(2, "b")
    court.see("b")

    with breaks(ELECTIONS, "with the votes of ['a'] on disk"):
        court.see("a")


def test_two_votes_of_one_step_are_two_votes() -> None:
    court = Court()
    court["c"].set_term(1, "a")
    court["c"].set_term(1, "b")
    court["c"].set_term(2, None)
    court["c"].sync()

    with breaks(ELECTIONS, "gave two votes in term 1: to a and to b"):
        court.see()


def test_a_leader_of_one_term_does_not_lead_in_the_next() -> None:
    court = Court()
    court.elect("a", term=1)

    court["a"].set_term(2, "a")
    court["a"].sync()
    with breaks(ELECTIONS, "leads in term 2 with the votes of ['a'] on disk"):
        court.see()


def test_who_votes_alone_elects_itself_before_its_vote_is_on_disk() -> None:
    court = Court("a", founding=Configuration(("a",)))
    court["a"].set_term(1, "a")

    court["a"].group.consensus.is_leader = True
    court.see()


def test_who_votes_alone_elects_no_other() -> None:
    court = Court(founding=Configuration(("b",)))
    court["a"].set_term(1, "a")

    court["a"].group.consensus.is_leader = True
    with breaks(ELECTIONS, "with the votes of [] on disk"):
        court.see()
