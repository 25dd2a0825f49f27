"""The plan of a run's faults: drawn from the seed, written down as plain values, each independent of the others.

So a plan can be shortened fault by fault, and what is left still strikes as it did.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HORIZON_SECONDS = 300.0
FIRST_SECONDS = 2.0
SECONDS_MAX = 6.0
PAUSE_SECONDS_MAX = 10.0
GAP_SECONDS_MIN = 0.2
GAP_SECONDS_MAX = 3.0
CHOSEN_SHARE = 0.6

Value = str | int | float


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault.

    kind        what may be chosen on the command line
    name        what happens: see faults.py
    at          simulated seconds
    seconds     how long it lasts; what it broke is then mended
    arguments   nodes, shares, counts: see faults.py
    """

    kind: str
    name: str
    at: float
    seconds: float
    arguments: tuple[Value, ...]

    def __str__(self) -> str:
        return " ".join(map(str, (self.name, *self.arguments, f"{self.seconds:.3f}s")))


@dataclass(frozen=True, slots=True)
class _Scene:
    """Who can be struck."""

    rng: random.Random
    nodes: Sequence[str]
    partitions: int
    steady_clocks: bool = False

    def node(self) -> str:
        return self.rng.choice(self.nodes)

    def pair(self) -> tuple[str, ...]:
        return tuple(self.rng.sample(self.nodes, 2))

    def some(self) -> tuple[str, ...]:
        """One node or more, but not all."""
        return tuple(self.rng.sample(self.nodes, self.rng.randint(1, len(self.nodes) - 1)))

    def rate(self) -> float:
        """Of a clock; a steady one drifts by less than 5 %."""
        return self.rng.choice(
            (0.97, 0.999, 1.001, 1.03) if self.steady_clocks else (0.8, 0.95, 0.999, 1.001, 1.05, 1.25)
        )

    def partition(self) -> int:
        return self.rng.randrange(self.partitions)

    def replicas(self) -> tuple[str, ...]:
        """A set of nodes that could hold a partition: mostly three, else one to five."""
        count = min(self.rng.choice((3, 3, 3, 3, 5, 2, 1)), len(self.nodes))
        return tuple(self.rng.sample(self.nodes, count))


Draw = Callable[[_Scene], tuple[Value, ...]]

_FAULTS: dict[str, dict[str, Draw]] = {
    "net": {
        "cut": _Scene.pair,
        "cut-one-way": _Scene.pair,
        "isolate": lambda scene: (scene.node(),),
        "deafen": lambda scene: (scene.node(),),
        "mute": lambda scene: (scene.node(),),
        "split": _Scene.some,
        "bridge": lambda scene: (scene.node(), *scene.some()),
        "break": lambda scene: (*scene.pair(), scene.rng.choice((0.0, 0.0, scene.rng.random() * 3.0))),
        "break-all": lambda scene: (scene.node(), scene.rng.choice((0.0, scene.rng.random()))),
        "delay": lambda scene: (scene.rng.choice((0.002, 0.01, 0.05, 0.2)), scene.rng.choice((0.001, 0.01, 0.1))),
        "delay-node": lambda scene: (scene.node(), scene.rng.choice((0.01, 0.1, 0.4))),
        "lose": lambda scene: (
            scene.rng.choice((0.001, 0.02)),
            scene.rng.choice((0, 0.01)),
            scene.rng.choice((0, 0.01)),
        ),
    },
    "disk": {
        "slow-syncs": lambda scene: (scene.node(), scene.rng.choice((0.01, 0.1, 1.0))),
        "slow-syncs-everywhere": lambda scene: (scene.rng.choice((0.01, 0.1, 0.5)),),
        "fail-sync": lambda scene: (scene.node(),),
        "fill": lambda scene: (scene.node(),),
        "cold": lambda scene: (scene.node(),),
        "flip-table-bit": lambda scene: (scene.node(),),
        "flip-log-bit": lambda scene: (scene.node(),),
    },
    "crash": {
        "kill": lambda scene: (scene.node(),),
        "lose-power": lambda scene: (scene.node(),),
        "lose-power-midway": lambda scene: (scene.node(), scene.rng.randrange(1, 60)),
        "kill-all": lambda scene: (),  # noqa: ARG005  # nothing to choose
        "lose-power-everywhere": lambda scene: (),  # noqa: ARG005  # nothing to choose
        "kill-some": _Scene.some,
        "lose-power-some": _Scene.some,
        "stop": lambda scene: (scene.node(),),
        "pause": lambda scene: (scene.node(),),
        "pause-some": _Scene.some,
    },
    "clock": {
        "drift": lambda scene: (scene.node(), scene.rate()),
        "jump": lambda scene: (scene.node(), scene.rng.choice((-86400.0, -60.0, -1.0, 1.0, 60.0, 86400.0))),
    },
    "membership": {
        "transfer": lambda scene: (scene.partition(), scene.node()),
        "target": lambda scene: (scene.partition(), *scene.replicas()),
        "flush": lambda scene: (scene.node(),),
        "compact": lambda scene: (scene.node(),),
        "forget": lambda scene: (scene.partition(),),
    },
}

KINDS = tuple(_FAULTS)


def draw_plan(
    rng: random.Random, nodes: Sequence[str], partitions: int, kinds: Sequence[str], *, steady_clocks: bool = False
) -> list[PlannedFault]:
    """Faults of these kinds, in the order of their times.

    Each plan has a character: it favours some faults over others, and is dense or not.
    """
    scene = _Scene(rng, nodes, partitions, steady_clocks)
    possible = [(kind, name) for kind in KINDS if kind in kinds for name in _FAULTS[kind]]
    if len(nodes) == 1:
        possible = [(kind, name) for kind, name in possible if kind != "net" and not name.endswith("-some")]
    chosen = [fault for fault in possible if rng.random() < CHOSEN_SHARE] or possible
    gap = GAP_SECONDS_MIN * (GAP_SECONDS_MAX / GAP_SECONDS_MIN) ** rng.random()
    return _draw(scene, chosen, gap)


def draw_storm(
    rng: random.Random, nodes: Sequence[str], partitions: int, names: Sequence[str], gap_seconds: float
) -> list[PlannedFault]:
    """The faults of these names alone, one every `gap_seconds` on average."""
    chosen = [(kind, name) for kind in KINDS for name in _FAULTS[kind] if name in names]
    return _draw(_Scene(rng, nodes, partitions), chosen, gap_seconds)


def _draw(scene: _Scene, chosen: Sequence[tuple[str, str]], gap: float) -> list[PlannedFault]:
    rng, plan = scene.rng, []
    at = FIRST_SECONDS + rng.random() * gap
    while chosen and at < HORIZON_SECONDS:
        kind, name = rng.choice(chosen)
        longest = PAUSE_SECONDS_MAX if name.startswith("pause") else SECONDS_MAX
        # Most are short, so that the system is neither always well nor always down.
        seconds = round(longest * rng.random() ** 3, 6)
        plan.append(PlannedFault(kind, name, round(at, 6), seconds, _FAULTS[kind][name](scene)))
        at += rng.random() * 2 * gap
    return plan
