from app.simulation.requests import Requests
from app.simulation.sweep import AT_ONCE, Sweep
from raftgroups import Level, NoQuorumError, PartitionId, Put, Term
from tests.simulation.judges.court import entry
from tests.simulation.scene import Scene

KEYS = [b"k%d" % number for number in range(20)]


class Sweeping:
    """Three nodes; partition 0 and 2 were written to."""

    def __init__(self) -> None:
        self.scene = Scene(nodes=3)
        for partition, key in ((2, b"k7"), (0, b"k3")):
            self.scene.bench.facts.chain(PartitionId(partition)).extend(1, entry(Put(key, b"1.")), Term(1))
        self.scene.bench.facts.chain(PartitionId(1))
        self.sweep = Sweep(
            self.scene.simulation, self.scene.bench, Requests(self.scene.simulation, self.scene.bench, 1.0)
        )

    def start(self) -> None:
        values = iter(range(100))
        self.sweep.start(KEYS, lambda: b"%d." % next(values))
        self.scene.run(0.01)


def test_every_key_is_read_and_every_partition_written_through_every_node() -> None:
    sweeping = Sweeping()

    sweeping.start()
    sweeping.scene.run(1.0)
    assert sweeping.sweep.is_done
    values = set[bytes]()
    for coordinator in sweeping.scene.coordinators.values():
        writes = [asked for asked in coordinator.asked if isinstance(asked, Put)]
        assert [put.key for put in writes] == [b"k3", b"k7"]
        assert [asked for asked in coordinator.asked if asked not in writes] == [
            (key, Level.LINEARIZABLE) for key in KEYS
        ]
        values |= {put.value for put in writes}
    assert len(values) == 6


def test_it_is_not_done_while_one_request_is_not_answered() -> None:
    sweeping = Sweeping()
    slow = sweeping.scene.coordinators["n2"]
    slow.silent = True

    sweeping.start()
    assert (sweeping.sweep.is_done, sweeping.sweep.left) == (False, 22)
    assert len(slow.asked) == AT_ONCE


def test_what_is_refused_or_not_answered_is_asked_again() -> None:
    sweeping = Sweeping()
    bad, mute = sweeping.scene.coordinators["n2"], sweeping.scene.coordinators["n3"]
    bad.error, mute.silent = NoQuorumError(PartitionId(0)), True
    sweeping.start()
    sweeping.scene.run(9.0)
    assert not sweeping.sweep.is_done
    assert len(bad.asked) > 2 * AT_ONCE

    bad.error, mute.silent = None, False
    sweeping.scene.run(9.0)
    assert sweeping.sweep.is_done


def test_a_node_that_is_down_is_asked_when_it_is_up() -> None:
    sweeping = Sweeping()
    node = sweeping.scene.simulation.nodes["n2"]
    node.is_running = False
    sweeping.start()
    sweeping.scene.run(9.0)
    assert (sweeping.sweep.left, sweeping.scene.coordinators["n2"].asked) == (22, [])

    node.is_running = True
    sweeping.scene.run(1.0)
    assert sweeping.sweep.is_done


def test_a_node_whose_disk_is_damaged_is_not_asked() -> None:
    sweeping = Sweeping()
    sweeping.scene.simulation.nodes["n2"].disk.is_damaged = True

    sweeping.start()
    sweeping.scene.run(1.0)
    assert sweeping.sweep.is_done
    assert sweeping.scene.coordinators["n2"].asked == []


def test_nothing_is_to_be_asked_so_it_is_done() -> None:
    scene = Scene(nodes=3)
    sweep = Sweep(scene.simulation, scene.bench, Requests(scene.simulation, scene.bench, 1.0))

    sweep.start([], bytes)
    assert sweep.is_done
