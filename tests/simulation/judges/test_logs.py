import pytest

from raftgroups import Put
from tests.simulation.judges.court import NO_OP, Court, breaks, entry

LOGS = "log matching"


def test_an_index_and_a_term_name_one_payload() -> None:
    court = Court()
    court["a"].append((1, entry(Put(b"k", b"1."))))
    court["b"].append((1, entry(Put(b"k", b"2."))))

    with breaks(LOGS, "entry 1 of term 1 differs on b and a"):
        court.see()


def test_an_entry_follows_the_same_entry_everywhere() -> None:
    court = Court()
    court["a"].append((1, NO_OP), (3, NO_OP))
    court["b"].append((2, NO_OP), (3, NO_OP))

    with breaks(LOGS, "terms 2 and 1"):
        court.see()


def test_terms_never_fall_along_a_log() -> None:
    court = Court()
    court["a"].append((2, NO_OP), (1, NO_OP))

    with breaks(LOGS, "an entry of term 1 after one of term 2"):
        court.see()


def test_an_entry_that_was_written_over_is_judged_anew() -> None:
    court = Court()
    court["a"].append((1, NO_OP), (1, NO_OP))
    court["b"].append((1, NO_OP), (2, entry(Put(b"k", b"1."))))
    court.see()

    court["a"].append((2, NO_OP), after=1)
    with breaks(LOGS, "entry 2 of term 2 differs on a and b"):
        court.see()


def test_what_was_on_disk_is_there_after_a_restart() -> None:
    court = Court()
    court["a"].append((1, NO_OP), (1, NO_OP))
    court["a"].sync()
    court.see()

    court["a"].restart()
    del court["a"].group.log.entries[2:]
    with breaks(LOGS, "came back without entries [2]"):
        court.see()


def test_what_was_not_on_disk_may_be_gone_after_a_restart() -> None:
    court = Court()
    court["a"].append((1, NO_OP))
    court["a"].sync()
    court.see()
    court["a"].append((1, NO_OP))
    court.see()

    del court["a"].group.log.entries[2:]
    court["a"].restart()
    court.see()


@pytest.mark.parametrize("is_gone", [True, False])
def test_what_was_never_on_disk_may_be_written_otherwise_in_the_same_term(is_gone: bool) -> None:
    """Nobody else can have seen it, as nothing leaves a node before its sync."""
    court = Court()
    court["a"].append((1, NO_OP))
    court["a"].sync()
    court["a"].append((1, entry(Put(b"k", b"1."))))
    court.see()

    court["a"].restart()
    if is_gone:
        del court["a"].group.log.entries[2:]
        court.see()
    court["a"].append((1, entry(Put(b"k", b"2."))), after=1)
    court.see()


def test_what_another_node_has_may_not_be_written_otherwise() -> None:
    court = Court()
    court["b"].append((1, NO_OP), (1, entry(Put(b"k", b"1."))))
    court["a"].append((1, NO_OP), (1, entry(Put(b"k", b"1."))))
    court.see()

    court["a"].restart()
    court["a"].append((1, entry(Put(b"k", b"2."))), after=1)
    with breaks(LOGS, "entry 2 of term 1 differs on a and "):
        court.see()


def test_a_restart_changes_no_entry() -> None:
    """Every byte comes from the disk again, so every byte is compared again."""
    court = Court()
    court["a"].append((1, NO_OP), (1, NO_OP))
    court.see()

    court["a"].restart()
    court["a"].group.log.entries[1] = (1, entry(Put(b"k", b"1.")))
    with breaks(LOGS, "entry 1 of term 1 differs on a and a"):
        court.see()
