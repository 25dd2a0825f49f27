"""Server-sent events, as they come out of a stream of bytes.

    stream := (field* LF)*        field := name ":" [" "] text LF        of a comment the name is empty

Of the WHATWG standard this is what a watch needs: `event`, `id` and `data` on one line each. What comes without data
is no event, but its id counts.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is the newest so far, from which a later stream goes on."""

    event: str
    id: str
    data: str


class EventParser:
    """The events of one stream, also those without data; one that is cut off is none.

    last_id   the newest id of the streams before
    """

    def __init__(self, last_id: str = "") -> None:
        self._last_id = last_id
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete. Raises: ValueError, if they are no text."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        events = []
        for raw in lines:
            line = raw.decode().rstrip("\r")
            if line:
                name, _, text = line.partition(":")
                self._fields[name] = text.removeprefix(" ")
            elif self._fields:
                fields, self._fields = self._fields, {}
                self._last_id = fields.get("id", self._last_id)
                events.append(Event(fields.get("event", "message"), self._last_id, fields.get("data", "")))
        return events
