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


@pytest.mark.parametrize(("mib", "fixed_mib"), [(32, 12), (63, 12), (64, 40), (256, 40), (4096, 40), (100_000, 40)])
def test_one_number_decides_how_memory_is_shared_out(mib: int, fixed_mib: int) -> None:
    options = Options.for_memory(mib << 20)

    left = (mib - fixed_mib) << 20
    memtables = 4 * options.memtable_bytes_max
    assert memtables == 4 * min(left // 16, 64 << 20)
    assert options.sealed_memtables_max == 2, "and one active, and one on its way to the worker"
    assert options.row_cache_bytes_max == left // 8
    assert options.cache_bytes_max >= left // 2 - 4
    assert memtables + options.row_cache_bytes_max + options.cache_bytes_max <= left * 7 / 8
    assert options.cache_indexes
    assert options.worker_process is (mib >= 64)
    assert options.level1_bytes_max == 4 * options.memtable_bytes_max


def test_other_options_may_be_given_besides_the_memory() -> None:
    options = Options.for_memory(64 << 20, own_log=False, row_cache_bytes_max=0)

    assert not options.own_log
    assert options.row_cache_bytes_max == 0
    assert options.memtable_bytes_max == (24 << 20) // 16


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="memory_bytes is at least 33554432, not 1000"):
        Options.for_memory(1000)
