from collections.abc import Iterator

import pytest

from app.simulation.violation import Violation
from tests.simulation.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Three nodes that serve."""
    stage = Stage()
    stage.run(2.0)
    yield stage
    stage.close()


def state(stage: Stage, name: str = "n1") -> tuple[bool, bool, bool]:
    node = stage[name]
    return node.is_on, node.is_running, node.is_up


def test_a_node_that_serves_is_up(stage: Stage) -> None:
    assert state(stage) == (True, True, True)
    assert (stage["n1"].starts, stage["n1"].failure, stage["n1"].error) == (1, None, None)


def test_a_start_of_a_node_that_runs_does_nothing(stage: Stage) -> None:
    host = stage["n1"].host

    stage["n1"].start()
    stage.run(3.0)
    assert (stage["n1"].host, stage["n1"].starts) == (host, 1)


def test_a_kill_ends_the_process_and_not_the_machine(stage: Stage) -> None:
    stage["n1"].kill()

    assert state(stage) == (True, False, False)
    stage["n1"].start()
    assert state(stage) == (True, True, False)
    stage.run(3.0)
    assert state(stage) == (True, True, True)
    assert stage["n1"].starts == 2


def test_a_loss_of_power_ends_the_machine_until_it_is_started(stage: Stage) -> None:
    stage["n1"].lose_power()
    stage["n1"].lose_power()
    assert state(stage) == (False, False, False)

    stage["n1"].start()
    stage.run(3.0)
    assert state(stage) == (True, True, True)


@pytest.mark.parametrize("loses_power", [False, True])
def test_what_was_acknowledged_is_there_in_the_next_life(stage: Stage, loses_power: bool) -> None:
    stage.write(5)
    stage.run(5.0)
    last = stage.group("n1").log.last_index
    for node in stage.simulation.nodes.values():
        if loses_power:
            node.lose_power()
        else:
            node.kill()
        node.start()

    stage.run(9.0)
    assert stage.group("n1").log.last_index >= last
    assert stage.group("n1").machine.get(b"k4", wait=True) is not None


def test_a_stop_is_in_good_order_and_its_leader_hands_over(stage: Stage) -> None:
    leader = stage.leader
    stage[leader].stop()
    stage.run(4.0)

    assert state(stage, leader) == (True, False, False)
    assert stage[leader].failure is None
    assert stage.leader != leader


def test_a_node_that_stands_still_is_up_and_does_nothing(stage: Stage) -> None:
    leader = stage.leader
    stage[leader].pause()
    sight = stage.group(leader).consensus.term

    stage.run(9.0)
    assert state(stage, leader) == (True, True, True)
    assert stage.group(leader).consensus.term == sight
    assert stage.leader != leader
    stage[leader].resume()
    stage.run(12.0)
    assert stage.group(leader).consensus.term > sight
    assert not stage.group(leader).is_leader


def test_who_is_down_can_neither_stand_still_nor_be_killed(stage: Stage) -> None:
    stage["n1"].lose_power()

    stage["n1"].pause()
    stage["n1"].kill()
    stage["n1"].stop()
    assert not stage["n1"].is_paused
    assert state(stage) == (False, False, False)


def test_a_fast_clock_runs_ahead_of_the_others(stage: Stage) -> None:
    before = {name: node.loop.time() for name, node in stage.simulation.nodes.items()}
    stage["n1"].drift(1.25)

    stage.run(6.0)
    gone = {name: node.loop.time() - before[name] for name, node in stage.simulation.nodes.items()}
    assert gone == {"n1": pytest.approx(5.0), "n2": pytest.approx(4.0), "n3": pytest.approx(4.0)}


def test_a_clock_keeps_its_drift_in_the_next_life(stage: Stage) -> None:
    stage["n1"].drift(1.25)
    stage["n1"].kill()
    stage["n1"].start()
    before = stage["n1"].loop.time()

    stage.run(6.0)
    assert stage["n1"].loop.time() - before == pytest.approx(5.0)


def test_a_node_that_cannot_read_its_disk_says_why_it_does_not_start(stage: Stage) -> None:
    stage.write(100)
    stage["n1"].kill()
    logs = [path for path in stage["n1"].disk.files.paths if path.endswith(".log")]
    stage["n1"].disk.flip_bit(logs[:1])

    stage["n1"].start()
    stage.run(5.0)
    assert state(stage) == (True, False, False)
    assert "damaged" in str(stage["n1"].failure)


def test_a_disk_that_fails_stops_its_node_and_says_why(stage: Stage) -> None:
    leader = stage.leader
    stage[leader].disk.fail_sync()
    stage.write(1)

    stage.run(4.0)
    assert state(stage, leader) == (True, False, False)
    assert "Input/output error" in str(stage[leader].failure)


def test_power_that_goes_within_a_step_ends_the_node_with_the_step(stage: Stage) -> None:
    leader = stage.leader
    stage[leader].disk.lose_power_after(0)

    stage.write(1)
    assert state(stage, leader) == (False, False, False)
    assert stage[leader].error is None


def test_an_exception_that_nothing_caught_is_remembered(stage: Stage) -> None:
    """And is a broken promise: see Simulation."""

    def fail() -> None:
        raise KeyError("of ours")

    stage["n1"].loop.call_soon(fail)
    with pytest.raises(Violation, match="no exception is left to the event loop"):
        stage.run(3.0)
    assert isinstance(stage["n1"].error, KeyError)


def test_nothing_of_an_earlier_life_happens_in_the_next_one(stage: Stage) -> None:
    ran = list[str]()
    stage["n1"].loop.call_later(1.0, ran.append, "earlier")
    stage["n1"].kill()
    stage["n1"].start()

    stage["n1"].loop.call_later(1.0, ran.append, "now")
    stage.run(9.0)
    assert ran == ["now"]
