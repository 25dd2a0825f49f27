"""What of an entry can be told again, and that every replica says the same."""

import random

import pytest

from engine import WriteBatch
from raftgroups import history as module
from raftgroups.change import Change
from raftgroups.command import Delete, Put, Touch, encode_command, encode_entry
from raftgroups.history import History
from raftgroups.ids import LogIndex, revision_of
from raftgroups.item import Item
from raftgroups.schema import CHANGES
from tests.raftgroups.records import DictRecords

NOTHING = encode_entry(1, [])


def change(index: int, value: bytes = b"v") -> Change:
    revision = revision_of(LogIndex(index), 0)
    return Change(revision, b"k%d" % index, Item(revision, value))


def keep(records: DictRecords, history: History, index: int, value: bytes = b"v") -> None:
    batch = WriteBatch()
    history.keep(batch, LogIndex(index), [change(index, value)])
    records.write(batch)


def test_plain_entries_tell_their_changes_themselves() -> None:
    payload = encode_entry(1, [encode_command(command) for command in (Put(b"a", b"1", "text/a"), Delete(b"b"))])

    put, delete = History(DictRecords()).changes_at(LogIndex(7), payload)

    first, second = (revision_of(LogIndex(7), place) for place in (0, 1))
    assert put == Change(first, b"a", Item(first, b"1", "text/a"))
    assert delete == Change(second, b"b", None)


def test_other_commands_of_which_nothing_is_kept_changed_nothing() -> None:
    payload = encode_entry(1, [encode_command(Touch(b"absent", 1))])

    assert list(History(DictRecords()).changes_at(LogIndex(7), payload)) == []


def test_what_is_kept_counts_instead_of_the_commands() -> None:
    """A put in an entry that also let a key expire has another revision than its place says."""
    records = DictRecords()
    history = History(records)
    keep(records, history, 7)

    assert list(history.changes_at(LogIndex(7), encode_entry(1, [encode_command(Put(b"x", b""))]))) == [change(7)]
    assert list(History(records).changes_at(LogIndex(7), NOTHING)) == [change(7)]


def test_the_oldest_goes_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HISTORY_BYTES_MAX", 600)
    records = DictRecords()
    history = History(records)
    for index in range(1, 30):
        keep(records, history, index)

    kept = [key for key in records.content if key[:1] == CHANGES]
    assert 1 <= len(kept) <= 4
    assert history.horizon == 29 - len(kept)
    assert [history.knows(index) for index in (history.horizon, history.horizon + 1)] == [False, True]


def test_changes_that_are_too_many_are_told_only_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They end what went before, too; what comes after them is kept again."""
    monkeypatch.setattr(module, "HISTORY_BYTES_MAX", 600)
    records = DictRecords()
    history = History(records)
    keep(records, history, 1)
    keep(records, history, 2, b"v" * 601)

    assert not history.knows(1)
    assert history.knows(2)
    assert list(history.changes_at(LogIndex(2), NOTHING)) == [change(2, b"v" * 601)]
    assert [key for key in records.content if key[:1] == CHANGES] == []
    keep(records, history, 3)
    assert list(history.changes_at(LogIndex(3), NOTHING)) == [change(3)]
    assert not history.knows(2)
    assert not History(records).knows(2)


@pytest.mark.parametrize("seed", range(10))
def test_a_replica_that_was_just_opened_keeps_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HISTORY_BYTES_MAX", 1_500)
    rng = random.Random(seed)
    records, others = DictRecords(), DictRecords()
    old = History(records)
    for index in range(1, 80):
        if rng.random() < 0.7:
            value = b"v" * rng.choice((0, 10, 300, 1_600))
            keep(records, old, index, value)
            keep(others, History(others), index, value)
        assert records.content == others.content
        assert History(others).horizon == old.horizon
