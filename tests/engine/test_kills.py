"""Twenty real processes, really killed; `make crash-kill` kills two hundred."""

from collections import Counter
from pathlib import Path

import pytest

from engine import Engine
from tests.engine.kills import KILLS_PER_STORE, SIZES, THREADS, Found, batch_of, campaign, check, pairs_of


@pytest.mark.parametrize("kills", [range(KILLS_PER_STORE), range(KILLS_PER_STORE, 2 * KILLS_PER_STORE)])
def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path, kills: range) -> None:
    found = [found for _, found in campaign(kills, 1, str(tmp_path))]

    assert len(found) == len(kills)
    assert found[-1].sequence > 100
    assert found[-1].ingests > 0


@pytest.mark.parametrize("value_bytes", SIZES)
def test_what_is_lost_or_there_in_part_is_noticed(tmp_path: Path, value_bytes: int) -> None:
    nothing = Found((0,) * THREADS, 0, 0)
    directory = str(tmp_path / "db")
    engine = Engine.open(directory, SIZES[value_bytes])
    for number in range(1, 100):
        engine.write(batch_of(1, number, value_bytes), sync=False)
    engine.ingest(pairs_of(1))
    engine.close()

    assert check(directory, value_bytes, nothing, Counter({"1": 98})) == Found((0, 99, 0), 1, 99)
    for who in ("0", "1", "ingest"):
        with pytest.raises(AssertionError, match="acknowledged"):
            check(directory, value_bytes, nothing, Counter({"1": 99, who: 100}))
    engine = Engine.open(directory, SIZES[value_bytes])
    batch = batch_of(1, 100, value_bytes)
    del batch.records[b"1 copy 3"]
    engine.write(batch)
    engine.close()
    with pytest.raises(AssertionError, match="in part"):
        check(directory, value_bytes, nothing, Counter())
