"""Reading: how fresh a read must be, from a request's query and token, and what an answer says of it."""

from collections.abc import Iterable, Mapping

from app.fields import read_query
from app.problems import BAD_PARAMETER, NOT_TOGETHER, UNSUPPORTED, Problem
from app.rules import STALENESS_MS, STALENESS_MS_MAX, left_seconds, takes_session, whole_number
from app.session import decode_session
from raftgroups import NEWEST, Freshness, Level, Receipt, index_of

PARAMETERS = ("consistency", "max_staleness")

_LEVELS = {level.value: level for level in Level}
_FROM_STRONGEST = tuple(Level)
_CACHED_LINES_MAX = 256
_FRESH = {level: Freshness(level) for level in Level}


def read_freshness(query: bytes, default: Level) -> Freshness | Problem:
    """The level that a query asks for. The token of a session is another matter: see `of_session`."""
    if not query:
        return _FRESH[default]
    parameters = read_query(query, PARAMETERS)
    if isinstance(parameters, Problem):
        return parameters
    return freshness_of(parameters, default)


def freshness_of(parameters: Mapping[str, str], default: Level) -> Freshness | Problem:
    """The level that these parameters ask for."""
    text = parameters.get("consistency", default)
    level = _LEVELS.get(text)
    if level is None:
        detail = f"query parameter 'consistency' must be one of {', '.join(_LEVELS)}, not {text!r}"
        return Problem(BAD_PARAMETER, detail, {"parameter": "consistency"})
    limit = parameters.get("max_staleness")
    if level is not Level.BOUNDED:
        if limit is not None:
            detail = "query parameter 'max_staleness' belongs to consistency=bounded"
            return Problem(NOT_TOGETHER, detail, {"parameter": "max_staleness"})
        return _FRESH[level]
    if limit is None:
        return Freshness(level, 0, STALENESS_MS)
    staleness_ms = whole_number(limit, 0, STALENESS_MS_MAX)
    if staleness_ms is not None:
        return Freshness(level, 0, staleness_ms)
    detail = f"query parameter 'max_staleness' must be milliseconds, 0 to {STALENESS_MS_MAX}, not {limit!r}"
    return Problem(BAD_PARAMETER, detail, {"parameter": "max_staleness"})


def read_session(token: bytes, level: Level) -> dict[int, int] | Problem:
    """The revisions by partition that a KV-Session names."""
    marks = decode_session(token)
    if marks is None:
        return Problem(
            UNSUPPORTED, "header KV-Session is not a token that this store gave out", {"header": "KV-Session"}
        )
    if not takes_session(level):
        detail = f"header KV-Session is not honoured by consistency={level}"
        return Problem(NOT_TOGETHER, detail, {"header": "KV-Session"})
    return marks


def of_session(fresh: Freshness, marks: Mapping[int, int], partition: int) -> Freshness:
    """What a session has seen of the partition, it must see again."""
    if fresh.level is not Level.SESSION:
        return fresh
    return Freshness(Level.SESSION, index_of(marks.get(partition, 0)))


def weakest(levels: Iterable[Level]) -> Level:
    """The level that holds for all that was read at these."""
    return max(levels, key=_FROM_STRONGEST.index)


class Receipts:
    """The header lines that say what a client really got: level, age, and by whom."""

    def __init__(self) -> None:
        self._lines: dict[tuple[Level, int, str, str], bytes] = {}

    def lines(self, receipt: Receipt) -> bytes:
        key = (receipt.level, receipt.staleness_ms, receipt.served_by, receipt.role)
        lines = self._lines.get(key)
        if lines is None:
            level, age_ms, node, role = key
            text = f"kv-consistency: {level}\r\nkv-served-by: {node};role={role}\r\nkv-staleness-ms: {age_ms}\r\n"
            if len(self._lines) >= _CACHED_LINES_MAX:
                self._lines.clear()
            lines = self._lines[key] = text.encode()
        return lines


def expiry_line(expires_ms: int, clock_ms: int) -> bytes:
    """The header line of what has a TTL, in state-machine time."""
    return b"kv-expires-in: %d\r\n" % left_seconds(expires_ms, clock_ms)


assert _FRESH[Level.LINEARIZABLE] == NEWEST
