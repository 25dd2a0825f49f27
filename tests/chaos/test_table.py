"""What a table says of a fault, counted by hand."""

import pytest

from tests.chaos.handmade import fault, record, seen
from tests.chaos.table import line_of, outcomes, table


def test_availability_is_the_share_that_succeeds_within_a_second() -> None:
    cut = fault("n1", "n2 n3")
    operations = [seen("n2", 12), seen("n2", 12, seconds=1.5), seen("n3", 13, ok=False), seen("n1", 14, ok=False)]

    line = line_of(record(*operations, faults=(cut,)), cut)

    assert (line.operations, line.availability, line.healthy) == (4, 0.25, 1 / 3)
    assert line.first == pytest.approx(2.01)
    assert (line.whole, line.recovered) == (None, 1.0)


def test_faults_of_one_name_share_a_line() -> None:
    """Their operations are added up; of the times, the worst counts."""
    cut = fault("n1", "n2 n3")
    other = fault("n1 n2", "n3")
    other.recovered += 10**9

    (_, line) = table(record(seen("n2", 12), seen("n1", 14, ok=False), faults=(cut, other)))

    assert line.split() == ["F", "x2", "20.0", "4", "50.0%", "50.0%", "2.01", "-", "2.00"]


def test_outcomes_are_counted() -> None:
    three = record(seen("n1", 1), seen("n1", 2, ok=False), seen("n1", 3, ok=None))

    assert outcomes(three) == "3 operations: 1 ok, 1 refused, 1 unknown"
