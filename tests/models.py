"""The slow, obvious oracles that the real thing is compared with."""

from collections.abc import Iterable, Mapping

from engine import WriteBatch
from engine.record import Expiring


def batch_of(content: Mapping[bytes, bytes | None]) -> WriteBatch:
    """What writes these records."""
    batch = WriteBatch()
    for key, value in content.items():
        if value is None:
            batch.delete(key)
        elif isinstance(value, Expiring):
            batch.put(key, bytes(value), expires_ms=value.expires_ms)
        else:
            batch.put(key, value)
    return batch


class ModelMap:
    """An ordered map from keys to values, some of which expire."""

    def __init__(self, clock_ms: int = 0) -> None:
        self.clock_ms = clock_ms
        self._values: dict[bytes, bytes] = {}

    def write(self, batch: WriteBatch) -> None:
        for start, end in batch.ranges:
            self.delete_range(start, end)
        self.apply(batch.items())

    def apply(self, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        for key, value in records:
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value

    def delete_range(self, start: bytes, end: bytes | None) -> None:
        for key, _ in self.scan(start, end, expired=True):
            del self._values[key]

    def get(self, key: bytes) -> bytes | None:
        return dict(self.scan()).get(key)

    def scan(
        self,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        prefix: bytes = b"",
        reverse: bool = False,
        limit: int | None = None,
        expired: bool = False,
    ) -> list[tuple[bytes, bytes]]:
        there = [pair for pair in self._values.items() if expired or self._is_there(pair[1])]
        pairs = sorted(there, reverse=reverse)
        found = [(k, v) for k, v in pairs if start <= k and (end is None or k < end) and k.startswith(prefix)]
        return [(key, bytes(value)) for key, value in found[:limit]]

    def _is_there(self, value: bytes) -> bool:
        return not isinstance(value, Expiring) or value.expires_ms > self.clock_ms

    def copy(self) -> "ModelMap":
        other = ModelMap(self.clock_ms)
        other._values = dict(self._values)
        return other
