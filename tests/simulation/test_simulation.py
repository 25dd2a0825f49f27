import pytest

from app.simulation.node import SimulatedNode
from app.simulation.plan import PlannedFault
from app.simulation.setting import Setting
from app.simulation.simulation import Outcome, Simulation, SimulationOptions
from app.simulation.violation import Violation

SMALL = SimulationOptions(nodes=3, partitions=2, steps=3000, plan=(), setting=Setting())


class Watching:
    """A judge that remembers what it was told, and at the end says that all is well.

    replicas  how many the partitions have that it saw
    """

    def __init__(self, simulation: Simulation) -> None:
        self.told: list[str] = []
        self.replicas: set[int] = set()
        self._simulation = simulation

    def observe(self, node: SimulatedNode) -> None:
        if self.told[-1:] != ["observe"]:
            self.told.append("observe")
        if node.host is not None:
            self.replicas |= {len(group.replicas) for group in node.host.groups.values()}
        self._simulation.is_settled = self._simulation.has_healed

    def healed(self) -> None:
        self.told.append("healed")

    def finish(self) -> None:
        self.told.append("finish")


def run(options: SimulationOptions = SMALL) -> tuple[Outcome, Watching, list[str]]:
    lines: list[str] = []
    simulation = Simulation(options, lines.append)
    watching = Watching(simulation)
    simulation.judges.append(watching)
    return simulation.run(), watching, lines


def test_a_run_has_a_part_with_faults_and_one_without() -> None:
    outcome, watching, lines = run()

    assert outcome.violation is None
    assert outcome.steps > SMALL.steps
    assert watching.told == ["observe", "healed", "observe", "finish"]
    assert sum(line.endswith(" healed\n") for line in lines) == 1


def test_faults_strike_in_the_first_part_alone() -> None:
    planned = PlannedFault("crash", "kill", 0.1, 0.1, ("n1",)), PlannedFault("crash", "kill", 250.0, 0.1, ("n2",))

    outcome, _, lines = run(SimulationOptions(nodes=3, partitions=2, steps=3000, plan=planned, setting=Setting()))

    assert outcome.struck == ((0, planned[0]),)
    assert sum(" is killed" in line for line in lines) == 1


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_the_setting_is_how_the_nodes_are_set_up(replicas: int) -> None:
    outcome, watching, _ = run(SimulationOptions(nodes=3, partitions=2, steps=3000, plan=(), setting=Setting(replicas)))

    assert outcome.violation is None
    assert watching.replicas == {replicas}


@pytest.mark.parametrize("method", ["observe", "healed", "finish"])
def test_a_judge_ends_the_run(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Violation("a promise", "it was broken")

    def judge(*_: object) -> None:
        raise broken

    monkeypatch.setattr(Watching, method, judge)

    outcome, _, lines = run()

    assert outcome.violation is broken
    assert any("violation: a promise: it was broken" in line for line in lines)


def test_what_nobody_foresaw_is_a_violation_that_names_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a campaign of many seeds would end with a traceback, and without the seed."""

    def stumble(*_: object) -> None:
        raise KeyError("a bug of ours")

    monkeypatch.setattr(Watching, "healed", stumble)

    violation = run()[0].violation

    assert violation is not None
    assert violation.rule == "nothing unforeseen is raised"
    assert "KeyError('a bug of ours'), in stumble, line " in violation.text
