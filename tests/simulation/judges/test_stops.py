import pytest

from tests.simulation.judges.court import Court, breaks

STOPS = "no node stops without a broken disk"


def stopped(failure: str) -> Court:
    """The others notice at their next step: b has none any more."""
    court = Court()
    court.see()
    court["b"].host, court["b"].failure = None, failure
    return court


def test_a_node_on_a_good_disk_never_stops_by_itself() -> None:
    court = stopped("partition 0: an entry must follow the log")

    with breaks(STOPS, "b stopped: partition 0: an entry must follow the log"):
        court.see("a")


def test_a_node_that_stopped_last_is_found_at_the_end() -> None:
    court = stopped("node log /b/log: no such file")

    with breaks(STOPS):
        court.bench.finish()


@pytest.mark.parametrize("trouble", ["Input/output error", "No space left on device"])
def test_a_node_may_stop_for_what_its_disk_was_made_to_do(trouble: str) -> None:
    court = stopped(f"the node log cannot be written: the disk: {trouble}")

    court.see("a")


def test_a_node_may_stop_for_damage_on_its_own_disk_alone() -> None:
    court = stopped("node log /b/log: the checksum of a frame does not match")
    court["a"].disk.is_damaged = True
    with breaks(STOPS):
        court.see("a")

    court["b"].disk.is_damaged = True
    court.see("a")
