"""What is done to the files of stopped nodes and stores: `ringkv verify`, `repair`, `inspect`."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from app.supervisor import SupervisorError, read_plan
from engine import (
    EngineError,
    LockedError,
    Loss,
    OsFileSystem,
    ReadableFile,
    Repair,
    inspect_file,
    repair_engine,
    verify_engine,
)
from raftgroups import LoggedWrites, PartitionId, describe_records, logged_writes, verify_node

_OF_ENGINE = re.compile(r"CURRENT|MANIFEST-\d+|\d+\.(?:sst|log)")
_OF_NODE = re.compile(r"identity|acquaintances|p\d{4}-\d+|p\d{4}\.joined")
_REPLICA = re.compile(r"p\d{4}-\d{4}")


class OfflineError(Exception):
    """The files cannot be looked at; the text says why in one line."""


class ToldFileSystem(OsFileSystem):
    """A disk that tells of each file, when it is opened to be read for the first time, how many bytes it has."""

    def __init__(self, tell: Callable[[int], object]) -> None:
        super().__init__()
        self._tell = tell
        self._told: set[str] = set()

    def open_read(self, path: str) -> ReadableFile:
        if path not in self._told:
            self._told.add(path)
            self._tell(self.size(path))
        return super().open_read(path)


def bytes_below(directory: Path) -> int:
    """How many bytes there are to be read. Raises: OfflineError."""
    try:
        return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    except OSError as error:
        raise OfflineError(f"{directory}: {error.strerror}") from error


def verify_directory(directory: Path, tell: Callable[[int], object] | None = None) -> list[str]:
    """What is wrong in a node's directory, in every node's of a cluster made by `ringkv up`, or in an engine's.

    tell   is given the size of each file that is about to be read

    Raises: OfflineError.
    """
    disk = OsFileSystem() if tell is None else ToldFileSystem(tell)
    try:
        names = [path.name for path in directory.iterdir()]
        if "cluster.json" in names:
            return list(_problems_of_cluster(directory, disk))
        if _is_node(directory):
            return verify_node(disk, str(directory))
        if any(map(_OF_ENGINE.fullmatch, names)):
            return [str(damage) for damage in verify_engine(str(directory), file_system=disk)]
    except LockedError as error:
        raise OfflineError(f"{error}: stop its node first") from error
    except EngineError as error:
        raise OfflineError(str(error)) from error
    except OSError as error:
        raise OfflineError(f"{directory}: {error.strerror}") from error
    raise OfflineError(f"{directory} is no data directory of ringkv")


def _problems_of_cluster(directory: Path, disk: OsFileSystem) -> Iterator[str]:
    try:
        plan = read_plan(directory / "cluster.json")
        nodes = [directory / member.name for member in plan.members] if plan else []
    except SupervisorError as error:
        yield str(error)
        nodes = sorted(path for path in directory.iterdir() if path.is_dir() and _is_node(path))
    for node in nodes:
        if node.is_dir():
            yield from verify_node(disk, str(node))
        else:
            yield f"{node} is missing"


def repair_directory(
    directory: Path, new: Path, *, keep_doubtful: bool, tell_doubtful: Callable[[bytes], object]
) -> Repair:
    """Make a new store of what is whole of one, or of one replica of a node.

    Raises: OfflineError, for a whole node's directory too: its other replicas, elsewhere, have what it lacks.
    """
    is_cluster = (directory / "cluster.json").exists()
    if is_cluster or _is_node(directory):
        replica = directory / ("n1" if is_cluster else "") / "p0000-0001"
        raise OfflineError(
            f"{directory} is a node's, and a replica that lacks records must not answer for them: have other nodes "
            f"hold its partitions, and then this one again (`ringkv replicas`); to save the records of one replica "
            f"into a store of its own, repair its directory, such as {replica}"
        )
    if new.resolve().is_relative_to(directory.resolve()):
        raise OfflineError(f"{new} is inside of {directory}, which is not changed")
    try:
        logged = _logged(directory) if is_replica(directory) else None
        repair = repair_engine(
            str(directory),
            str(new),
            keep_doubtful=keep_doubtful,
            tell_doubtful=tell_doubtful,
            later=logged.writes if logged else None,
        )
    except LockedError as error:
        raise OfflineError(f"{error}: stop its node first") from error
    except EngineError as error:
        raise OfflineError(str(error)) from error
    if logged and logged.problems:
        following = logged.writes[-1][0] + 1 if logged.writes else 1
        repair.losses.append(Loss(str(directory.parent), 0, 0, "; ".join(logged.problems), writes=(following, 0)))
    return repair


def _logged(directory: Path) -> LoggedWrites:
    """What the node of a replica has in its log for it, if the log is where it belongs."""
    place = directory.resolve()
    if not (place.parent / "log").is_dir():
        return LoggedWrites(problems=["the log of its node, which has its newest writes, is not beside it"])
    return logged_writes(OsFileSystem(), str(place.parent), PartitionId(int(place.name[1:5])))


def inspect_lines(file: Path, *, keys: bool, values: bool, limit: int | None) -> Iterator[str]:
    """What is in a file of an engine, or in a segment of a node log. Raises: OfflineError."""
    try:
        yield from inspect_file(str(file), keys=keys, values=values, limit=limit, describe=describe_records)
    except EngineError as error:
        raise OfflineError(str(error)) from error


def is_replica(directory: Path) -> bool:
    """Whether a store is one of a node's replicas."""
    return _REPLICA.fullmatch(directory.resolve().name) is not None


def _is_node(directory: Path) -> bool:
    return any(_OF_NODE.fullmatch(path.name) for path in directory.iterdir())
