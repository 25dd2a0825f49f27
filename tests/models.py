"""The slow, obvious oracles that the real thing is compared with."""

from collections.abc import Iterable


class ModelMap:
    """An ordered map from keys to values."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def apply(self, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        for key, value in records:
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def scan(self, start: bytes = b"", end: bytes | None = None) -> list[tuple[bytes, bytes]]:
        return sorted((k, v) for k, v in self._values.items() if start <= k and (end is None or k < end))

    def copy(self) -> "ModelMap":
        other = ModelMap()
        other._values = dict(self._values)
        return other
