"""Recovery: what an engine with its own log does when it is opened."""

from engine.files import FileSystem
from engine.ownlog import OwnLog, log_numbers, replay
from engine.store import Store
from engine.tree import Tree
from engine.version import VersionEdit


def recover(
    file_system: FileSystem, directory: str, store: Store, tree: Tree, memtable_bytes_max: int
) -> tuple[OwnLog, int]:
    """Bring back what no table holds: the log to go on with, and how many bytes of keys and values that was.

    Raises: CorruptionError, StorageError.
    """
    if not store.version.oldest_log:
        return _first_log(file_system, directory, store), 0
    replayed_bytes = recover_to_read(file_system, directory, store, tree, memtable_bytes_max, read_only=False)
    return OwnLog(file_system, directory, log_numbers(file_system, directory)[-1]), replayed_bytes


def recover_to_read(
    file_system: FileSystem,
    directory: str,
    store: Store,
    tree: Tree,
    memtable_bytes_max: int,
    *,
    read_only: bool = True,
) -> int:
    """The same of a store that has a log, whatever is done with that afterwards: how many bytes it was."""
    replayed_bytes = 0
    active, version = tree.view.active, store.version
    for number, sequence, batch in replay(
        file_system, directory, version.oldest_log, version.flushed_sequence, read_only=read_only
    ):
        if active.byte_size >= memtable_bytes_max:
            tree.seal(number)
        active = tree.apply(batch, sequence)
        replayed_bytes += batch.byte_size
    return replayed_bytes


def _first_log(file_system: FileSystem, directory: str, store: Store) -> OwnLog:
    number = store.next_number()
    log = OwnLog(file_system, directory, number)
    # From now on the store is known to have this log: without it, it will not open.
    try:
        store.install(VersionEdit(oldest_log=number))
    except BaseException:
        log.close()
        raise
    return log
