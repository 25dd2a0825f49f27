"""A file in memory: the bytes that programs see, and those that a crash may leave of them.

Of what was not synced a crash leaves anything: the file ends where it ended at some time since the last
sync, or within a write, and each sector behind the last synced byte has what it had then, or at another
of these times, or nothing but zeros. A sector is written whole: what was synced stays as it is.
"""

import random

SECTOR_BYTES = 512


class Inode:
    """The bytes of one file, whatever its names.

    data      as programs see them
    durable   as they were at the last sync
    """

    __slots__ = ("_changes", "data", "durable")

    def __init__(self, content: bytes | bytearray = b"") -> None:
        """A file with this content, which is durable."""
        self.data = bytearray(content)
        self.durable = bytearray(content)
        # Since the last sync, in their order: where bytes were put, which, and whether the file was cut off there.
        self._changes: list[tuple[int, bytes, bool]] = []

    def append(self, data: bytes) -> None:
        self._changes.append((len(self.data), data, True))
        self.data += data

    def rewrite(self, start: int) -> None:
        """Put the bytes from there on where they are once more: now the next sync is asked for them."""
        self._changes.append((start, bytes(self.data[start:]), False))

    def truncate(self, size: int) -> None:
        if size < len(self.data):
            self._changes.append((size, b"", True))
            del self.data[size:]

    def sync(self) -> None:
        for start, data, cuts in self._changes:
            _put(self.durable, start, data, cuts)
        self._changes.clear()

    def forget(self) -> None:
        """What was not synced never will be, though programs see it until the machine goes off."""
        self._changes.clear()

    def copy(self) -> "Inode":
        """The same, also in what is durable."""
        other = Inode()
        other.data = bytearray(self.data)
        other.durable = bytearray(self.durable)
        other._changes = list(self._changes)
        return other

    def fingerprint(self) -> int:
        """The same for two files whose content is the same and may become the same."""
        return hash((bytes(self.data), bytes(self.durable), tuple(self._changes)))

    def crash(self, rng: random.Random | None, *, keep: bool) -> None:
        """Be what a crash leaves: everything if `keep`, anything with an rng, else what was synced."""
        if keep:
            self.sync()
        elif rng is not None and self._changes:
            self.durable = self._remains(rng)
        self.data = bytearray(self.durable)
        self._changes.clear()

    def _remains(self, rng: random.Random) -> bytearray:
        count = rng.randint(0, len(self._changes))
        remains = self._after(count)
        if count < len(self._changes):
            start, data, cuts = self._changes[count]
            _put(remains, start, data[: rng.randint(0, len(data))], cuts)
        # Mostly the end is torn and nothing else.
        disorder = rng.choice((0.0, 0.0, 0.3))
        if disorder:
            self._mix(remains, disorder, rng)
        return remains

    def _mix(self, remains: bytearray, disorder: float, rng: random.Random) -> None:
        """Give some sectors what they had at another time."""
        others = [self.durable, self._after(rng.randint(0, len(self._changes)))]
        changed = min(start for start, _, _ in self._changes)
        for start in range(changed - changed % SECTOR_BYTES, len(remains), SECTOR_BYTES):
            if rng.random() < disorder:
                end = min(start + SECTOR_BYTES, len(remains))
                sector = rng.choice(others)[start:end]
                remains[start:end] = sector + bytes(end - start - len(sector))

    def _after(self, count: int) -> bytearray:
        """The content after so many of the changes, all written."""
        content = bytearray(self.durable)
        for start, data, cuts in self._changes[:count]:
            _put(content, start, data, cuts)
        return content


def _put(content: bytearray, start: int, data: bytes, cuts: bool) -> None:
    """Write at `start`, cut off there before if told to; what was never on disk before it is zeros."""
    if start > len(content):
        content += bytes(start - len(content))
    content[start : None if cuts else start + len(data)] = data
