"""Reads a whole data directory, and names what is damaged."""

from engine import CURRENT, CommitLogReader, EngineError, FileSystem, verify_engine
from raftgroups.acquaintances import read_acquaintances
from raftgroups.directory import IDENTITY, LOG
from raftgroups.durable import read_whole
from raftgroups.errors import DamagedDirectoryError
from raftgroups.nodelog import decode_records, segment_numbers, segment_path
from raftgroups.topology import decode_identity


def verify_node(file_system: FileSystem, path: str) -> list[str]:
    """Read every byte of a node's directory that is not in use; a line for whatever is damaged."""
    problems: list[str] = []
    identity = f"{path}/{IDENTITY}"
    try:
        decode_identity(identity, read_whole(file_system, identity))
    except (EngineError, DamagedDirectoryError) as error:
        problems.append(str(error))
    try:
        read_acquaintances(file_system, path)
    except (EngineError, DamagedDirectoryError) as error:
        problems.append(str(error))
    numbers = segment_numbers(file_system, f"{path}/{LOG}")
    for number in numbers:
        segment = segment_path(f"{path}/{LOG}", number)
        log = CommitLogReader(file_system, segment)
        try:
            for payload in log:
                decode_records(payload)
        except (EngineError, ValueError) as error:
            problems.append(f"{segment}: {error}")
        finally:
            log.close()
        if log.damage is not None and not (log.is_torn and number == numbers[-1]):
            problems.append(str(log.damage))
    for name in sorted(file_system.list_directory(path)):
        if name[:1] == "p" and file_system.exists(f"{path}/{name}/{CURRENT}"):
            problems += [str(problem) for problem in verify_engine(f"{path}/{name}", file_system=file_system)]
    return problems
