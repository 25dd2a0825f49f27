"""The end of an export: its last line, which says whether it is all there.

end := {"complete":true,"count":N} | {"complete":false,"count":N,"error":{…},"cursor":"…"}
"""

from typing import Any

import msgspec


class End(msgspec.Struct, omit_defaults=True, frozen=True):
    """The last line of an export: without it, or with an error, something is missing.

    count   how many entries came before it
    cursor  another export with the same bounds goes on there
    """

    complete: bool
    count: int
    error: dict[str, Any] | None = None
    cursor: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(End)


def encode_end(end: End) -> bytes:
    """The line, with its end."""
    return _encoder.encode(end) + b"\n"


def decode_end(line: bytes) -> End | None:
    """The end of an export, however it is spelled; None, if the line is something else."""
    if b'"complete"' not in line:
        return None
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class EndCheck:
    """Looks at every line of what should be a whole export.

    count   entries so far, since the end before
    """

    def __init__(self) -> None:
        self.count = 0
        self._missing: str | None = None
        self._has_ended = False

    def look(self, line: bytes) -> bool:
        """Whether the line is an end, and so no entry."""
        end = decode_end(line)
        if end is None:
            if line.strip():
                self.count += 1
                self._has_ended = False
            return False
        if not end.complete:
            why = (end.error or {}).get("detail", "no reason was given")
            self._note(f"it says of itself that it is not complete: {why}")
        elif end.count != self.count:
            self._note(f"it had {end.count} entries when it was made, and {self.count} are there")
        self.count, self._has_ended = 0, True
        return True

    @property
    def missing(self) -> str | None:
        """What is not there; None, if all of it is."""
        if self._missing is None and not self._has_ended:
            return f"it was cut off after {self.count} entries: its last line, which says it is complete, is not there"
        return self._missing

    def _note(self, what: str) -> None:
        self._missing = self._missing or what
