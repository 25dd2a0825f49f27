"""`ringkv verify`: reads every byte of a stopped node's data and says what is damaged."""

from pathlib import Path

from engine import verify_engine
from raftgroups import verify_node


class NotADataDirectoryError(Exception):
    """Nothing here was made by ringkv; the text says so in one line."""


def verify_directory(directory: Path) -> list[str]:
    """What is wrong in a node's directory, in every node's of a cluster made by `ringkv up`, or in an engine's.

    Raises: NotADataDirectoryError.
    """
    if (directory / "cluster.json").exists():
        nodes = sorted(path for path in directory.iterdir() if (path / "identity").exists())
        return [problem for node in nodes for problem in verify_node(str(node))]
    if (directory / "identity").exists():
        return verify_node(str(directory))
    if (directory / "CURRENT").exists():
        return [str(damage) for damage in verify_engine(str(directory))]
    raise NotADataDirectoryError(f"{directory} is no data directory of ringkv")
