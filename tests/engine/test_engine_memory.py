"""Memory does not follow the data: a short form of tests/benchmarks/engine_memory.py."""

from pathlib import Path

from tests.benchmarks.engine_memory import PHASES, measure

FEW, MANY = 5_000, 60_000


def test_twelve_times_the_data_takes_hardly_more_memory(tmp_path: Path) -> None:
    """60,000 pairs are 7 MB, 17 memtables of 1 MiB; memtables, cache and indexes stay below 20 MiB."""
    for phase in PHASES:
        few = measure(phase, str(tmp_path / "few"), FEW)
        many = measure(phase, str(tmp_path / "many"), MANY)

        assert many - few < 20 << 20, phase
