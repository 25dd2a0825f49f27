"""The register of faults is complete, and what it names exists."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.chaos.matrix import ROWS
from tests.chaos.rows import SCENARIOS

TESTS = Path(__file__).resolve().parent.parent
NAMES = [
    f"{letter}{number}"
    for letter, last in zip("PNCSMU", (10, 11, 2, 12, 4, 3), strict=True)
    for number in range(1, last + 1)
]
BEYOND = {"R", "X"}


@cache
def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_row_is_there_once() -> None:
    assert [row.name for row in ROWS] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_shown_or_says_why_not(name: str) -> None:
    row = next(row for row in ROWS if row.name == name)

    assert row.absent or row.tests or any(scenario.row == name for scenario in SCENARIOS.values())
    for path, _, test in (place.partition("::") for place in row.tests):
        assert (TESTS / path).exists(), path
        assert not test or test in names_in(TESTS / path), f"{path} has no {test}"


def test_every_scenario_belongs_to_a_row() -> None:
    known = set(NAMES) | BEYOND

    assert [name for name, scenario in SCENARIOS.items() if scenario.row not in known and name[0] not in BEYOND] == []
