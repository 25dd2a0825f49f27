from tests.simulation.judges.court import NO_OP, P0, Court, breaks, configured

QUORUMS = "committed means on disk at a majority"


def test_an_entry_on_one_disk_of_three_is_not_committed() -> None:
    court = Court()
    court.elect("a", term=1)
    court["a"].append((1, NO_OP))
    court["a"].sync()
    court.see()

    court["a"].commit(1)
    with breaks(QUORUMS, "on disk at ['a'] of ['a', 'b', 'c']"):
        court.see()


def test_an_entry_that_was_written_but_not_synced_does_not_count() -> None:
    court = Court()
    court.elect("a", term=1)
    for name in "ab":
        court[name].append((1, NO_OP))
    court["a"].sync()
    court.see()

    court["a"].commit(1)
    with breaks(QUORUMS, "on disk at ['a']"):
        court.see()


def test_an_entry_of_another_term_does_not_count() -> None:
    court = Court()
    court.elect("a", term=2)
    court["a"].append((2, NO_OP))
    court["b"].append((1, NO_OP))
    for name in "ab":
        court[name].sync()
    court.see()

    court["a"].commit(1)
    with breaks(QUORUMS, "on disk at ['a']"):
        court.see()


def test_the_disk_of_a_node_that_is_down_counts() -> None:
    court = Court()
    court.elect("a", term=1)
    for name in "ab":
        court[name].append((1, NO_OP))
        court[name].sync()
    court.see()
    court["b"].host = None

    court["a"].commit(1)
    court.see()


def test_what_was_truncated_does_not_count_when_the_log_has_grown_again() -> None:
    court = Court()
    court.elect("a", term=2)
    court["b"].append((1, NO_OP))
    court["b"].sync()
    court.see()
    court["b"].append((2, NO_OP), after=0)
    court["a"].append((2, NO_OP))
    court["a"].sync()
    court.see()

    court["a"].commit(1)
    with breaks(QUORUMS, "on disk at ['a']"):
        court.see()


def test_a_replica_that_was_removed_does_not_count() -> None:
    court = Court()
    court.elect("a", term=1)
    court.replicate(NO_OP)
    for name in "ab":
        court[name].append((1, NO_OP))
        court[name].sync()
    court.see()
    court.facts.replica(P0, "b").retire()

    court["a"].commit(2)
    with breaks(QUORUMS, "on disk at ['a']"):
        court.see("a")


def test_a_majority_is_one_of_the_voters_there_are_now() -> None:
    """Two of three had it, but the entry makes four of them."""
    court = Court("a", "b", "c", "d")
    court.elect("a", term=1)
    court.replicate(NO_OP)
    court["a"].append((1, configured("a", "b", "c", "d")))
    court["b"].append((1, configured("a", "b", "c", "d")))
    for name in "ab":
        court[name].sync()
    court.see()

    court["a"].commit(2)
    with breaks(QUORUMS, "on disk at ['a', 'b'] of ['a', 'b', 'c', 'd']"):
        court.see()
