"""Lines: a stream of bytes, cut where its lines end, however they end.

    stream := [BOM] line (end line)*        end := LF | CR LF | CR

An end is CR alone only where no LF comes within a line's bound, as in files of the old Mac; else a CR inside of a line
belongs to it. A UTF-8 byte order mark before the first line belongs to none.
"""

BOM = b"\xef\xbb\xbf"


class LineReader:
    """Cuts a stream into lines, of which none can outgrow its bound.

    Cost: keeps no more than the line that has not ended yet.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._longest = bytes_max + len(BOM + b"\r\n")
        self._rest = bytearray()
        self._skips = False
        self._end = b""  # of a line, once it is known
        self._is_first = True

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that end in this piece, without their ends; None is one that was too long."""
        if not self._end:
            data = self._learn(data)
            if not self._end:
                return []
        first, end, others = data.partition(self._end)
        self._add(first)
        if not end:
            return []
        *whole, rest = others.split(self._end)
        lines = [self._taken(), *map(self._line, whole)]
        self._add(rest)
        return lines

    def end(self) -> list[bytes | None]:
        """The lines that are left, of which nothing ended the last."""
        lines: list[bytes | None] = []
        if not self._end:
            lines = self.feed(self._decide())
        return [*lines, self._taken()] if self._rest or self._skips else lines

    def _learn(self, data: bytes) -> bytes:
        """What is to be cut, once the end of a line is known; until then it is kept."""
        self._rest += data
        if b"\n" not in self._rest and len(self._rest) < self._longest:
            return b""
        return self._decide()

    def _decide(self) -> bytes:
        """What was kept, which says how lines end."""
        held, self._rest = bytes(self._rest), bytearray()
        begin = held[: self._longest]
        self._end = b"\r" if b"\n" not in begin and b"\r" in begin else b"\n"
        return held

    def _add(self, data: bytes) -> None:
        if not self._skips:
            self._rest += data
            if len(self._rest) > self._longest:
                self._skips = True
                self._rest.clear()

    def _taken(self) -> bytes | None:
        line = None if self._skips else self._line(bytes(self._rest))
        self._skips = self._is_first = False
        self._rest.clear()
        return line

    def _line(self, line: bytes) -> bytes | None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(BOM)
        if self._end == b"\n":
            line = line.removesuffix(b"\r")
        return line if len(line) <= self._bytes_max else None
