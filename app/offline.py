"""What is done to the files of stopped nodes and stores: `ringkv verify`."""

import re
from collections.abc import Iterator
from pathlib import Path

from app.supervisor import SupervisorError, read_plan
from engine import EngineError, LockedError, OsFileSystem, verify_engine
from raftgroups import verify_node

_OF_ENGINE = re.compile(r"CURRENT|MANIFEST-\d+|\d+\.(?:sst|log)")
_OF_NODE = re.compile(r"identity|acquaintances|p\d{4}-\d+|p\d{4}\.joined")


class OfflineError(Exception):
    """The files cannot be looked at; the text says why in one line."""


def verify_directory(directory: Path) -> list[str]:
    """What is wrong in a node's directory, in every node's of a cluster made by `ringkv up`, or in an engine's.

    Raises: OfflineError.
    """
    try:
        names = [path.name for path in directory.iterdir()]
        if "cluster.json" in names:
            return list(_problems_of_cluster(directory))
        if _is_node(directory):
            return verify_node(OsFileSystem(), str(directory))
        if any(map(_OF_ENGINE.fullmatch, names)):
            return [str(damage) for damage in verify_engine(str(directory))]
    except LockedError as error:
        raise OfflineError(f"{error}: stop its node first") from error
    except EngineError as error:
        raise OfflineError(str(error)) from error
    except OSError as error:
        raise OfflineError(f"{directory}: {error.strerror}") from error
    raise OfflineError(f"{directory} is no data directory of ringkv")


def _problems_of_cluster(directory: Path) -> Iterator[str]:
    try:
        plan = read_plan(directory / "cluster.json")
        nodes = [directory / member.name for member in plan.members] if plan else []
    except SupervisorError as error:
        yield str(error)
        nodes = sorted(path for path in directory.iterdir() if path.is_dir() and _is_node(path))
    for node in nodes:
        if node.is_dir():
            yield from verify_node(OsFileSystem(), str(node))
        else:
            yield f"{node} is missing"


def _is_node(directory: Path) -> bool:
    return any(_OF_NODE.fullmatch(path.name) for path in directory.iterdir())
