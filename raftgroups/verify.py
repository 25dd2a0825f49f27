"""Reads a whole data directory, and names what is damaged."""

from collections.abc import Iterator, Mapping

import msgspec

from engine import (
    CURRENT,
    DirectoryLock,
    EngineError,
    FileSystem,
    Gap,
    SequenceNumber,
    is_data,
    read_left,
    stored_sequence,
    verify_engine,
)
from raftgroups.acquaintances import read_acquaintances
from raftgroups.directory import IDENTITY, DataDirectory
from raftgroups.durable import read_whole
from raftgroups.errors import DamagedDirectoryError
from raftgroups.ids import Epoch, LogIndex, PartitionId
from raftgroups.journal import align
from raftgroups.nodelog import NO_TERM, Remains, decode_records, missing_numbers, segment_numbers, segment_path
from raftgroups.topology import IDENTITY_FORMAT, Identity, Topology, decode_identity

_NOBODY = Identity(IDENTITY_FORMAT, "", Topology("", Epoch(0), 0, 0, ()))


def verify_node(file_system: FileSystem, path: str) -> list[str]:
    """Read every byte of a node's directory that nobody uses; a line for whatever is damaged.

    What a crash may leave, and the next start removes, is no damage. Raises: LockedError, StorageError.
    """
    lock = file_system.lock(f"{path}/LOCK", shared=True)
    try:
        return list(_problems(file_system, path, lock))
    finally:
        lock.close()


def _problems(file_system: FileSystem, path: str, lock: DirectoryLock) -> Iterator[str]:
    identity = _NOBODY
    try:
        identity = _read_identity(file_system, path)
    except (EngineError, DamagedDirectoryError) as error:
        yield str(error)
    try:
        read_acquaintances(file_system, path)
    except (EngineError, DamagedDirectoryError) as error:
        yield str(error)
    directory = DataDirectory(file_system, path, identity, lock)
    if identity is not _NOBODY:
        for partition in directory.lost(identity.name):
            yield f"{path} has lost its replica of partition {partition}"
    try:
        directory.check_generations()
    except DamagedDirectoryError as error:
        yield str(error)
    yield from _problems_of_data(directory)


def _read_identity(file_system: FileSystem, path: str) -> Identity:
    identity = f"{path}/{IDENTITY}"
    if not file_system.exists(identity):
        raise DamagedDirectoryError(f"{identity} is missing")
    return decode_identity(identity, read_whole(file_system, identity))


def _problems_of_data(directory: DataDirectory) -> Iterator[str]:
    log = NodeLogSurvey(directory.file_system, directory.log_path)
    yield from log.problems
    sequences: dict[PartitionId, SequenceNumber] = {}
    for partition in directory.held():
        yield from _problems_of_replica(directory, partition, sequences)
    if log.is_missing and any(sequences.values()):
        yield f"{directory.log_path} is missing, and with it the votes and the newest entries of every partition"
    if log.is_whole:
        yield from _problems_between(directory, log.remains, sequences)


def _problems_of_replica(
    directory: DataDirectory, partition: PartitionId, sequences: dict[PartitionId, SequenceNumber]
) -> Iterator[str]:
    """Reads the replica in force, and notes up to where its tables go if they are whole."""
    path = directory.replica_path(partition)
    names = directory.file_system.list_directory(path) if directory.file_system.exists(path) else []
    if CURRENT not in names and (directory.has_joined(partition) or not any(map(is_data, names))):
        # It was being made, or removed.
        sequences[partition] = SequenceNumber(0)
        return
    try:
        problems = verify_engine(path, file_system=directory.file_system)
        yield from map(str, problems)
        if not problems:
            sequences[partition] = stored_sequence(path, file_system=directory.file_system)
    except EngineError as error:
        yield str(error)


def _problems_between(
    directory: DataDirectory, log: Mapping[PartitionId, Remains], sequences: Mapping[PartitionId, SequenceNumber]
) -> Iterator[str]:
    """Where a whole log and whole tables do not fit together."""
    held = directory.held()
    for partition, remains in log.items():
        sequence = sequences.get(partition)
        if partition not in held:
            if remains.entries or (remains.start and remains.start[0]):
                yield f"the node log holds entries of partition {partition}, but its replica's directory is gone"
        elif sequence is not None and (sequence or remains.entries or not directory.has_joined(partition)):
            try:
                align(partition, remains, LogIndex(sequence), NO_TERM)
            except DamagedDirectoryError as error:
                yield str(error)


class NodeLogSurvey:
    """What can be read of a node log that nobody uses.

    problems     a line each
    remains      what it holds of each partition, if it is whole
    is_missing   there is none
    """

    def __init__(self, file_system: FileSystem, directory: str) -> None:
        self.problems: list[str] = []
        self.remains: dict[PartitionId, Remains] = {}
        numbers = segment_numbers(file_system, directory) if file_system.exists(directory) else []
        self.is_missing = not numbers
        self.problems += [f"{segment_path(directory, gone)} is missing" for gone in missing_numbers(numbers)]
        for number in numbers:
            path = segment_path(directory, number)
            try:
                self._read(file_system, path, is_newest=number == numbers[-1])
            except EngineError as error:
                self.problems.append(str(error))

    @property
    def is_whole(self) -> bool:
        return not self.problems

    def _read(self, file_system: FileSystem, path: str, *, is_newest: bool) -> None:
        for part in read_left(file_system, path, newest=is_newest):
            if isinstance(part, Gap):
                self.problems.append(f"{path} is damaged at byte {part.start}: {part.reason}")
            else:
                self._replay(path, part.start, part.payload)

    def _replay(self, path: str, at: int, payload: bytes) -> None:
        try:
            for record in decode_records(payload):
                remains = self.remains.setdefault(PartitionId(record.group), Remains())
                if self.is_whole:
                    remains.replay(record)
        except (ValueError, msgspec.DecodeError) as error:
            self.problems.append(f"{path} is damaged at byte {at}: {error}")
