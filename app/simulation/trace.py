"""The trace of a run: one line for each thing that happened, and the digest of them all."""

import hashlib
from collections.abc import Callable


class Trace:
    """Remembers the digest of all lines, and hands each to `keep` if there is one."""

    def __init__(self, keep: Callable[[str], object] | None = None) -> None:
        self._keep = keep
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, time: float, text: str) -> None:
        line = f"{time:.6f} {text}\n"
        self._hash.update(line.encode())
        if self._keep is not None:
            self._keep(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
