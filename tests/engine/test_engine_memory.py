"""Memory keeps within its budget: a short form of tests/benchmarks/engine_memory.py."""

from pathlib import Path

import pytest

from tests.benchmarks.engine_memory import PHASES, Run, measure

MIB = 1 << 20


@pytest.mark.parametrize(("budget_bytes", "has_worker"), [(32 * MIB, False), (64 * MIB, True)])
def test_more_data_than_fits_takes_no_more_memory_than_the_budget(
    tmp_path: Path, budget_bytes: int, has_worker: bool
) -> None:
    """30 MB; caches and memtables share 20 MiB without a worker process, and 24 MiB beside one."""
    run = Run(str(tmp_path / "db"), budget_bytes, 30_000, 1000)
    workers = 0
    for phase in PHASES:
        added, worker = measure(phase, run, quiet=True)
        workers += worker > 0

        assert added + worker <= budget_bytes, phase

    assert (workers > 0) is has_worker
