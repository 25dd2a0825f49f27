"""Changes as clients are told them: one JSON object each, rendered once for all who are told.

    {"event": "put", "key": "…", "value": "…", "encoding": "utf8", "revision": 4097, "content_type": "text/plain"}
    {"event": "delete" | "expire", "key": "…", "encoding": "utf8", "revision": 8193}

The encoding is that of key and value: base64, unless both are UTF-8.
"""

from dataclasses import dataclass

import msgspec

from app.spelling import spell_together
from raftgroups import Change, Told

_OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Rendering:
    """A change, rendered.

    event     put, delete or expire
    document  JSON, on one line
    """

    event: bytes
    document: bytes


class Renderer:
    """Renders changes. The last one is remembered, for it is told to one after the other."""

    def __init__(self) -> None:
        self._last: tuple[Told, Rendering] | None = None

    def render(self, told: Told) -> Rendering:
        if self._last is None or self._last[0] is not told:
            self._last = (told, render_change(told.change))
        return self._last[1]


def render_change(change: Change) -> Rendering:
    """What a client is told of it."""
    item = change.item
    event = "put" if item is not None else "expire" if change.has_expired else "delete"
    value = item.value if item is not None else b""
    (key_text, value_text), encoding = spell_together(change.key, value)
    document: dict[str, str | int] = {"event": event, "key": key_text}
    if item is not None:
        document["value"] = value_text
    document |= {"encoding": encoding, "revision": change.revision}
    if item is not None:
        document["content_type"] = item.content_type or _OCTETS
    return Rendering(event.encode(), msgspec.json.encode(document))
