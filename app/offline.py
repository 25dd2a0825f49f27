"""`ringkv verify`: reads every byte of a stopped node's data and says what is damaged."""

from collections.abc import Callable
from pathlib import Path

from engine import LockedError, OsFileSystem, verify_engine
from raftgroups import verify_node


class VerifyError(Exception):
    """The directory cannot be looked at; the text says why in one line."""


def verify_directory(directory: Path) -> list[str]:
    """What is wrong in a node's directory, in every node's of a cluster made by `ringkv up`, or in an engine's.

    Raises: VerifyError.
    """
    if (directory / "cluster.json").exists():
        nodes = sorted(path for path in directory.iterdir() if (path / "identity").exists())
        return [problem for node in nodes for problem in _locked(node, _verify_node)]
    if (directory / "identity").exists():
        return _locked(directory, _verify_node)
    if (directory / "CURRENT").exists():
        return _locked(directory, _verify_engine)
    raise VerifyError(f"{directory} is no data directory of ringkv")


def _verify_node(path: str) -> list[str]:
    return verify_node(OsFileSystem(), path)


def _verify_engine(path: str) -> list[str]:
    return [str(damage) for damage in verify_engine(path)]


def _locked(directory: Path, verify: Callable[[str], list[str]]) -> list[str]:
    """Keeps the owner of the directory from starting meanwhile: what changes cannot be judged."""
    try:
        lock = OsFileSystem().lock(str(directory / "LOCK"))
    except LockedError as error:
        raise VerifyError(f"{directory} is in use: stop its node first") from error
    try:
        return verify(str(directory))
    finally:
        lock.close()
