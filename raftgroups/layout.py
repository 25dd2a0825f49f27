"""Layout: the files of a checkpoint, laid end to end."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from engine import CURRENT


@dataclass(frozen=True, slots=True)
class Place:
    """Where a byte of a checkpoint lies.

    at     its offset in the file
    left   how many bytes of the file there are from there on
    """

    name: str
    at: int
    left: int


class Layout:
    """Names and sizes in the order in which the files are sent."""

    def __init__(self, files: Sequence[tuple[str, int]]) -> None:
        self.files = list(files)
        self._ends = list(accumulate(size for _, size in files))

    @property
    def size(self) -> int:
        return self._ends[-1]

    def locate(self, offset: int) -> Place:
        """The place of the byte at `offset`, which is below `size`."""
        number = bisect_right(self._ends, offset)
        name, size = self.files[number]
        left = self._ends[number] - offset
        return Place(name, size - left, left)


def is_checkpoint(files: Sequence[tuple[str, int]]) -> bool:
    """Plain names, for a peer must not write outside of the directory, none of them empty, CURRENT at the end."""
    names = [name for name, _ in files]
    return (
        names[-1:] == [CURRENT]
        and len(set(names)) == len(names)
        and all(name.strip(".") and name.isprintable() and "/" not in name and size > 0 for name, size in files)
    )
