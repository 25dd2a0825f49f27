"""Recovery: a new store gets its first log, and an old one what its logs alone have."""

from engine import BlockCache, MemoryFileSystem, SequenceNumber
from engine.memtable import Memtable
from engine.recovery import recover
from engine.store import Store
from engine.tree import Tree
from engine.view import Levels
from tests.engine.small import batch, open_engine


def opened(disk: MemoryFileSystem) -> tuple[Store, Tree]:
    store = Store(disk, "/db", BlockCache(1 << 20), 1 << 20)
    version, readers = store.tables
    return store, Tree(Memtable(version.flushed_sequence), Levels(version, readers))


def test_a_new_store_is_known_to_have_its_first_log() -> None:
    disk = MemoryFileSystem()
    store, tree = opened(disk)

    log, replayed_bytes = recover(disk, "/db", store, tree, memtable_bytes_max=4096)

    assert (store.version.oldest_log > 0, replayed_bytes, log.byte_size) == (True, 0, 0)
    assert tree.view.active.is_untouched
    log.close()
    store.close()


def test_what_no_table_has_comes_back_in_memtables_within_their_bound() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    engine.write(batch((b"flushed", b"1")))
    engine.flush()
    for number in range(10):
        engine.write(batch((b"%d" % number, b"v" * 100)))
    engine.close()
    store, tree = opened(disk)

    log, replayed_bytes = recover(disk, "/db", store, tree, memtable_bytes_max=500)

    view = tree.view
    assert replayed_bytes == 10 * 101
    assert view.active.sequence == SequenceNumber(11)
    assert len(view.sealed) > 1
    assert {key for memtable in (view.active, *view.sealed) for key in memtable.records} == {
        b"%d" % number for number in range(10)
    }
    log.close()
    store.close()
