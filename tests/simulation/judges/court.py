"""Court: the bench of judges, and replicas that do whatever a test says, rightly or wrongly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.simulation.judges.bench import Bench
from app.simulation.judges.facts import Facts
from app.simulation.judges.replica import NOTHING, Change, Replica
from app.simulation.node import SimulatedNode
from app.simulation.violation import Violation
from engine import EngineError
from raftgroups import (
    Command,
    Configuration,
    Delete,
    Item,
    LogIndex,
    PartitionId,
    Put,
    RaftGroup,
    Term,
    decode_entry,
    encode_command,
    encode_item,
    revision_of,
)
from raftgroups.command import encode_configuration, encode_entry

P0 = PartitionId(0)
FOUNDING = Configuration(("a", "b", "c"))
NO_TERM = Term(0)
NO_OP = encode_entry(0, [])

StoredEntry = tuple[int, bytes]


def entry(*commands: Command) -> bytes:
    return encode_entry(0, [encode_command(command) for command in commands])


def configured(*voters: str) -> bytes:
    return encode_configuration(0, Configuration(voters))


@dataclass(eq=False)
class FakeEngine:
    """records   what it holds; `failure` is what a scan meets."""

    records: dict[bytes, bytes] = field(default_factory=dict)
    flushed_sequence: int = 0
    failure: EngineError | None = None

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        if self.failure is not None:
            raise self.failure
        yield from sorted(self.records.items())


@dataclass(eq=False)
class FakeMachine:
    engine: FakeEngine = field(default_factory=FakeEngine)
    applied_index: LogIndex = NOTHING
    clock_ms: int = 0

    def apply(self, index: LogIndex, payload: bytes) -> None:
        self.applied_index = index
        for position, command in enumerate(decode_entry(payload).commands):
            if isinstance(command, Put):
                item = Item(revision_of(index, position), command.value)
                self.engine.records[b"\x01" + command.key] = encode_item(item)
            else:
                assert isinstance(command, Delete), "no judge is asked about others"
                self.engine.records.pop(b"\x01" + command.key, None)

    def get(self, key: bytes, *, wait: bool) -> bytes | None:
        return self.engine.records.get(b"\x01" + key)


@dataclass(eq=False)
class FakeLog:
    """entries   the first one, at `first_index`, is covered by a snapshot."""

    term: Term = NO_TERM
    vote: str | None = None
    term_generation: int = 0
    entry_generation: int = 0
    first_index: LogIndex = NOTHING
    durable_index: LogIndex = NOTHING
    entries: list[StoredEntry] = field(default_factory=lambda: [(0, b"")])

    @property
    def last_index(self) -> LogIndex:
        return LogIndex(self.first_index + len(self.entries) - 1)

    @property
    def last_term(self) -> Term:
        return Term(self.entries[-1][0])

    def term_at(self, index: LogIndex) -> Term:
        return Term(self.entries[index - self.first_index][0])

    def entry_at(self, index: LogIndex) -> StoredEntry:
        return self.entries[index - self.first_index]


@dataclass(eq=False)
class FakeConsensus:
    configuration: Configuration = FOUNDING
    committed_configuration: tuple[LogIndex, Configuration] = (NOTHING, FOUNDING)
    is_leader: bool = False
    is_transferring: bool = False
    commit_index: LogIndex = NOTHING
    applied_index: LogIndex = NOTHING


@dataclass(eq=False)
class FakeGroup:
    log: FakeLog = field(default_factory=FakeLog)
    consensus: FakeConsensus = field(default_factory=FakeConsensus)
    machine: FakeMachine = field(default_factory=FakeMachine)
    failure: BaseException | None = None
    is_impaired: bool = False

    @property
    def is_leader(self) -> bool:
        return self.consensus.is_leader and self.failure is None


class FakeNode:
    """A node with one replica; what it writes is on disk when it has synced."""

    def __init__(self, name: str, founding: Configuration = FOUNDING) -> None:
        self.name = name
        self.starts = 1
        self.group = FakeGroup(consensus=FakeConsensus(founding, (NOTHING, founding)))
        self.disk = SimpleNamespace(is_damaged=False)
        self.failure: str | None = None
        self.host: Any = SimpleNamespace(
            groups={P0: self.group},
            synced_generation=0,
            synced_votes=[],
            transport=SimpleNamespace(peers={}),
            is_draining=False,
        )
        self.troubles = 0
        self.is_up, self.is_paused = True, False
        self._generation = 0
        self._unsynced_votes: list[tuple[PartitionId, Term, str]] = []

    def set_term(self, term: int, vote: str | None) -> None:
        self._generation += 1
        log = self.group.log
        log.term, log.vote, log.term_generation = Term(term), vote, self._generation
        if vote is not None:
            self._unsynced_votes.append((P0, Term(term), vote))

    def append(self, *entries: StoredEntry, after: int | None = None) -> None:
        """Write `entries` behind the last one, or behind that of the index `after`: the others are gone."""
        self._generation += 1
        log = self.group.log
        if after is not None:
            del log.entries[after - log.first_index + 1 :]
            log.durable_index = LogIndex(min(log.durable_index, after))
        log.entries += entries
        log.entry_generation = self._generation
        self._act_by_log()

    def _act_by_log(self) -> None:
        """The newest configuration is in force, committed or not."""
        consensus = self.group.consensus
        found = [decode_entry(payload).configuration for _, payload in self.group.log.entries[1:] if payload]
        known = [configuration for configuration in found if configuration is not None]
        consensus.configuration = known[-1] if known else consensus.committed_configuration[1]

    def sync(self) -> None:
        self.host.synced_generation = self._generation
        self.host.synced_votes, self._unsynced_votes = self._unsynced_votes, []
        self.group.log.durable_index = self.group.log.last_index

    def commit(self, index: int, *, applies: bool = True) -> None:
        consensus, log = self.group.consensus, self.group.log
        for number in range(consensus.commit_index + 1, index + 1):
            configuration = decode_entry(log.entry_at(LogIndex(number))[1]).configuration
            if configuration is not None:
                consensus.committed_configuration = LogIndex(number), configuration
        consensus.commit_index = LogIndex(index)
        if applies:
            self.apply(index)

    def apply(self, index: int) -> None:
        consensus = self.group.consensus
        for number in range(consensus.applied_index + 1, index + 1):
            self.group.machine.apply(LogIndex(number), self.group.log.entry_at(LogIndex(number))[1])
        consensus.applied_index = LogIndex(index)

    def forget_before(self, index: int) -> None:
        """What is before `index` is in the engine alone."""
        log = self.group.log
        del log.entries[: index - log.first_index]
        log.first_index = LogIndex(index)

    def receive_snapshot(self, other: "FakeNode") -> None:
        """All that the other has committed takes the place of everything here."""
        self._generation += 1
        log, consensus, theirs = self.group.log, self.group.consensus, other.group
        index = theirs.consensus.commit_index
        log.entries = [(theirs.log.term_at(index), b"")]
        log.first_index = log.durable_index = index
        log.entry_generation = self._generation
        consensus.commit_index = consensus.applied_index = index
        consensus.committed_configuration = theirs.consensus.committed_configuration
        consensus.configuration = theirs.consensus.committed_configuration[1]
        self.group.machine = FakeMachine(FakeEngine(dict(theirs.machine.engine.records), index), index)

    def restart(self) -> None:
        """Come back with all that was written, and everything applied; it leads nobody."""
        self.starts += 1
        self.sync()
        self.group.consensus.is_leader = False


class Court:
    """Three nodes with a replica of one partition each, and the judges.

    `see` is the end of a step; `breaks` is what a test expects of one.
    """

    def __init__(self, *names: str, founding: Configuration = FOUNDING) -> None:
        self.nodes = {name: FakeNode(name, founding) for name in names or ("a", "b", "c")}
        self.bench = Bench(cast("dict[str, SimulatedNode]", self.nodes))

    @property
    def facts(self) -> Facts:
        return self.bench.facts

    def __getitem__(self, name: str) -> FakeNode:
        return self.nodes[name]

    def see(self, *names: str) -> None:
        for name in names or self.nodes:
            self.bench.observe(cast("SimulatedNode", self.nodes[name]))

    def elect(self, leader: str, term: int) -> None:
        """Everybody votes for `leader`."""
        for node in self.nodes.values():
            node.group.consensus.is_leader = False
            node.set_term(term, leader)
            node.sync()
        self.see()
        self.nodes[leader].group.consensus.is_leader = True
        self.see()

    def replicate(self, *payloads: bytes, term: int = 1) -> None:
        self.replicate_to("".join(self.nodes), *payloads, term=term)

    def replicate_to(self, names: str, *payloads: bytes, term: int = 1) -> None:
        """They have the entries on disk, and the leaders commit and apply them first, all others then."""
        nodes = sorted((self.nodes[name] for name in names), key=lambda node: not node.group.consensus.is_leader)
        for node in nodes:
            node.append(*((term, payload) for payload in payloads))
            node.sync()
            self.see(node.name)
        for node in nodes:
            node.commit(node.group.log.last_index)
            self.see(node.name)


@contextmanager
def breaks(rule: str, words: str = "") -> Iterator[None]:
    """What happens within breaks that promise, and no other."""
    with pytest.raises(Violation) as caught:
        yield
    assert caught.value.rule == rule, caught.value
    assert words in caught.value.text


def look(node: FakeNode, replica: Replica) -> Change | None:
    return replica.look(cast("RaftGroup", node.group), node.starts, node.host.synced_generation)
