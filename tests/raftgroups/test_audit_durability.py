"""What a disk is asked for: by PySyncObj as shipped nothing, by ours all before it promises; audit.py has the list.

The journal that a kill empties, R6, stands in test_stock_defects.py.
"""

import os
from pathlib import Path

import pytest
from pysyncobj.journal import FileJournal, ResizableFile

from raftgroups.ids import LogIndex
from raftgroups.messages import Append
from tests.raftgroups.stock import JOURNAL_WARNS, StockMaker
from tests.raftgroups.wire import GROUP, Wire

# D1, D2: what was acknowledged, and the vote, are in memory.


@JOURNAL_WARNS
def test_d1_d2_stock_syncs_neither_entries_nor_votes(
    make_stock: StockMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours lets nothing leave before it is on disk (test_consensus.py, test_transport.py)."""
    synced: list[object] = []
    for name in ("fsync", "fdatasync", "sync"):
        monkeypatch.setattr(os, name, lambda *which: synced.append(which))
    monkeypatch.setattr(ResizableFile, "flush", synced.append)
    stock = make_stock("")
    for name in "abc":
        stock.start(name, "abc".replace(name, ""), journalFile=str(tmp_path / name))
    for a, b in ("ab", "ac", "bc"):
        stock.link(a, b)
    stock.lead("a", "bc")
    stock.put("a", "x")
    stock.settle("a", "bc")

    assert stock.acknowledged == {"x"}
    assert (tmp_path / "b.meta").exists(), "the vote was written"
    assert synced == []


# D3: a compaction that is killed has thrown away what it was to keep.


class Killed(BaseException):
    """kill -9, as far as a test can."""


@JOURNAL_WARNS
def test_d3_stock_loses_entries_when_it_is_killed_in_a_compaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours drops whole segments, when all in them is flushed elsewhere (test_nodelog.py)."""
    path = str(tmp_path / "journal")
    journal = FileJournal(path)
    for index in range(1, 101):
        journal.add(b"x", index, 1)
    add = journal.add
    added: list[object] = []

    def add_until_killed(*entry: object) -> None:
        if len(added) == 7:
            raise Killed
        added.append(entry)
        add(*entry)

    monkeypatch.setattr(journal, "add", add_until_killed)
    with pytest.raises(Killed):
        journal.deleteEntriesTo(50)
    journal._destroy()
    found = FileJournal(path)

    assert [index for _, index, _ in found[:]] == list(range(51, 58)), "58 to 100 were to be kept"
    found._destroy()


# D4: cutting off what conflicts, and writing what replaces it, are two steps.


@pytest.mark.parametrize("entries", [[(1, b"x"), (1, b"y"), (1, b"z")], [(1, b"x")], []])
def test_d4_ours_writes_nothing_for_entries_that_it_has(entries: list[tuple[int, bytes]]) -> None:
    """What matches stays where it is on the disk, so no kill can come in between."""
    wire = Wire("abc")
    wire.elect("a")
    wire.run(0.2)
    for _, payload in [(1, b"x"), (1, b"y"), (1, b"z")]:
        wire["a"].propose(payload)
    wire.run(0.2)
    node = wire["b"]
    before = node.entries

    node.receive("a", Append(GROUP, 1, 1, 1, entries, 4, 99))

    assert node.entries == before
    assert not node.node_log.has_gathered


def test_d4_ours_replaces_a_conflicting_suffix_in_one_record() -> None:
    """A crash before its sync leaves the old suffix, one after it the new one, and no shorter log."""
    wire = Wire("abc")
    wire.elect("a")
    wire.run(0.2)
    wire.cut("a")
    for number in range(3):
        wire["a"].propose(b"old%d" % number)
    wire["a"].sync()
    wire.elect_by("b", "c")
    wire["b"].propose(b"new")
    wire.settle()
    entries = [wire["b"].log.entry_at(LogIndex(index)) for index in (2, 3)]
    disk = wire["a"].disk
    writes = disk.changes

    wire["a"].receive("b", Append(GROUP, 2, 1, 1, entries, 3, 1))
    wire["a"].sync()

    assert wire["a"].log.last_index == 3
    assert disk.changes == writes + 2, "one write, one sync"
