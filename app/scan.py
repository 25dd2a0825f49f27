"""Scan: the request for a piece of one partition, in key order."""

from collections.abc import Callable

from app.requests import Outcome, Query
from raftgroups import Freshness, PartitionId, RaftGroupError, Scanned, Span

ScanDone = Callable[[Scanned | RaftGroupError], None]


class Scan(Query):
    """The beginning of a Span, to be read."""

    __slots__ = ("done", "span")

    def __init__(self, partition: PartitionId, deadline: float, span: Span, fresh: Freshness, done: ScanDone) -> None:
        super().__init__(partition, deadline)
        self.fresh = fresh
        self.span = span
        self.done = done

    def finish(self, result: Outcome) -> None:
        assert isinstance(result, Scanned | RaftGroupError), "a scan is answered by a piece"
        self.done(result)
