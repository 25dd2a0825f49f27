"""Scanning: what a scan asks for, from its query and headers, and the page that answers it.

    ?prefix=&start=&end=&reverse=&limit=&max_bytes=&keys_only=&cursor=&consistency=&max_staleness=

A page is put together of pieces, one of each partition and again of those that run out (merging.py). So every key in
it is as of some moment during the request, and so is it that a key is not; two keys may be of two moments.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from app.fields import read_raw_query, read_timeout
from app.keyrange import KeyRange
from app.merging import Merge
from app.problems import BAD_PARAMETER, Problem
from app.reading import freshness_of, of_session, read_session, weakest
from app.rules import whole_number
from app.session import encode_session
from app.settings import Limits
from raftgroups import (
    Freshness,
    Level,
    LogIndex,
    OverloadedError,
    Pair,
    PartitionId,
    RaftGroupError,
    Receipt,
    Scanned,
    Span,
    revision_of,
)

RANGE_PARAMETERS = ("prefix", "start", "end")
LEVEL_PARAMETERS = ("consistency", "max_staleness")
PAGE_PARAMETERS = ("reverse", "limit", "max_bytes", "keys_only", "cursor")
EXPORT_PARAMETERS = ("cursor",)
LIMIT = 100

# Pages being put together at once: each may hold some megabytes.
PAGES_OPEN_MAX = 64

_SWITCH = {b"true": True, b"false": False}


class ScanStore(Protocol):
    """What is asked of a Coordinator."""

    def scan(
        self,
        partition: PartitionId,
        span: Span,
        fresh: Freshness,
        deadline: float,
        done: Callable[[Scanned | RaftGroupError], None],
    ) -> None: ...

    def partition_of(self, key: bytes) -> PartitionId: ...

    def partitions_of(self, prefix: bytes) -> Sequence[PartitionId]: ...


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What a scan asks for.

    after        go on after this key
    session      what a session has seen, by partition; None: no session
    """

    keys: KeyRange
    after: bytes | None
    limit: int
    bytes_max: int
    keys_only: bool
    fresh: Freshness
    session: Mapping[int, int] | None
    timeout_seconds: float


@dataclass(slots=True)
class Page:
    """What was found.

    after     go on after this key; None at the end
    receipts  of the pieces, by partition; of a partition asked twice the last
    """

    partition_of: Callable[[bytes], PartitionId]
    pairs: list[Pair] = field(default_factory=list)
    after: bytes | None = None
    receipts: dict[PartitionId, Receipt] = field(default_factory=dict)

    def clock_ms_of(self, key: bytes) -> int:
        """State-machine time where the key was read."""
        return self.receipts[self.partition_of(key)].clock_ms

    def level(self) -> Level:
        """The weakest of the levels that were served."""
        return weakest((Level.LINEARIZABLE, *(receipt.level for receipt in self.receipts.values())))


def read_scan(
    query: bytes, fields: Mapping[bytes, bytes], limits: Limits, default: Level, *, is_paged: bool = True
) -> ScanRequest | Problem:
    """A scan, or without `is_paged` an export, whose pages are as large as may be."""
    known = (*RANGE_PARAMETERS, *LEVEL_PARAMETERS, *(PAGE_PARAMETERS if is_paged else EXPORT_PARAMETERS))
    raw = read_raw_query(query, known)
    if isinstance(raw, Problem):
        return raw
    try:
        reverse = _read_switch(raw, "reverse")
        prefix, start, end = (raw.get(name, b"") for name in RANGE_PARAMETERS)
        keys = KeyRange(prefix, start, end, reverse)
        limit = _read_count(raw, "limit", limits.scan_keys_max, min(LIMIT, limits.scan_keys_max))
        bytes_max = _read_count(raw, "max_bytes", limits.scan_bytes_max, limits.scan_bytes_max)
        keys_only = _read_switch(raw, "keys_only")
        after = _read_cursor(raw, keys)
    except _BadParameterError as error:
        return error.problem
    texts = {name: raw[name].decode("utf-8", "backslashreplace") for name in LEVEL_PARAMETERS if name in raw}
    fresh = freshness_of(texts, default)
    if isinstance(fresh, Problem):
        return fresh
    session: Mapping[int, int] | None = {} if fresh.level is Level.SESSION else None
    if b"kv-session" in fields:
        marks = read_session(fields[b"kv-session"], fresh.level)
        if isinstance(marks, Problem):
            return marks
        session = marks
    timeout = read_timeout(fields, limits)
    if isinstance(timeout, Problem):
        return timeout
    if not is_paged:
        limit = limits.scan_keys_max
    return ScanRequest(keys, after, limit, bytes_max, keys_only, fresh, session, timeout)


class Pager:
    """Puts pages together; bounds how many at once."""

    def __init__(self, store: ScanStore) -> None:
        self._store = store
        self._open = 0

    async def page(self, request: ScanRequest, after: bytes | None, deadline: float) -> Page:
        """The page after a key; `deadline` is in loop time. Raises: RaftGroupError."""
        if self._open >= PAGES_OPEN_MAX:
            raise OverloadedError(f"{PAGES_OPEN_MAX} scans are under way on this node already")
        self._open += 1
        try:
            return await self._put_together(request, after, deadline)
        finally:
            self._open -= 1

    async def _put_together(self, request: ScanRequest, after: bytes | None, deadline: float) -> Page:
        merge = Merge(
            self._store.partitions_of(request.keys.prefix),
            request.keys,
            after,
            limit=request.limit,
            bytes_max=request.bytes_max,
            keys_only=request.keys_only,
        )
        page = Page(self._store.partition_of, merge.pairs)
        marks = dict(request.session or {})
        while wanted := merge.wanted():
            found = await self._ask(request.fresh, marks, wanted, deadline)
            for partition, scanned in found.items():
                merge.received(partition, scanned.piece)
                page.receipts[partition] = weaker(page.receipts.get(partition), scanned.receipt)
                marks[partition] = max(marks.get(partition, 0), revision_of(LogIndex(scanned.receipt.index), 0))
        page.after = merge.after
        return page

    async def _ask(
        self, fresh: Freshness, marks: Mapping[int, int], wanted: Mapping[PartitionId, Span], deadline: float
    ) -> dict[PartitionId, Scanned]:
        """One piece of each, asked for at once. Raises: RaftGroupError, the first of them."""
        whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        found: dict[PartitionId, Scanned] = {}

        def done(partition: PartitionId, result: Scanned | RaftGroupError) -> None:
            if whole.done():
                return
            if isinstance(result, RaftGroupError):
                whole.set_exception(result)
                return
            found[partition] = result
            if len(found) == len(wanted):
                whole.set_result(None)

        for partition, span in wanted.items():
            self._store.scan(partition, span, of_session(fresh, marks, partition), deadline, partial(done, partition))
        await whole
        return found


def receipt_lines(page: Page, session: Mapping[int, int] | None) -> bytes:
    """The header lines that say what a page is worth: the weakest level, the greatest age, all who answered."""
    receipts = page.receipts.values()
    by = sorted({f"{receipt.served_by};role={receipt.role}" for receipt in receipts})
    age = max((receipt.staleness_ms for receipt in receipts), default=0)
    lines = f"kv-consistency: {page.level()}\r\nkv-staleness-ms: {age}\r\n"
    if by:
        lines += f"kv-served-by: {', '.join(by)}\r\n"
    if session is not None:
        seen = dict(session)
        for partition, receipt in page.receipts.items():
            seen[partition] = max(revision_of(LogIndex(receipt.index), 0), seen.get(partition, 0))
        if seen:
            lines += f"kv-session: {encode_session(seen).decode()}\r\n"
    return lines.encode()


def weaker(one: Receipt | None, other: Receipt) -> Receipt:
    """What both are worth together, by who answered last."""
    if one is None:
        return other
    level = weakest((one.level, other.level))
    index = max(one.index, other.index)  # whatever was seen of it counts
    staleness_ms = max(one.staleness_ms, other.staleness_ms)
    return Receipt(level, staleness_ms, other.served_by, other.role, index, other.clock_ms)


class _BadParameterError(Exception):
    def __init__(self, name: str, what: str) -> None:
        super().__init__(what)
        self.problem = Problem(BAD_PARAMETER, f"query parameter {name!r} {what}", {"parameter": name})


def _read_count(raw: Mapping[str, bytes], name: str, high: int, default: int) -> int:
    text = raw.get(name)
    if text is None:
        return default
    number = whole_number(text, 1, high)
    if number is None:
        raise _BadParameterError(name, f"must be a whole number from 1 to {high}, not {_shown(text)}")
    return number


def _read_switch(raw: Mapping[str, bytes], name: str) -> bool:
    text = raw.get(name, b"false")
    if text not in _SWITCH:
        raise _BadParameterError(name, f"must be true or false, not {_shown(text)}")
    return _SWITCH[text]


def _read_cursor(raw: Mapping[str, bytes], keys: KeyRange) -> bytes | None:
    text = raw.get("cursor")
    if not text:
        return None
    after = keys.decode_cursor(text.decode("utf-8", "backslashreplace"))
    if after is None:
        raise _BadParameterError("cursor", "is none that a scan with this prefix, start, end and reverse gave out")
    return after


def _shown(text: bytes) -> str:
    return repr(text.decode("utf-8", "backslashreplace"))
