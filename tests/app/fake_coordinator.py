"""A coordinator over a dict: the interface of the real one, answers on demand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.requests import Readings
from app.views import ClusterView, Location, NodeView, PartitionView, Replicas
from app.watchledger import Ledger
from engine import WriteBatch
from raftgroups import (
    Change,
    Command,
    Delete,
    Entry,
    Freshness,
    Item,
    Level,
    LogIndex,
    PartitionId,
    Put,
    RaftGroupError,
    Reading,
    Receipt,
    Result,
    Scanned,
    Span,
    Written,
    decode_item,
    encode_item,
    index_of,
    revision_of,
)
from raftgroups.applying import Agenda, effects_of
from raftgroups.schema import USER
from raftgroups.span import take_piece
from tests.app.fake_feeds import FakeFeeds

NODES = ("n1", "n2", "n3")
WriteDone = Callable[[Result | RaftGroupError], None]
ReadDone = Callable[[Reading | RaftGroupError], None]
ScanDone = Callable[[Scanned | RaftGroupError], None]


@dataclass
class FakeCoordinator:
    """Answers at once, unless told to wait or to fail.

    items     what is stored
    error     what every request fails with, if anything
    waiting   the answers held back while `is_patient`, in order; call them to let them go
    deadlines of the requests so far
    spans     that were scanned so far, of which partition, and how fresh
    bulks     partition and size of every one so far
    targets   by partition, where they were set; nothing moves
    names_doors  the cluster says where its other nodes answer, though nobody does there
    """

    items: dict[bytes, Item] = field(default_factory=dict)
    error: RaftGroupError | None = None
    is_patient: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    targets: dict[int, tuple[str, ...]] = field(default_factory=dict)
    leaders: dict[int, str] = field(default_factory=lambda: dict.fromkeys(range(4), "n1"))
    revision: int = 0
    replication_factor: int = 1
    bulks: list[tuple[int, int]] = field(default_factory=list)
    others: dict[bytes, bytes] = field(default_factory=dict)
    clock_ms: int = 1_000
    names_doors: bool = True
    spans: list[tuple[PartitionId, Span, Freshness]] = field(default_factory=list)
    feeds: FakeFeeds = field(default_factory=FakeFeeds)
    ledger: Ledger = field(default_factory=lambda: Ledger(list, lambda _peer, _note: None))

    def write(self, key: bytes, command: Command, deadline: float, done: WriteDone) -> None:
        self.deadlines.append(deadline)
        self._answer(lambda: done(self.error or self._apply(command)))

    def read(self, key: bytes, fresh: Freshness, deadline: float, done: ReadDone) -> None:
        self.deadlines.append(deadline)
        self._answer(lambda: done(self.error or Reading(self.items.get(key), self._receipt(fresh.level))))

    def scan(self, partition: PartitionId, span: Span, fresh: Freshness, deadline: float, done: ScanDone) -> None:
        self.deadlines.append(deadline)
        self.spans.append((partition, span, fresh))
        stored = {
            USER + key: encode_item(item) for key, item in self.items.items() if self.partition_of(key) == partition
        }
        start, end = span.stored()
        inside = sorted((pair for pair in stored.items() if start <= pair[0] < end), reverse=span.reverse)
        receipt = self._receipt(fresh.level, index_of(self.revision))
        self._answer(lambda: done(self.error or Scanned(take_piece(iter(inside), span, self.clock_ms), receipt)))

    def partitions_of(self, prefix: bytes) -> Sequence[PartitionId]:
        return [PartitionId(number) for number in self.leaders]

    def write_many(
        self,
        partition: int,
        commands: Sequence[Command],
        deadline: float,
        done: Callable[[list[Result | RaftGroupError]], None],
    ) -> None:
        self.bulks.append((partition, len(commands)))
        self.deadlines.append(deadline)
        self._answer(lambda: done([self.error or self._apply(command, partition) for command in commands]))

    def read_many(
        self,
        partition: int,
        keys: Sequence[bytes],
        fresh: Freshness,
        deadline: float,
        done: Callable[[Readings | RaftGroupError], None],
    ) -> None:
        self.bulks.append((partition, len(keys)))
        self.deadlines.append(deadline)
        receipt = self._receipt(fresh.level, index_of(self.revision))
        self._answer(lambda: done(self.error or Readings([self.items.get(key) for key in keys], receipt)))

    def newest(self, partition: int, deadline: float, done: ReadDone) -> None:
        receipt = Receipt(Level.LINEARIZABLE, 0, "n1", "leader", self.revision)
        self._answer(lambda: done(self.error or Reading(None, receipt)))

    def partition_of(self, key: bytes) -> PartitionId:
        return PartitionId(key[0] % len(self.leaders))

    def locate(self, key: bytes) -> Location:
        partition = self.partition_of(key)
        return Location(partition, NODES, self.leaders[partition], 1, 0)

    def cluster(self) -> ClusterView:
        nodes = tuple(
            NodeView(
                name,
                f"127.0.0.1:800{number}" if self.names_doors else "",
                f"127.0.0.1:900{number}",
                "",
                "up",
                4710 + number,
            )
            for number, name in enumerate(NODES, 1)
        )
        partitions = tuple(
            PartitionView(
                *(PartitionId(number), leader, NODES, (), self.targets.get(number, NODES), 1),
                *(self.revision, self.revision, 0),
            )
            for number, leader in self.leaders.items()
        )
        return ClusterView("fake", 1, self.replication_factor, nodes, partitions)

    def unready(self) -> list[str]:
        return self.reasons

    def warnings(self) -> list[str]:
        return self.complaints

    def clock_offsets(self) -> Mapping[str, float]:
        return {"n2": 86_400.0}

    async def transfer(self, partition: int, node: str) -> None:
        if self.error is not None:
            raise self.error
        self.leaders[partition] = node

    async def set_target(self, partition: int, nodes: Sequence[str]) -> None:
        if self.error is not None:
            raise self.error
        self.targets[partition] = tuple(nodes)

    def replicas(self, partition: int) -> Replicas:
        return Replicas(partition, NODES, (), self.targets.get(partition, NODES))

    def statistics(self) -> Mapping[str, float]:
        held = {"partitions_held": len(self.leaders), "partitions_led": 2.0, "engine_memtable_records": len(self.items)}
        sizes = {
            "engine_records": 0.0,
            "engine_tombstones": 0.0,
            "engine_table_bytes": 7.0,
            "node_log_bytes": 3.0,
            "disk_full": 0.0,
        }
        return {"writes_total": self.revision, "items": len(self.items), **held, **sizes}

    def release(self) -> None:
        """Let every answer go that was held back."""
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer()

    def _receipt(self, level: Level, index: int = 0) -> Receipt:
        return Receipt(level, 0, "n1", "leader", index, self.clock_ms)

    def _answer(self, answer: Callable[[], None]) -> None:
        if self.is_patient:
            self.waiting.append(answer)
        else:
            answer()

    def _apply(self, command: Command, partition: int | None = None) -> Result:
        self.revision += 1
        if isinstance(command, Put):
            item = self.items[command.key] = Item(self.revision, command.value, command.content_type)
            self._tell(command.key, [Change(self.revision, command.key, item)])
            return Written(self.revision)
        if isinstance(command, Delete):
            self.items.pop(command.key, None)
            self._tell(command.key, [Change(self.revision, command.key, None)])
            return Written(self.revision)
        index = LogIndex(index_of(self.revision) + 1)
        records = FakeRecords(self.items, self.others, lambda key: partition in {None, self.partition_of(key)})
        effects = effects_of(records, Agenda(records, 0), index, Entry(self.clock_ms, [command]), self.clock_ms)
        records.write(effects.batch)
        for change in effects.changes or []:
            self._tell(change.key, [change])
        self.revision = revision_of(index, 0)
        return effects.results[0]

    def _tell(self, key: bytes, changes: list[Change]) -> None:
        self.feeds.change(self.partition_of(key), self.revision, changes)


@dataclass
class FakeRecords:
    """The items, as records, and all other records; a scan sees the items that are here."""

    items: dict[bytes, Item]
    others: dict[bytes, bytes]
    is_here: Callable[[bytes], bool]

    def get(self, key: bytes, *, wait: bool = True) -> bytes | None:
        if key[:1] != USER:
            return self.others.get(key)
        item = self.items.get(key[1:])
        return None if item is None else encode_item(item)

    def scan(
        self, start: bytes = b"", end: bytes | None = None, *, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        items = {USER + key: encode_item(item) for key, item in self.items.items() if self.is_here(key)}
        every = sorted({**self.others, **items}.items())
        found = [(key, value) for key, value in every if start <= key and (not end or key < end)]
        return iter(found[:limit])

    def write(self, batch: WriteBatch) -> None:
        for key, value in batch.items():
            if key[:1] == USER and value is not None:
                self.items[key[1:]] = decode_item(value)
            elif key[:1] == USER:
                self.items.pop(key[1:], None)
            elif value is not None:
                self.others[key] = value
            else:
                self.others.pop(key, None)
