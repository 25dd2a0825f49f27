"""Matching: who of many watches a key, by its whole or by how it begins."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

WhoT = TypeVar("WhoT", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A key; or, of a prefix, every key that begins with it."""

    text: bytes
    is_prefix: bool

    def matches(self, key: bytes) -> bool:
        return key.startswith(self.text) if self.is_prefix else key == self.text


class Matcher(Generic[WhoT]):
    """Patterns, and who is behind each. Cost of a look-up: one step for each length that some prefix has."""

    def __init__(self) -> None:
        # Dictionaries for sets, because a set has no order.
        self._keys: dict[bytes, dict[WhoT, None]] = {}
        self._prefixes: dict[int, dict[bytes, dict[WhoT, None]]] = {}

    def add(self, pattern: Pattern, who: WhoT) -> None:
        same = self._prefixes.setdefault(len(pattern.text), {}) if pattern.is_prefix else self._keys
        same.setdefault(pattern.text, {})[who] = None

    def discard(self, pattern: Pattern, who: WhoT) -> None:
        """Forget one that was added."""
        same = self._prefixes[len(pattern.text)] if pattern.is_prefix else self._keys
        everybody = same[pattern.text]
        everybody.pop(who, None)
        if not everybody:
            del same[pattern.text]
        if pattern.is_prefix and not same:
            del self._prefixes[len(pattern.text)]

    def matches(self, key: bytes) -> bool:
        """Whether there is anybody to be found."""
        return key in self._keys or any(key[:length] in prefixes for length, prefixes in self._prefixes.items())

    def find(self, key: bytes) -> list[WhoT]:
        """Everybody whose pattern matches."""
        found = list(self._keys.get(key, ()))
        for length, prefixes in self._prefixes.items():
            found += prefixes.get(key[:length], ()) if length <= len(key) else ()
        return found
