from tests.simulation.judges.court import Court, breaks

TERMS = "term and vote are kept"


def test_a_term_never_goes_back() -> None:
    court = Court()
    court["a"].set_term(5, None)
    court.see()

    court["a"].set_term(4, None)
    with breaks(TERMS, "went from term 5 back to 4"):
        court.see()


def test_a_vote_is_not_given_to_another() -> None:
    court = Court()
    court["a"].set_term(5, "a")
    court.see()

    court["a"].set_term(5, "b")
    with breaks(TERMS, "gave its vote of term 5 to a and now to b"):
        court.see()


def test_a_vote_on_disk_is_not_forgotten_by_a_restart() -> None:
    court = Court()
    court["a"].set_term(5, "b")
    court["a"].sync()
    court.see()

    court["a"].restart()
    court["a"].set_term(5, None)
    with breaks(TERMS, "now to nobody"):
        court.see()


def test_a_term_that_was_not_on_disk_may_be_forgotten() -> None:
    court = Court()
    court["a"].set_term(5, "b")
    court.see()

    court["a"].restart()
    court["a"].set_term(4, None)
    court.see()


def test_a_term_on_disk_is_kept_when_a_later_one_is_lost() -> None:
    """What may be forgotten is the newest term alone, not all of them."""
    court = Court()
    court["a"].set_term(5, "b")
    court["a"].sync()
    court.see()
    court["a"].set_term(6, "c")
    court.see()

    court["a"].restart()
    court["a"].set_term(3, None)
    with breaks(TERMS, "went from term 5 back to 3"):
        court.see()


def test_a_vote_on_disk_is_kept_when_a_later_term_is_lost() -> None:
    court = Court()
    court["a"].set_term(5, "b")
    court["a"].sync()
    court.see()
    court["a"].set_term(6, None)
    court.see()

    court["a"].restart()
    court["a"].set_term(5, "c")
    with breaks(TERMS, "gave its vote of term 5 to b and now to c"):
        court.see()
