"""KeySpan: which keys were where nothing can be read any more."""

from dataclasses import dataclass

from engine.show import show


@dataclass(frozen=True, slots=True)
class KeySpan:
    """Keys between two others, as far as it is known.

    after    they are greater,
    first    or at least this; both None: they may be the smallest of all
    last     they are at most this,
    before   or smaller; both None: they may be the largest of all
    """

    after: bytes | None = None
    first: bytes | None = None
    last: bytes | None = None
    before: bytes | None = None

    def __contains__(self, key: bytes) -> bool:
        return not (self.is_above(key) or self.is_below(key))

    def __str__(self) -> str:
        parts = []
        if self.after is not None:
            parts.append(f"after {show(self.after)}")
        elif self.first is not None:
            parts.append(f"from {show(self.first)}")
        if self.before is not None:
            parts.append(f"before {show(self.before)}")
        elif self.last is not None:
            parts.append(f"{'to' if parts and self.after is None else 'up to'} {show(self.last)}")
        if not parts:
            return "any key"
        return "keys " + (" " if self.after is None and self.before is None else ", ").join(parts)

    def is_above(self, key: bytes) -> bool:
        """Whether all of it is greater than the key."""
        return (self.after is not None and key <= self.after) or (self.first is not None and key < self.first)

    def is_below(self, key: bytes) -> bool:
        """Whether all of it is smaller than the key."""
        return (self.last is not None and key > self.last) or (self.before is not None and key >= self.before)

    def overlaps(self, other: "KeySpan") -> bool:
        """Whether a key may be in both."""
        return not (self.ends_before(other) or other.ends_before(self))

    def ends_before(self, other: "KeySpan") -> bool:
        """Whether all its keys are smaller than all of the other."""
        low = other.after if other.first is None else other.first
        high = self.before if self.last is None else self.last
        if low is None or high is None:
            return False
        return high < low or (high == low and (other.first is None or self.last is None))
