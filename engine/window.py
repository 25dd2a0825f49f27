"""The part of a file that is being read from its beginning to its end."""

from engine.files import ReadableFile

READ_BYTES = 1 << 20


class Window:
    """Takes bytes from a file, most of them from what was read before."""

    def __init__(self, file: ReadableFile) -> None:
        self._file = file
        self._start = 0
        self._buffer = b""

    def take(self, at: int, length: int) -> bytes:
        """Fewer bytes than asked for only at the end of the file."""
        skip = at - self._start
        if skip < 0 or skip + length > len(self._buffer):
            self._load(at, length)
            skip = 0
        return self._buffer[skip : skip + length]

    def find(self, pattern: bytes, at: int) -> int | None:
        """Where the pattern begins, from `at` on; None if it does not come again."""
        while True:
            if not self._start <= at < self._start + len(self._buffer):
                self._load(at, len(pattern))
            found = self._buffer.find(pattern, at - self._start)
            if found >= 0:
                return self._start + found
            # The pattern may begin in this window and end in the next.
            following = self._start + len(self._buffer) - len(pattern) + 1
            if following <= at:
                return None
            at = following
            self._load(at, len(pattern))

    def _load(self, at: int, length: int) -> None:
        self._buffer = self._file.read(at, max(length, READ_BYTES))
        self._start = at
