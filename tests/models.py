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

    def scan(
        self,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        prefix: bytes = b"",
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[tuple[bytes, bytes]]:
        pairs = sorted(self._values.items(), reverse=reverse)
        found = [(k, v) for k, v in pairs if start <= k and (end is None or k < end) and k.startswith(prefix)]
        return found[:limit]

    def copy(self) -> "ModelMap":
        other = ModelMap()
        other._values = dict(self._values)
        return other
