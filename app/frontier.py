"""Frontier: how far a stream of lines has come, though they are done with in any order."""


class Frontier:
    """Lines are counted from 1. A line that is begun and never ended is one to begin again."""

    def __init__(self, first: int = 1) -> None:
        self._seen = first - 1
        self._open: dict[int, None] = {}

    def begin(self, number: int) -> None:
        """Lines come in their order."""
        self._seen = number
        self._open[number] = None

    def end(self, number: int) -> None:
        self._open.pop(number, None)

    def skip(self, number: int) -> None:
        """There is nothing to do for this one."""
        self._seen = number

    @property
    def next_line(self) -> int:
        """All lines before this one are done with: who goes on, goes on there."""
        return next(iter(self._open), self._seen + 1)
