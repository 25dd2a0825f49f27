"""The judge of histories is itself judged: by cases, by a brute-force oracle, and by a second checker."""

import importlib.util
import json
import random
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.simulation.history import History, Operation, Value, load
from app.simulation.linearizability import check

TOOLS = Path(__file__).resolve().parents[3] / "shared" / "tools"


def put(value: str, called: int, returned: int | None, ok: bool | None = True) -> Operation:
    return Operation(1, "put", "k", value, None, ok, called, returned)


def unknown(value: str, called: int) -> Operation:
    return put(value, called, None, None)


def delete(called: int, returned: int | None) -> Operation:
    ok = None if returned is None else True
    return Operation(1, "delete", "k", None, None, ok, called, returned)


def get(output: Value, called: int, returned: int | None, ok: bool | None = True) -> Operation:
    return Operation(1, "get", "k", None, output, ok, called, returned)


LEGAL = {
    "nothing happened": [],
    "a read after a write": [put("a", 1, 2), get("a", 3, 4)],
    "absent before the first write": [get(None, 1, 2), put("a", 3, 4)],
    "the old value during a write": [put("a", 1, 2), put("b", 3, 6), get("a", 4, 5)],
    "the new value during a write": [put("a", 1, 2), put("b", 3, 6), get("b", 4, 5)],
    "two concurrent writes, either may win": [put("a", 1, 4), put("b", 2, 3), get("a", 5, 6)],
    "a call at the instant of a return": [put("a", 1, 2), put("b", 3, 5), get("a", 5, 6)],
    "an unknown write seen later": [put("a", 1, 2), unknown("b", 3), get("a", 4, 5), get("b", 6, 7)],
    "an unknown write never seen": [put("a", 1, 2), unknown("b", 3), get("a", 4, 5)],
    "an unknown delete seen later": [put("a", 1, 2), delete(3, None), get("a", 4, 5), get(None, 6, 7)],
    "a known failure never seen": [put("a", 1, 2), put("b", 3, 4, False), get("a", 5, 6)],
    "an unknown read says nothing": [put("a", 1, 2), get("b", 3, None, None)],
    "a delete between two reads": [put("a", 1, 2), get("a", 3, 4), delete(5, 6), get(None, 7, 8)],
    "a write that nobody saw": [put("a", 1, 6), put("b", 2, 3), get("b", 4, 5), get("b", 7, 8)],
    "one value written twice": [put("a", 1, 2), put("b", 3, 4), put("a", 5, 6), get("a", 7, 8)],
}

ILLEGAL = {
    "a stale read": [put("a", 1, 2), put("b", 3, 4), get("a", 5, 6)],
    "a lost write": [put("a", 1, 2), get(None, 3, 4)],
    "a value nobody wrote": [put("a", 1, 2), get("z", 3, 4)],
    "a value from the future": [get("a", 1, 2), put("a", 3, 4)],
    "new then old": [put("a", 1, 2), put("b", 3, 8), get("b", 4, 5), get("a", 6, 7)],
    "a known failure seen": [put("a", 1, 2), put("b", 3, 4, False), get("b", 5, 6)],
    "an unknown write undone": [put("a", 1, 2), unknown("b", 3), get("b", 4, 5), get("a", 6, 7)],
    "an unknown write seen before its call": [get("b", 1, 2), unknown("b", 3)],
    "an unknown write used twice": [
        unknown("b", 1), get("b", 2, 3), put("a", 4, 5), get("b", 6, 7),
    ],
    "a deleted value read": [put("a", 1, 2), delete(3, 4), get("a", 5, 6)],
    "readers that disagree on the order": [
        put("a", 1, 10), put("b", 1, 10), get("a", 2, 3), get("b", 4, 5), get("a", 6, 7),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", LEGAL)
def test_a_legal_history_passes(name: str) -> None:
    assert check(LEGAL[name]) is None


@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_history_is_caught(name: str) -> None:
    assert check(ILLEGAL[name]) is not None


def test_a_violation_names_the_operation_and_the_possible_values() -> None:
    violation = check(ILLEGAL["a stale read"])

    assert violation is not None
    assert (violation.operation.output, violation.possible) == ("a", ("b",))
    assert "unexplained" in str(violation)


def test_keys_are_judged_alone_and_may_start_with_a_value() -> None:
    other = Operation(2, "get", "other", None, "old", True, 3, 4)

    assert check([put("a", 1, 2), other], initial={"other": "old"}) is None
    assert check([put("a", 1, 2), other]) is not None


def test_a_history_is_recorded_saved_and_loaded(tmp_path: Path) -> None:
    """Operations without an end and those that ended unknown have no return."""
    ticks = iter(range(100))
    history = History(clock=lambda: next(ticks))
    first, second = history.new_client(), history.new_client()

    writing = history.call(first, "put", "k", "a")
    reading = history.call(second, "get", "k")
    history.end(writing, ok=True)
    history.end(reading, ok=True, output="a")
    history.end(history.call(first, "delete", "k"), ok=None)
    history.call(second, "put", "k", "b")
    assert load(history.dump()) == history.operations()
    assert [(o.kind, o.called, o.returned) for o in history.operations()] == [
        ("put", 0, 2), ("get", 1, 3), ("delete", 4, None), ("put", 5, None),
    ]  # fmt: skip


def explained(operations: list[Operation], value: Value = None) -> bool:
    """The oracle: try every order that real time allows, with and without each unknown write."""
    if all(o.is_unknown for o in operations):
        return True
    first_return = min(o.returned for o in operations if o.ok and o.returned is not None)
    for index, operation in enumerate(operations):
        if operation.called > first_return or (operation.is_read and operation.output != value):
            continue
        after = value if operation.is_read else operation.value
        if explained(operations[:index] + operations[index + 1 :], after):
            return True
    return False


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    operations = []
    for _ in range(draw(st.integers(0, 7))):
        kind = draw(st.sampled_from(["put", "put", "get", "get", "delete"]))
        value = draw(st.sampled_from(["a", "b", "c"]))
        called = draw(st.integers(0, 12))
        returned = called + draw(st.integers(0, 6))
        ok = draw(st.sampled_from([True, True, True, True, None, False]))
        output = draw(st.sampled_from([value, value, value, None])) if kind == "get" else None
        written = value if kind == "put" else None
        end = None if ok is None else returned
        operations.append(Operation(1, kind, "k", written, output, ok, called, end))
    return operations


@settings(max_examples=800, deadline=None)
@given(histories())
def test_it_agrees_with_brute_force_on_small_histories(history: list[Operation]) -> None:
    relevant = [o for o in history if o.ok is not False and not (o.is_unknown and o.is_read)]

    assert (check(history) is None) == explained(relevant)


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not TOOLS.exists(), reason="the second checker is not here")
def test_it_agrees_with_a_second_checker_on_random_histories() -> None:
    lincheck, maker = tool("lincheck"), tool("gen_history")
    verdicts = []

    for seed in range(600):
        rng = random.Random(seed)
        records = maker.gen(
            rng,
            n_ops=rng.randint(4, 60),
            clients=rng.randint(1, 8),
            keys=["a", "b"][: rng.randint(1, 2)],
            values=list(range(1, rng.randint(2, 5))),
            p_unknown=rng.choice((0, 0.05, 0.2, 0.4)),
            mix={"get": 5, "put": 4, "delete": rng.choice((0, 1, 3)), "_rep": 0},
            unique=rng.random() < 0.6,
            mutate=rng.choice((0, 0, 1, 1, 2, 4)),
            tie=rng.random() < 0.3,
        )
        lines = [json.dumps(record) for record in records]
        verdict, _, _ = lincheck.check(lincheck.parse(lines)[0])
        ours = check([Operation.from_json(line) for line in lines])
        assert (ours is None) == (verdict == "linearizable"), f"seed {seed}"
        verdicts.append(verdict)

    assert min(verdicts.count("linearizable"), verdicts.count("illegal")) > 100
