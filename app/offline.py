"""`ringkv verify`: reads every byte of a stopped node's data and says what is damaged."""

from pathlib import Path

from engine import EngineError, LockedError, OsFileSystem, verify_engine
from raftgroups import verify_node


class VerifyError(Exception):
    """The directory cannot be looked at; the text says why in one line."""


def verify_directory(directory: Path) -> list[str]:
    """What is wrong in a node's directory, in every node's of a cluster made by `ringkv up`, or in an engine's.

    Raises: VerifyError.
    """
    try:
        if (directory / "cluster.json").exists():
            nodes = sorted(path for path in directory.iterdir() if (path / "identity").exists())
            return [problem for node in nodes for problem in _verify_node(node)]
        if (directory / "identity").exists():
            return _verify_node(directory)
        if (directory / "CURRENT").exists():
            return [str(damage) for damage in verify_engine(str(directory))]
    except LockedError as error:
        raise VerifyError(f"{error}: stop its node first") from error
    except EngineError as error:
        raise VerifyError(str(error)) from error
    raise VerifyError(f"{directory} is no data directory of ringkv")


def _verify_node(directory: Path) -> list[str]:
    """Keeps the node from starting meanwhile: what changes cannot be judged."""
    file_system = OsFileSystem()
    lock = file_system.lock(str(directory / "LOCK"))
    try:
        return verify_node(file_system, str(directory))
    finally:
        lock.close()
