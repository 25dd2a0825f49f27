"""Options are checked when they are made."""

from typing import Any

import pytest

from engine import InvalidOptionError, Options


@pytest.mark.parametrize(
    "wrong",
    [
        {"memtable_bytes_max": 0},
        {"block_bytes": 1 << 20},
        {"level_bytes_ratio": 1},
        {"stall_seconds_max": -1},
        {"debt_bytes_max": 100},
        {"compaction_bytes_per_second": -1},
        {"zstd_from_level": 8},
        {"zstd_compression_level": 20},
        {"dictionary_bytes": 100},
        {"level0_tables_compact": 8, "level0_tables_max": 4},
    ],
)
def test_an_option_out_of_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=next(iter(wrong))):
        Options(**wrong)


def test_the_defaults_are_within_bounds() -> None:
    assert Options().own_log


def test_sizes_that_are_not_given_follow_the_memtable() -> None:
    small = Options(memtable_bytes_max=1 << 20)

    assert (small.level1_bytes_max, small.table_bytes_max, small.debt_bytes_max) == (4 << 20, 1 << 20, 64 << 20)
    assert Options(memtable_bytes_max=64 << 20).table_bytes_max == 8 << 20
