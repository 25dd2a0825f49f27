"""One whole node on a disk in memory, its peers played by a test that remembers what it was promised."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine import Engine, InlineExecutor, MemoryFileSystem, Options, PowerLostError
from raftgroups.command import Delete, Put, encode_command, encode_entry
from raftgroups.directory import DataDirectory
from raftgroups.group import RaftGroup
from raftgroups.grouptime import GroupTime
from raftgroups.host import HostOptions
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog
from raftgroups.membership import Configuration
from raftgroups.messages import AnyMessage, Append, AppendReply, Heartbeat, VoteReply, VoteRequest
from raftgroups.nodelog import NodeLog
from raftgroups.pulse import Contact
from raftgroups.snapshot import Snapshots
from raftgroups.statemachine import StateMachine
from raftgroups.timing import Timing
from raftgroups.wallclocks import WallClocks

P0 = PartitionId(0)
NAMES = {name: f"127.0.0.1:{port}" for port, name in enumerate("abc", 9001)}
# Small, so that a short story has flushes, compactions, new manifests and new segments in it.
ENGINE = Options(own_log=False, memtable_bytes_max=64 << 10, manifest_bytes_max=256)
SEGMENT_BYTES = 2500

StoredEntry = tuple[int, bytes]


def entry(index: int, term: int) -> StoredEntry:
    """What is at `index` in the log of a leader of `term`: always the same."""
    rng = random.Random(index * 1000 + term)
    keys = [b"key%02d" % rng.randrange(12) for _ in range(3)]
    commands = [Put(key, b"%d:" % index + rng.randbytes(90)) if rng.random() < 0.8 else Delete(key) for key in keys]
    return term, encode_entry(index, [encode_command(command) for command in commands])


def open_engine(disk: MemoryFileSystem, path: str) -> StateMachine:
    engine = Engine.open(path, ENGINE, file_system=disk, executor=InlineExecutor())
    try:
        return StateMachine(engine)
    except BaseException:
        engine.close()
        raise


def state(machine: StateMachine) -> list[tuple[bytes, bytes]]:
    return list(machine.engine.scan())


@dataclass
class Promises:
    """What the node has said, after which it may not be forgotten.

    acknowledged   entries it said are on its disk, by index
    """

    term: int = 0
    votes: dict[int, str] = field(default_factory=dict)
    acknowledged: dict[int, StoredEntry] = field(default_factory=dict)


class OneNode:
    """Node b of a, b, c. Its workers run at once; `commit` is the end of a turn of the loop."""

    def __init__(self, disk: MemoryFileSystem, promises: Promises) -> None:
        self.disk = disk
        self.promises = promises
        self.now = 0.0
        self.log_of_leader: dict[int, StoredEntry] = {}
        self._held: list[tuple[int, str, AnyMessage]] = []
        self._replies: list[tuple[str, AnyMessage]] = []
        self._jobs: deque[Callable[[], None]] = deque()
        options = HostOptions("b", "/b", NAMES["b"], "127.0.0.1:1", seeds=NAMES, partitions=1)
        self.directory = DataDirectory.open(disk, options, random.Random(0))
        self.directory.check_founding("b")
        self.node_log = NodeLog(disk, self.directory.log_path, SEGMENT_BYTES)
        machine = self._open_machine(P0)
        self.log = GroupLog(self.node_log, P0, machine.applied_index, machine.applied_term)
        self.group = RaftGroup(
            P0,
            "b",
            Configuration(("a", "b", "c")),
            self.log,
            machine,
            self,
            timing=Timing(),
            rng=random.Random(0),
            now=0.0,
            time=GroupTime(WallClocks("b", lambda: self.now, lambda: 0), grace_seconds=0.0),
            send=self._send,
        )
        self.snapshots = Snapshots(
            self.directory, self._send, self._open_machine, self._elsewhere, lambda: self.now, random.Random(0)
        )

    # Whose replica it is.

    is_full = False
    is_slow = False
    is_exhausted = False

    def touched(self, group: RaftGroup) -> None: ...
    def rest(self, group: RaftGroup, term: Term, index: LogIndex, followers: Sequence[str]) -> bool:
        return False

    def woke(self, group: RaftGroup) -> None: ...
    def contact(self, group: RaftGroup, peer: str) -> Contact | None: ...
    def met_at(self, peer: str) -> float:
        return self.now

    def leader_changed(self, group: RaftGroup) -> None: ...
    def snapshot_needed(self, group: RaftGroup, peer: str) -> None: ...
    def configured(self, group: RaftGroup) -> None: ...
    def removed(self, group: RaftGroup) -> None: ...
    def elsewhere(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None: ...

    def _open_machine(self, partition: PartitionId) -> StateMachine:
        return open_engine(self.disk, self.directory.replica_path(partition))

    def _elsewhere(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        def run() -> None:
            try:
                outcome = job()
            except PowerLostError:
                raise
            except Exception as error:
                outcome = error
            done(outcome)

        self._jobs.append(run)

    def _send(self, peer: str, message: AnyMessage, generation: int = 0) -> None:
        self._held.append((generation, peer, message))

    # What a test does.

    def commit(self) -> None:
        """Apply what is committed, sync the node log, run what waits for a worker, and let answers leave."""
        self.group.turn(self.now, may_propose=True)
        while True:
            self.node_log.commit()
            synced = self.node_log.synced_generation
            self.log.synced(synced)
            held, self._held = self._held, []
            for generation, peer, message in held:
                assert generation <= synced, "all that was gathered is synced"
                self._leave(peer, message)
            if not self._jobs:
                return
            self._jobs.popleft()()

    def _leave(self, peer: str, message: AnyMessage) -> None:
        """The node says something: from now on it is bound by it."""
        promises = self.promises
        self._replies.append((peer, message))
        if isinstance(message, AppendReply | VoteReply):
            promises.term = max(promises.term, message.term if not isinstance(message, VoteReply) else 0)
        if isinstance(message, AppendReply) and message.ok:
            for index in range(1, message.match + 1):
                promises.acknowledged[index] = self.log_of_leader[index]
        if isinstance(message, VoteReply) and message.granted and not message.probe:
            promises.term = max(promises.term, message.term)
            assert promises.votes.setdefault(message.term, peer) == peer, "one vote a term"

    def ask(self, sender: str, message: Append | Heartbeat | VoteRequest) -> AnyMessage:
        """Deliver a message; gives the answer."""
        self._replies.clear()
        self.group.consensus.receive(sender, message, self.now)
        self.commit()
        return self._replies[-1][1]

    def append(
        self, leader: str, term: int, entries: dict[int, StoredEntry], first: int, last: int, commit: int
    ) -> AppendReply:
        """The leader, whose log is `entries`, sends those from `first` to `last`."""
        self.log_of_leader = entries
        prev = first - 1
        prev_term = entries[prev][0] if prev else 0
        sent = [entries[index] for index in range(first, last + 1)]
        reply = self.ask(leader, Append(0, term, prev, prev_term, sent, commit, 1))
        assert isinstance(reply, AppendReply)
        return reply

    def catch_up(self, leader: str, term: int, entries: dict[int, StoredEntry]) -> None:
        """The leader brings the node to the end of its log, as it would, and has all of it committed."""
        last = max(entries)
        first = last + 1
        reply = self.append(leader, term, entries, first, first - 1, 0)
        while not reply.ok:
            first = min(first - 1, reply.hint_index + 1)
            while first > 1 and reply.hint_index + 1 == first and entries[first - 1][0] != reply.hint_term:
                first -= 1
            reply = self.append(leader, term, entries, first, last, last)
        self.append(leader, term, entries, last + 1, last, last)
        self.commit()

    def check(self, expected: Callable[[int], list[tuple[bytes, bytes]]]) -> None:
        """Nothing of what was promised is missing, and what is applied is right."""
        promises, machine, log = self.promises, self.group.machine, self.log
        assert self.group.failure is None
        assert log.term >= promises.term
        if log.term in promises.votes:
            assert log.vote == promises.votes[log.term], "a vote was forgotten"
        applied = machine.applied_index
        assert state(machine) == expected(applied), f"not the state at {applied}"
        for index, stored in promises.acknowledged.items():
            assert index <= log.last_index, f"entry {index} was acknowledged and is gone"
            if index > applied:
                found = log.entry_at(LogIndex(index))
                assert (found[0], bytes(found[1])) == stored, f"entry {index} is another one"
            elif index == applied:
                assert log.term_at(LogIndex(index)) == stored[0] or index == log.first_index

    def close(self) -> None:
        self.snapshots.close()
        self.group.machine.engine.close()
        self.node_log.close()
        self.directory.close()


def expected_states(entries: dict[int, StoredEntry]) -> Callable[[int], list[tuple[bytes, bytes]]]:
    """The state after each index of a committed log."""
    machine = open_engine(MemoryFileSystem(), "/model")
    states = [state(machine)]
    for index in range(1, max(entries) + 1):
        term, payload = entries[index]
        machine.apply(LogIndex(index), Term(term), payload)
        states.append(state(machine))
    return states.__getitem__
