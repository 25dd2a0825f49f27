"""Records in a dict, which an engine is compared with."""

from collections.abc import Iterator

from engine import WriteBatch


class DictRecords:
    """A sorted map that answers as an engine does, and counts its scans."""

    def __init__(self) -> None:
        self.content: dict[bytes, bytes] = {}
        self.scans = 0

    def get(self, key: bytes, *, wait: bool = True) -> bytes | None:
        return self.content.get(key)

    def scan(
        self, start: bytes = b"", end: bytes | None = None, *, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        self.scans += 1
        found = sorted(pair for pair in self.content.items() if start <= pair[0] and (end is None or pair[0] < end))
        return iter(found[:limit])

    def write(self, batch: WriteBatch) -> None:
        for key, value in batch.items():
            if value is None:
                self.content.pop(key, None)
            else:
                self.content[key] = value
