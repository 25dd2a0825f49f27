"""What a node's log holds of one replica, for a repair of its engine: entries become the writes they stand for."""

from dataclasses import dataclass, field

import msgspec

from engine import FileSystem, WriteBatch
from raftgroups.command import decode_entry
from raftgroups.directory import LOG
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.nodelog import Remains
from raftgroups.statemachine import batch_of
from raftgroups.verify import NodeLogSurvey


@dataclass(slots=True)
class LoggedWrites:
    """The writes of one replica's entries, each under its LogIndex.

    The newest may never have been acknowledged: only a majority could tell.

    problems   why there are not more, a line each
    """

    writes: list[tuple[int, WriteBatch]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def logged_writes(file_system: FileSystem, path: str, partition: PartitionId) -> LoggedWrites:
    """Read the log of a node that does not run. Raises: LockedError, StorageError."""
    lock = file_system.lock(f"{path}/LOCK")
    try:
        log = NodeLogSurvey(file_system, f"{path}/{LOG}")
    finally:
        lock.close()
    logged = LoggedWrites(problems=log.problems)
    remains = log.remains.get(partition, Remains())
    clock_ms = 0
    for index, (term, payload) in enumerate(remains.entries, remains.first):
        try:
            entry = decode_entry(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            logged.problems.append(f"entry {index} of partition {partition}: {error}")
            break
        clock_ms = max(clock_ms, entry.clock_ms)
        batch, _ = batch_of(LogIndex(index), Term(term), entry, clock_ms)
        logged.writes.append((index, batch))
    return logged
