"""The table compares with the better peer, and says of each row what was to be reached."""

import pytest

from tests.benchmarks.engine import format_table, medians, ratio, verdict
from tests.benchmarks.engine_rows import GET_ABSENT, GET_ROW, ROWS, SIZE, WRITE_BATCHES, Row

RATES = {
    "ringkv": {WRITE_BATCHES.name: 600.0, SIZE.name: 90.0},
    "rocksdict": {WRITE_BATCHES.name: 150.0, SIZE.name: 100.0},
    "plyvel": {WRITE_BATCHES.name: 200.0, SIZE.name: 80.0},
    "lmdb": {WRITE_BATCHES.name: 999.0, SIZE.name: 10.0},
}


def test_the_ratio_is_that_to_the_better_of_two() -> None:
    assert ratio(WRITE_BATCHES, RATES) == 3.0
    assert ratio(SIZE, RATES) == 90 / 80


def test_there_is_no_ratio_where_nothing_is_to_be_compared() -> None:
    assert ratio(GET_ROW, RATES) is None
    assert ratio(WRITE_BATCHES, {"ringkv": RATES["ringkv"], "lmdb": RATES["lmdb"]}) is None
    assert ratio(WRITE_BATCHES, {"plyvel": RATES["plyvel"]}) is None


@pytest.mark.parametrize(
    ("row", "reached", "said"),
    [
        (WRITE_BATCHES, 3.0, "≥ 3.0 met"),
        (WRITE_BATCHES, 2.99, "≥ 3.0 MISSED"),
        (SIZE, 1.1, "≤ 1.1 met"),
        (SIZE, 1.11, "≤ 1.1 MISSED"),
        (GET_ABSENT, None, ""),
        (GET_ROW, 9.0, ""),
    ],
)
def test_a_target_is_met_or_missed(row: Row, reached: float | None, said: str) -> None:
    assert verdict(row, reached) == said


def test_every_row_is_in_the_table_and_what_was_not_measured_is_left_out() -> None:
    rates = {name: dict.fromkeys((row.name for row in ROWS), 1.0) | values for name, values in RATES.items()}
    del rates["plyvel"][GET_ROW.name]

    lines = format_table(rates).splitlines()

    assert len(lines) == 2 + len(ROWS)
    assert lines[2] == "| write, batches of 100 | 600 | 150 | 200 | 999 | 3.00 | ≥ 3.0 met |"
    assert f"| {GET_ROW.name} | 1 | 1 |  | 1 | 1.00 |  |" in lines


def test_of_several_rounds_the_median_counts() -> None:
    assert medians([{"a": 1.0}, {"a": 9.0}, {"a": 2.0}]) == {"a": 2.0}
