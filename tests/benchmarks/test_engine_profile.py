"""The profile does the work of each row, of any store, and finds out what the calls into C alone cost."""

from itertools import islice
from pathlib import Path

import pytest

from tests.benchmarks.dataset import make_pairs
from tests.benchmarks.engine_profile import Call, Work, find_row, flush_nanoseconds
from tests.benchmarks.engine_rows import GET_ABSENT, ONE_LEVEL_CACHED, WRITE_BATCHES, WRITE_SINGLY, Row


@pytest.mark.parametrize("store", ["ringkv", "plyvel"])
@pytest.mark.parametrize("row", [WRITE_BATCHES, WRITE_SINGLY, GET_ABSENT, ONE_LEVEL_CACHED])
def test_a_pass_does_as_many_operations_as_it_says(tmp_path: Path, row: Row, store: str) -> None:
    if store != "ringkv":
        pytest.importorskip(store)
    work = Work(tmp_path, 300, 100, store)

    for run, operations in islice(work.passes(row), 2):
        run()
        assert operations == 300
    work.close()


def test_a_row_is_found_by_its_name_its_start_or_a_part() -> None:
    assert find_row("get, absent key") is GET_ABSENT
    assert find_row("one level: get, ca") is ONE_LEVEL_CACHED
    with pytest.raises(SystemExit, match="is not one of"):
        find_row("get")


def test_what_a_record_costs_the_worker_is_more_than_nothing(tmp_path: Path) -> None:
    assert flush_nanoseconds(tmp_path, make_pairs(300, 100, seed=1)) > 0


def test_a_call_costs_what_it_is_known_to() -> None:
    assert Call("a call", 1, known=7.0).nanoseconds() == 7.0
