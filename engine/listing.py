"""Lists of any length, of which a human asks to see no more than so many lines."""

from collections.abc import Iterator
from dataclasses import dataclass

from engine.record import Expiring
from engine.show import count, show


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be shown of a file.

    keys     each key
    values   what is under it
    limit    how many lines of each list, None for all
    """

    keys: bool = False
    values: bool = False
    limit: int | None = None


class Listing:
    """Counts the lines of a list, and how many are left out."""

    def __init__(self, noun: str, wish: Wish) -> None:
        self._noun = noun
        self._limit = wish.limit
        self._count = 0

    def may_show(self) -> bool:
        """Whether the next line is to be shown."""
        self._count += 1
        return self._limit is None or self._count <= self._limit

    def left_out(self) -> Iterator[str]:
        """A line, if lines were left out."""
        if self._limit is not None and self._count > self._limit:
            yield f"... {count(self._count - self._limit, f'more {self._noun}')}"


def show_record(key: bytes, value: bytes | None, wish: Wish) -> str:
    """A record on a line of its own."""
    if value is None:
        return f"    {show(key)} deleted"
    until = f" until {value.expires_ms}" if isinstance(value, Expiring) else ""
    held = show(bytes(value)) if wish.values else count(len(value), "byte")
    return f"    {show(key)} = {held}{until}"
