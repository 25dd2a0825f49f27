"""What a node's log holds of one replica, for a repair of its engine: entries become the writes they stand for."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from engine import FileSystem, WriteBatch
from raftgroups.applying import Agenda, Effects
from raftgroups.command import Entry, Transaction, decode_entry
from raftgroups.directory import LOG
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.nodelog import Remains
from raftgroups.schema import TOKENS_KEY
from raftgroups.statemachine import write_of
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
    lock = file_system.lock(f"{path}/LOCK", shared=True)
    try:
        log = NodeLogSurvey(file_system, f"{path}/{LOG}")
    finally:
        lock.close()
    logged = LoggedWrites(problems=log.problems)
    remains = log.remains.get(partition, Remains())
    clock_ms = 0
    records = _Logged()
    for index, (term, payload) in enumerate(remains.entries, remains.first):
        try:
            entry = decode_entry(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            logged.problems.append(f"entry {index} of partition {partition}: {error}")
            break
        clock_ms = max(clock_ms, entry.clock_ms)
        left_out = _leave_out(records, LogIndex(index), entry, clock_ms)
        logged.problems += [
            f"entry {index} of partition {partition}, command {number + 1}: left out, as what it did depends on more "
            "than the log"
            for number in left_out
        ]
        batch = _effects(records, LogIndex(index), Term(term), entry, clock_ms).batch
        # How many there are now, the tables must say.
        batch.records.pop(TOKENS_KEY, None)
        records.known.update(batch.records)
        logged.writes.append((index, batch))
    return logged


_NOTHING = Transaction([], [], [])


def _leave_out(records: "_Logged", index: LogIndex, entry: Entry, clock_ms: int) -> list[int]:
    """Replace the commands of an entry whose outcome cannot be told; gives their places."""
    left_out = []
    for place in range(len(entry.commands)):
        if _is_known(records, index, entry, clock_ms):
            break
        if not _is_known(records, index, Entry(entry.clock_ms, entry.commands[: place + 1]), clock_ms):
            entry.commands[place] = _NOTHING
            left_out.append(place)
    return left_out


def _is_known(records: "_Logged", index: LogIndex, entry: Entry, clock_ms: int) -> bool:
    try:
        _effects(records, index, Term(0), entry, clock_ms)
    except _UnknownRecordError:
        return False
    return True


class _UnknownRecordError(Exception):
    """What the record held cannot be told from the log."""


class _Logged:
    """The records that the log has written so far."""

    def __init__(self) -> None:
        self.known: dict[bytes, bytes | None] = {}

    def get(self, key: bytes, *, wait: bool = True) -> bytes | None:  # noqa: ARG002  # as an engine has it
        if key not in self.known:
            raise _UnknownRecordError(key)
        return self.known[key]

    def scan(
        self,
        start: bytes = b"",  # noqa: ARG002  # as an engine has it
        end: bytes | None = None,  # noqa: ARG002
        *,
        limit: int | None = None,  # noqa: ARG002
    ) -> Iterator[tuple[bytes, bytes]]:
        """Nothing: what is due is left to who opens the new store."""
        return iter(())


def _effects(records: _Logged, index: LogIndex, term: Term, entry: Entry, clock_ms: int) -> Effects:
    return write_of(records, Agenda(records, 0), index, term, entry, clock_ms)
