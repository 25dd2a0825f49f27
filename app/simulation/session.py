"""Session: what one client keeps so as to be shown its own writes, through whatever node."""

from app.reading import of_session
from app.session import decode_session, extend_session
from raftgroups import Freshness, Level, LogIndex, PartitionId, Reading, index_of, revision_of


class Session:
    """The token that goes to the nodes and back, and beside it what the client really wrote and saw."""

    def __init__(self) -> None:
        self._token = b""
        self._seen: dict[PartitionId, LogIndex] = {}

    @property
    def _marks(self) -> dict[int, int]:
        marks = decode_session(self._token) if self._token else {}
        assert marks is not None, "it was made by what reads it"
        return marks

    def fresh(self, partition: PartitionId) -> Freshness:
        """How fresh a read must be, as the doors make it of the token."""
        return of_session(Freshness(Level.SESSION), self._marks, partition)

    def seen(self, partition: PartitionId) -> LogIndex:
        """The newest entry of the partition whose effect the client knows of."""
        return self._seen.get(partition, LogIndex(0))

    def wrote(self, partition: PartitionId, revision: int) -> None:
        self._token = extend_session(self._marks, partition, revision)
        self._note(partition, revision)

    def read(self, partition: PartitionId, reading: Reading) -> None:
        """The client was shown this, at level SESSION."""
        self._token = extend_session(self._marks, partition, revision_of(LogIndex(reading.receipt.index), 0))
        if reading.item is not None:
            self._note(partition, reading.item.revision)

    def _note(self, partition: PartitionId, revision: int) -> None:
        self._seen[partition] = max(self.seen(partition), index_of(revision))
