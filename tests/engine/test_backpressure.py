"""Writers are slowed down to what compaction was seen to do, and stopped only when that does not suffice."""

import pytest

from engine import Options
from engine.backpressure import Backpressure
from engine.compaction import debt_bytes
from engine.version import Table, Version, VersionEdit
from tests.engine.test_pace import Time

MIB = 1 << 20
OPTIONS = Options(
    memtable_bytes_max=MIB, level0_tables_compact=4, level0_tables_max=12, level1_bytes_max=4 * MIB,
    level_bytes_ratio=10, debt_bytes_max=100 * MIB,
)  # fmt: skip


def version(level0: int, *deeper: int) -> Version:
    """So many tables of a MiB in level 0, and so many MiB in the levels below it."""
    added = [(0, Table(number, MIB, b"a", b"z", 1, 0)) for number in range(1, level0 + 1)]
    added += [(level, Table(100 + level, size * MIB, b"a", b"z", 1, 0)) for level, size in enumerate(deeper, 1) if size]
    return Version().apply(VersionEdit(added=tuple(added)))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pressed(time: Time) -> Backpressure:
    """Compaction has just been seen to take 4 memtables in 2 seconds."""
    backpressure = Backpressure(OPTIONS, time.read, time.sleep)
    backpressure.changed(version(4))
    time.now += 2
    backpressure.changed(version(0))
    return backpressure


@pytest.mark.parametrize(
    ("there", "debt"),
    [
        (version(0), 0),
        (version(3, 4), 0),
        (version(4, 4), 4),
        (version(4, 5), 4 + 1),
        (version(0, 7, 45), 3 + 5),
        (version(0, 0, 0, 0, 0, 0, 50_000), 0),
    ],
)
def test_debt_is_what_levels_hold_beyond_their_limits(there: Version, debt: int) -> None:
    """The last level has none, and level 0 counts once it is due."""
    assert debt_bytes(there, OPTIONS) == debt * MIB


@pytest.mark.parametrize(
    ("sealed", "level0", "reason"),
    [
        (0, 0, ""),
        (1, 11, ""),
        (2, 0, "2 memtables wait for their flush"),
        (0, 12, "level 0 has 12 tables"),
    ],
)
def test_writes_stop_for_a_reason(pressed: Backpressure, sealed: int, level0: int, reason: str) -> None:
    assert pressed.stall_reason(sealed, level0) == reason


@pytest.mark.parametrize(
    ("there", "pressure"),
    [
        (version(8), 0),
        (version(9), 0.25),
        (version(10), 0.5),
        (version(12), 1),
        (version(15), 1),
        (version(0, 54), 0),
        (version(0, 79), 0.5),
        (version(0, 104), 1),
        (version(9, 70), 0.5),
    ],
)
def test_pressure_rises_from_halfway_to_the_stop(pressed: Backpressure, there: Version, pressure: float) -> None:
    """Of level 0 and of the debt, of which level 0 is a part, the worse counts."""
    pressed.changed(there)

    assert pressed.pressure == pytest.approx(pressure)
    assert pressed.is_slowing == (pressure > 0)


def test_too_much_debt_stops_writes(pressed: Backpressure) -> None:
    pressed.changed(version(0, 103))
    before = pressed.stall_reason(0, 0)
    pressed.changed(version(0, 104))

    assert (before, pressed.stall_reason(0, 0)) == ("", f"compaction is {100 * MIB} bytes behind")


def rate(backpressure: Backpressure, time: Time) -> float:
    """In memtables a second, of a writer that takes no time of its own."""
    began = time.now
    for _ in range(1000):
        backpressure.slow_down(MIB // 100)
    return 10 / (time.now - began)


@pytest.mark.parametrize(("level0", "share"), [(9, 1.5), (10, 1), (11, 0.5), (12, 1 / 8)])
def test_writes_are_held_back_to_what_compaction_does(
    pressed: Backpressure, time: Time, level0: int, share: float
) -> None:
    """Halfway to the stop just to that; nobody has to stop who is slow enough."""
    pressed.changed(version(level0))

    assert rate(pressed, time) == pytest.approx(2 * share, rel=0.05)
    assert pressed.slowdowns > 0
    assert pressed.slowed_seconds == pytest.approx(time.now - 102)


def test_writes_that_are_slow_enough_are_not_held_back(pressed: Backpressure, time: Time) -> None:
    pressed.changed(version(10))
    for _ in range(100):
        time.now += 0.01
        pressed.slow_down(MIB // 100)

    assert (pressed.slowdowns, time.waits) == (0, [])


def test_a_write_is_not_held_back_for_long(pressed: Backpressure, time: Time) -> None:
    pressed.changed(version(12))

    pressed.slow_down(100 * MIB)

    assert time.waits == [1]


def test_what_was_owed_is_forgotten_when_the_pressure_is_gone(pressed: Backpressure, time: Time) -> None:
    pressed.changed(version(12))
    pressed.slow_down(100 * MIB)
    pressed.changed(version(0))
    pressed.changed(version(9))

    pressed.slow_down(1)

    assert len(time.waits) == 1


def test_nobody_is_held_back_before_anything_was_measured(time: Time) -> None:
    backpressure = Backpressure(OPTIONS, time.read, time.sleep)
    backpressure.changed(version(11))

    assert (backpressure.pressure, backpressure.is_slowing) == (0.75, False)


def test_a_rest_does_not_count_as_slow_compaction(pressed: Backpressure, time: Time) -> None:
    """Four memtables took it two seconds once more, after an hour without work."""
    time.now += 3600
    pressed.changed(version(3))
    pressed.changed(version(4))
    time.now += 2
    pressed.changed(version(0))
    pressed.changed(version(10))

    assert rate(pressed, time) == pytest.approx(2, rel=0.05)


def test_a_debt_that_was_there_before_does_not_stop_writes(time: Time) -> None:
    """A store that is opened with other options may have one, and so does one that took in many tables."""
    backpressure = Backpressure(OPTIONS, time.read, time.sleep)
    backpressure.changed(version(0, 1004), by_writes=False)
    opened = backpressure.pressure, backpressure.stall_reason(0, 0)
    backpressure.changed(version(0, 504))
    lower = backpressure.pressure, backpressure.stall_reason(0, 0)
    backpressure.changed(version(0, 524))
    grown = backpressure.pressure, backpressure.stall_reason(0, 0)
    backpressure.changed(version(0, 529))

    assert (opened, lower) == ((0, ""), (0, ""))
    assert grown[0] == pytest.approx(0.8)
    assert (grown[1], bool(backpressure.stall_reason(0, 0))) == ("", True)


def test_a_stop_is_counted_and_timed(pressed: Backpressure, time: Time) -> None:
    def wait() -> bool:
        time.now += 3
        return False

    assert not pressed.stop(wait)
    assert (pressed.stalls, pressed.stalled_seconds) == (1, 3)
