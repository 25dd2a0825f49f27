import random

import pytest

from raftgroups import due
from raftgroups.due import NEVER, Due
from raftgroups.schema import EXPIRY, TOKEN, TOKEN_EXPIRY, due_key
from tests.raftgroups.records import DictRecords


def test_nothing_is_due_where_nothing_is() -> None:
    records = DictRecords()
    records.content = {TOKEN + b"\0" * 9: b"", due_key(TOKEN_EXPIRY, 1, b"a"): b""}

    nothing = Due(records, EXPIRY)

    assert nothing.next_ms == NEVER
    assert nothing.take(NEVER, 10) == []


def test_what_has_expired_is_taken_in_the_order_of_time_and_once() -> None:
    records = DictRecords()
    records.content = {due_key(EXPIRY, ms, b"k%d" % ms): b"" for ms in (5, 3, 9)}
    expiring = Due(records, EXPIRY)

    assert expiring.next_ms == 3
    assert expiring.take(5, 1) == [(3, b"k3")]
    assert expiring.take(5, 9) == [(5, b"k5")]
    assert expiring.take(5, 9) == []
    assert expiring.next_ms == 9


def test_what_is_written_twice_is_taken_once() -> None:
    expiring = Due(DictRecords(), EXPIRY)
    expiring.add(3, b"k")
    expiring.add(3, b"k")

    assert expiring.take(3, 9) == [(3, b"k")]


@pytest.mark.parametrize("seed", range(20))
def test_a_replica_that_was_just_opened_takes_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little is at hand, and whenever more is brought: what is taken follows from the records alone."""
    monkeypatch.setattr(due, "_AT_HAND", 3)
    rng = random.Random(seed)
    records = DictRecords()
    old = Due(records, EXPIRY)
    for clock_ms in range(60):
        new = Due(records, EXPIRY)
        expected = sorted(key for key in records.content if key < due_key(EXPIRY, clock_ms + 1, b""))[:4]
        for expiring in (old, new):
            assert [due_key(EXPIRY, *entry) for entry in expiring.take(clock_ms, 4)] == expected
        added = [(clock_ms + rng.randrange(30), b"%d" % rng.randrange(5)) for _ in range(rng.randrange(8))]
        for entry in added:
            old.add(*entry)
        for key in expected:
            del records.content[key]
        for entry in added:
            records.content[due_key(EXPIRY, *entry)] = b""
        # As when room is made, in the middle of an entry.
        first = old.take(NEVER, 1)
        assert [due_key(EXPIRY, *entry) for entry in first] == sorted(records.content)[:1]
        for entry in first:
            del records.content[due_key(EXPIRY, *entry)]
        old.written()


def test_it_is_not_looked_up_for_each_entry() -> None:
    records = DictRecords()
    records.content = {due_key(EXPIRY, ms, b""): b"" for ms in range(500)}
    expiring = Due(records, EXPIRY)

    for clock_ms in range(500):
        assert expiring.take(clock_ms, 9) == [(clock_ms, b"")]

    assert records.scans <= 2
