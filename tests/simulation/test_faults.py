"""Each fault does to a small cluster what its name says, and ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.simulation.faults import _STRIKES
from app.simulation.network import Weather
from app.simulation.node import SimulatedNode
from app.simulation.plan import PlannedFault, Value
from raftgroups import LogIndex
from tests.simulation.stage import Stage


class Stages:
    """Makes stages, and clears them away."""

    def __init__(self) -> None:
        self._made: list[Stage] = []

    def __call__(self, name: str, *arguments: Value, at: float = 3.0, seconds: float = 2.0, nodes: int = 3) -> Stage:
        """One on which one fault is planned, run up to just before it strikes."""
        return self.of(PlannedFault("", name, at, seconds, arguments), until=at - 0.001, nodes=nodes)

    def of(self, *plan: PlannedFault, until: float = 2.0, nodes: int = 3) -> Stage:
        self._made.append(Stage(*plan, nodes=nodes))
        self._made[-1].run(until)
        return self._made[-1]

    def close(self) -> None:
        for stage in self._made:
            stage.close()


@pytest.fixture
def stages() -> Iterator[Stages]:
    stages = Stages()
    yield stages
    stages.close()


# The network.

ALL = {f"{one} {other}" for one in ("n1", "n2", "n3") for other in ("n1", "n2", "n3") if one != other}


@pytest.mark.parametrize(
    ("name", "arguments", "cut"),
    [
        ("cut", ("n1", "n2"), {"n1 n2", "n2 n1"}),
        ("cut-one-way", ("n1", "n2"), {"n1 n2"}),
        ("isolate", ("n1",), {"n1 n2", "n2 n1", "n1 n3", "n3 n1"}),
        ("deafen", ("n1",), {"n2 n1", "n3 n1"}),
        ("mute", ("n1",), {"n1 n2", "n1 n3"}),
        ("split", ("n1", "n3"), {"n1 n2", "n2 n1", "n3 n2", "n2 n3"}),
        ("bridge", ("n2", "n1"), {"n1 n3", "n3 n1"}),
        ("bridge", ("n2", "n1", "n2"), {"n1 n3", "n3 n1"}),
    ],
)
def test_a_cut_cuts_its_paths_and_no_other(
    stages: Stages, name: str, arguments: tuple[str, ...], cut: set[str]
) -> None:
    stage = stages(name, *arguments)
    assert stage.cut == set()

    stage.run(4.9)
    assert stage.cut == cut
    stage.run(5.1)
    assert stage.cut == set()


def test_cuts_that_overlap_end_alone(stages: Stages) -> None:
    stage = stages.of(PlannedFault("", "isolate", 3.0, 2.0, ("n1",)), PlannedFault("", "cut", 4.0, 2.0, ("n1", "n2")))

    stage.run(5.5)
    assert stage.cut == {"n1 n2", "n2 n1"}
    stage.run(6.5)
    assert stage.cut == set()


def test_a_leader_that_is_cut_off_is_replaced(stages: Stages) -> None:
    before = stages.of().leader
    stage = stages("isolate", before, seconds=20.0)

    stage.run(20.0)
    assert stage.leader != before


@pytest.mark.parametrize(("name", "arguments"), [("break", ("n1", "n2", 0.0)), ("break-all", ("n1", 0.0))])
def test_a_break_ends_connections_that_come_back(stages: Stages, name: str, arguments: tuple[Value, ...]) -> None:
    stage = stages(name, *arguments)
    path = stage.simulation.network.paths["n1", "n2"]
    before = set(path.ends)

    stage.run(3.0)
    assert all(end.is_over for end in before)
    stage.run(9.0)
    assert any(not end.is_over for end in path.ends)


@pytest.mark.parametrize(
    ("name", "arguments", "weather", "paths"),
    [
        ("delay", (0.05, 0.01), Weather(0.05, 0.01), ALL),
        ("delay-node", ("n1", 0.4), Weather(0.4, 0.4), {"n1 n2", "n2 n1", "n1 n3", "n3 n1"}),
        ("lose", (0.02, 0.01, 0.03), Weather(lost=0.02, doubled=0.01, overtaken=0.03), ALL),
    ],
)
def test_bad_weather_comes_and_goes(
    stages: Stages, name: str, arguments: tuple[Value, ...], weather: Weather, paths: set[str]
) -> None:
    stage = stages(name, *arguments)
    assert stage.weathers == {}

    stage.run(4.0)
    assert {path: found for path, found in stage.weathers.items() if path in paths} == dict.fromkeys(paths, weather)
    assert {path for path in stage.weathers if path.split()[0] != path.split()[1]} == paths
    stage.run(5.1)
    assert stage.weathers == {}


# Disks.


@pytest.mark.parametrize(
    ("name", "arguments", "slow"),
    [
        ("slow-syncs", ("n1", 0.1), {"n1": 0.1}),
        ("slow-syncs-everywhere", (0.5,), dict.fromkeys(("n1", "n2", "n3"), 0.5)),
    ],
)
def test_syncs_are_slow_for_a_while(
    stages: Stages, name: str, arguments: tuple[Value, ...], slow: dict[str, float]
) -> None:
    stage = stages(name, *arguments)

    stage.run(4.0)
    assert {node.name: node.disk.slow_seconds for node in _nodes(stage) if node.disk.slow_seconds} == slow
    stage.run(5.1)
    assert not any(node.disk.slow_seconds for node in _nodes(stage))


def test_a_failed_sync_stops_its_node_which_loses_power_and_starts_anew(stages: Stages) -> None:
    name = stages.of().leader
    stage = stages("fail-sync", name, seconds=5.0)

    stage.run(3.1)
    stage.write(1)
    stage.run(7.9)
    assert not stage[name].is_running
    assert "Input/output error" in str(stage[name].failure)
    stage.run(9.0)
    assert stage[name].is_up
    assert (stage[name].starts, stage[name].failure) == (2, None)
    assert any(f"{name} loses power" in line for line in stage.lines)


def test_a_sync_that_did_not_come_did_not_fail(stages: Stages) -> None:
    stage = stages("fail-sync", "n1", seconds=0.0)

    stage.run(4.0)
    stage.write(1)
    assert all(node.is_up and node.starts == 1 for node in _nodes(stage))


def test_a_full_disk_has_room_again(stages: Stages) -> None:
    stage = stages("fill", "n1")

    stage.run(4.0)
    assert {fault.operation for fault in stage["n1"].disk.files.faults} == {"write", "create_directory"}
    stage.run(5.1)
    assert stage["n1"].disk.files.faults == []


def test_a_cold_disk_gets_warm_again(stages: Stages) -> None:
    stage = stages("cold", "n1")

    stage.run(4.0)
    assert [node.disk.files.nowait for node in _nodes(stage)] == [False, True, True]
    stage.run(5.1)
    assert stage["n1"].disk.files.nowait


@pytest.mark.parametrize(("name", "kind"), [("flip-table-bit", ".sst"), ("flip-log-bit", ".log")])
def test_one_bit_of_a_file_that_is_at_rest_is_flipped(stages: Stages, name: str, kind: str) -> None:
    stage = stages.of(PlannedFault("", name, 9.0, 0.0, ("n1",)), until=4.0)
    stage.write(100)
    stage.run(8.0)
    before = _contents(stage["n1"])
    stage.run(9.0)
    after = _contents(stage["n1"])

    (changed,) = [path for path, data in before.items() if after.get(path) != data]
    assert changed.endswith(kind)
    assert changed != max(path for path in before if path.endswith(".log"))
    flipped = int.from_bytes(before[changed], "big") ^ int.from_bytes(after[changed], "big")
    assert flipped.bit_count() == 1


@pytest.mark.parametrize("name", ["flip-table-bit", "flip-log-bit"])
def test_the_disks_of_a_majority_stay_good(stages: Stages, name: str) -> None:
    """However many bits are to be flipped: somebody must be able to go on."""
    plan = [PlannedFault("", name, 9.0 + at, 0.0, (f"n{at % 3 + 1}",)) for at in range(9)]
    stage = stages.of(*plan, until=4.0)

    stage.write(100)
    stage.run(20.0)
    assert [node.disk.is_damaged for node in _nodes(stage)] == [True, False, False]


def test_no_disk_is_damaged_while_nobody_knows_who_votes(stages: Stages) -> None:
    plan = PlannedFault("", "kill-all", 8.0, 9.0, ()), PlannedFault("", "flip-log-bit", 9.0, 0.0, ("n1",))
    stage = stages.of(*plan, until=4.0)

    stage.write(100)
    stage.run(9.5)
    assert not stage["n1"].disk.is_damaged


def test_the_only_disk_there_is_stays_good(stages: Stages) -> None:
    stage = stages.of(PlannedFault("", "flip-log-bit", 9.0, 0.0, ("n1",)), until=4.0, nodes=1)

    stage.write(100)
    stage.run(9.5)
    assert not stage["n1"].disk.is_damaged


# Crashes.


@pytest.mark.parametrize(
    ("name", "arguments", "struck", "keeps_power"),
    [
        ("kill", ("n1",), ["n1"], True),
        ("kill-some", ("n1", "n3"), ["n1", "n3"], True),
        ("kill-all", (), ["n1", "n2", "n3"], True),
        ("lose-power", ("n1",), ["n1"], False),
        ("lose-power-some", ("n1", "n3"), ["n1", "n3"], False),
        ("lose-power-everywhere", (), ["n1", "n2", "n3"], False),
        ("stop", ("n1",), ["n1"], True),
    ],
)
def test_who_is_struck_is_down_and_comes_back(
    stages: Stages, name: str, arguments: tuple[str, ...], struck: list[str], keeps_power: bool
) -> None:
    stage = stages(name, *arguments)
    assert all(node.is_up for node in _nodes(stage))

    stage.run(4.9)
    assert [node.name for node in _nodes(stage) if not node.is_running] == struck
    assert all(stage[name].is_on == keeps_power for name in struck)
    stage.run(9.0)
    assert all(node.is_up for node in _nodes(stage))
    assert [node.name for node in _nodes(stage) if node.starts == 2] == struck


def test_a_stop_is_in_good_order(stages: Stages) -> None:
    stage = stages("stop", "n1")

    stage.run(4.9)
    assert stage["n1"].failure is None
    assert any("n1 has stopped\n" in line for line in stage.lines)


def test_the_power_goes_in_the_middle_of_a_change(stages: Stages) -> None:
    name = stages.of().leader
    stage = stages("lose-power-midway", name, 2, seconds=6.0)

    stage.run(4.0)
    assert stage[name].is_up
    stage.write(3)
    stage.run(8.9)
    assert not stage[name].is_on
    stage.run(15.0)
    assert stage[name].is_up


def test_power_that_did_not_go_in_time_stays(stages: Stages) -> None:
    stage = stages("lose-power-midway", "n1", 1000, seconds=1.0)

    stage.run(9.0)
    assert (stage["n1"].starts, stage["n1"].disk.files.power_lost_at) == (1, None)


@pytest.mark.parametrize(("name", "arguments"), [("pause", ("n1",)), ("pause-some", ("n1", "n3"))])
def test_who_is_paused_stands_still_and_goes_on(stages: Stages, name: str, arguments: tuple[str, ...]) -> None:
    stage = stages(name, *arguments)

    stage.run(4.9)
    assert [node.name for node in _nodes(stage) if node.is_paused] == list(arguments)
    assert all(node.is_up for node in _nodes(stage))
    stage.run(5.1)
    assert not any(node.is_paused for node in _nodes(stage))
    assert all(node.starts == 1 for node in _nodes(stage))


def test_who_was_killed_while_it_was_paused_comes_back_once(stages: Stages) -> None:
    stage = stages.of(PlannedFault("", "pause", 3.0, 4.0, ("n1",)), PlannedFault("", "kill", 4.0, 1.0, ("n1",)))

    stage.run(9.0)
    assert (stage["n1"].is_up, stage["n1"].is_paused, stage["n1"].starts) == (True, False, 2)


# Clocks.


def test_a_clock_drifts_and_then_its_time_of_day_is_set_right(stages: Stages) -> None:
    stage = stages("drift", "n1", 1.25)
    began = stage["n1"].clock.local(3.0)

    stage.run(4.0)
    assert [node.clock.rate for node in _nodes(stage)] == [1.25, 1.0, 1.0]
    stage.run(6.0)
    assert stage["n1"].clock.rate == 1.0
    assert stage["n1"].clock.local(6.0) - began == pytest.approx(3.5)
    assert len({node.clock.wall_ms(6.0) for node in _nodes(stage)}) == 1


def test_a_clock_jumps_and_is_set_right_afterwards(stages: Stages) -> None:
    stage = stages("jump", "n1", -60.0)
    local, wall = stage["n1"].clock.local(4.0), stage["n1"].clock.wall_ms(4.0)

    stage.run(4.0)
    assert stage["n1"].clock.wall_ms(4.0) == wall - 60_000
    assert stage["n1"].clock.local(4.0) == local
    stage.run(9.0)
    assert len({node.clock.wall_ms(9.0) for node in _nodes(stage)}) == 1
    [(since, until)] = stage["n1"].clock.wrongs
    assert (since, until) == (3.0, 5.0)


def test_one_clock_is_wrong_at_a_time_and_another_when_nobody_believes_it_any_more(stages: Stages) -> None:
    def jump(at: float, name: str) -> PlannedFault:
        return PlannedFault("", "jump", at, 1.0, (name, 60.0))

    stage = stages.of(jump(3.0, "n1"), jump(3.5, "n2"), jump(13.0, "n3"), jump(15.0, "n2"))

    stage.run(17.0)

    assert [len(node.clock.wrongs) for node in _nodes(stage)] == [1, 1, 0]


# Membership.


def test_leadership_is_handed_over(stages: Stages) -> None:
    before = stages.of().leader
    heir = "n2" if before != "n2" else "n3"
    stage = stages("transfer", 0, heir)

    stage.run(3.5)
    assert stage.leader == heir


def test_a_partition_moves_to_other_nodes(stages: Stages) -> None:
    stage = stages("target", 0, "n3", "n4", "n5", nodes=5)

    stage.run(30.0)
    voters = stage.group("n4").consensus.configuration.voters
    assert set(voters) == {"n3", "n4", "n5"}


def test_a_partition_moves_to_no_majority_of_damaged_disks(stages: Stages) -> None:
    stage = stages("target", 0, "n3", "n4", "n5", nodes=5)
    for name in ("n4", "n5"):
        stage[name].disk.is_damaged = True
    before = stage.group(stage.leader).consensus.configuration

    stage.run(30.0)
    assert stage.group(stage.leader).consensus.configuration == before


@pytest.mark.parametrize("others", [2, 1])
def test_a_partition_moves_through_no_half_of_damaged_disks(stages: Stages, others: int) -> None:
    """Two of the five that are to hold it are damaged, which is well; but two of four are on the way."""
    stage = stages.of(until=4.0, nodes=5)
    group = stage.group(stage.leader)
    voters, strangers = group.replicas, [name for name in stage.simulation.nodes if name not in group.replicas]
    for name in (next(name for name in voters if name != stage.leader), strangers[0]):
        stage[name].disk.is_damaged = True
    faults = stage.simulation._faults

    wanted = (*voters, *strangers[:others])
    assert faults._survives(0, faults._damaged(), wanted) is False
    assert faults._survives(0, faults._damaged(), (*voters, strangers[1])) is True
    assert faults._survives(0, faults._damaged()) is True


def test_tables_are_written_and_joined(stages: Stages) -> None:
    stage = stages.of(PlannedFault("", "flush", 6.0, 0.0, ("n1",)), PlannedFault("", "compact", 8.0, 0.0, ("n1",)))
    stage.write(3)
    stage.run(5.9)
    before = stage.group("n1").machine.engine.flushed_sequence

    stage.run(7.0)
    assert stage.group("n1").machine.engine.flushed_sequence > before
    stage.run(9.0)
    assert stage["n1"].error is None


def test_entries_that_are_forgotten_are_kept_for_nobody(stages: Stages) -> None:
    plan = [PlannedFault("", "forget", at, 0.0, (0,)) for at in (6.0, 7.0)]
    stage = stages.of(*plan, until=2.0)
    stage.write(30)
    stage.run(5.9)
    before: dict[str, LogIndex] = {node.name: stage.group(node.name).log.first_index for node in _nodes(stage)}

    stage.run(7.5)
    assert all(stage.group(name).log.first_index > first for name, first in before.items())


# All of them.


def test_every_fault_has_a_test_here() -> None:
    """By its name, in quotes."""
    source = Path(__file__).read_text()
    assert [name for name in _STRIKES if f'"{name}"' not in source] == []


def test_healing_ends_every_fault_and_lets_none_strike_any_more(stages: Stages) -> None:
    lasting: list[tuple[str, tuple[Value, ...]]] = [
        ("isolate", ("n1",)), ("delay", (0.2, 0.1)), ("slow-syncs", ("n1", 1.0)), ("fill", ("n2",)),
        ("cold", ("n2",)), ("kill", ("n3",)), ("pause", ("n1",)), ("drift", ("n2", 0.8)),
        ("lose-power-midway", ("n2", 1000)), ("fail-sync", ("n2",)),
    ]  # fmt: skip
    plan = [PlannedFault("", name, 3.0, 100.0, arguments) for name, arguments in lasting]
    stage = stages.of(*plan, PlannedFault("", "kill-all", 6.0, 1.0, ()), until=3.5)
    assert stage.cut

    stage.simulation._faults.heal()
    stage.run(9.0)
    assert (stage.cut, stage.weathers) == (set(), {})
    assert all(node.is_up and not node.is_paused and node.clock.rate == 1.0 for node in _nodes(stage))
    assert all(node.disk.files.faults == [] and node.disk.files.nowait for node in _nodes(stage))
    assert all(node.disk.slow_seconds == 0 and node.disk.files.power_lost_at is None for node in _nodes(stage))
    stage.run(200.0)
    assert [node.starts for node in _nodes(stage)] == [1, 1, 2]


def test_a_fault_and_its_end_are_in_the_trace(stages: Stages) -> None:
    stage = stages("cut", "n1", "n2")

    stage.run(6.0)
    told = [line for line in stage.lines if "fault" in line or "mended" in line]
    assert told == ["3.000000 fault 0 cut n1 n2 2.000s\n", "5.000000 mended 0\n"]


def _nodes(stage: Stage) -> list[SimulatedNode]:
    return list(stage.simulation.nodes.values())


def _contents(node: SimulatedNode) -> dict[str, bytes]:
    return {path: node.disk.files.content(path) for path in node.disk.files.paths}
