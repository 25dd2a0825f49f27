"""That the list of audit.py is whole, and names what exists."""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import raftgroups
from tests.raftgroups.audit import ROWS

TESTS = Path(__file__).parent.parent
IDS = [
    f"{kind}{number}" for kind, count in (("S", 19), ("D", 9), ("L", 14), ("X", 5)) for number in range(1, count + 1)
]
IDS += ["1.5", "1.6", "1.7"]
ONLY_READ = {"S12", "S18", "D4", "D5", "D6", "D7", "D8", "D9", "L6", "L7", "L10", "L13", "X4", "1.6"}
"""Found in the source of the stock library, and never seen to happen."""


@cache
def find_tests(module: str) -> frozenset[str]:
    path = TESTS / ("" if "/" in module else "raftgroups") / f"{module}.py"
    nodes = ast.walk(ast.parse(path.read_text()))
    functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(name for name in functions if name.startswith("test_"))


def test_every_known_defect_has_a_row() -> None:
    assert list(ROWS) == IDS


@pytest.mark.parametrize("number", IDS)
def test_every_defect_is_shown_or_cannot_occur(number: str) -> None:
    """What was seen to happen is shown on the stock library, and again on ours."""
    row = ROWS[number]

    assert row.defect
    assert row.ours or row.why
    assert bool(row.stock) == (number not in ONLY_READ)


@pytest.mark.parametrize("number", IDS)
def test_every_test_that_is_named_exists(number: str) -> None:
    for test in ROWS[number].stock + ROWS[number].ours:
        module, _, name = test.partition("::")

        assert name in find_tests(module), test


@pytest.mark.parametrize("number", [number for number in IDS if ROWS[number].why])
def test_every_reason_stands_where_it_is_said_to(number: str) -> None:
    for module, words in ROWS[number].why:
        source = (Path(raftgroups.__file__).parent / f"{module}.py").read_text()

        assert words in " ".join(source.split()), f"{module}.py"


@pytest.mark.parametrize(
    "module",
    [
        *("test_stock_defects", "test_stock_fuzz", "test_audit_safety"),
        *("test_audit_durability", "test_audit_liveness", "test_audit_security"),
    ],
)
def test_no_test_of_the_stock_library_is_left_out(module: str) -> None:
    named = {test for row in ROWS.values() for test in row.stock + row.ours}

    assert {f"{module}::{name}" for name in find_tests(module)} <= named


def test_every_bound_that_is_named_exists() -> None:
    """The list is in the docstring of raftgroups."""
    bounds = re.findall(r"^    (\w+)\.([A-Z_]+) ", raftgroups.__doc__ or "", re.MULTILINE)

    assert len(bounds) >= 15
    for module, name in bounds:
        assert getattr(import_module(f"raftgroups.{module}"), name) > 0
