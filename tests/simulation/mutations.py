"""Deliberate faults of our own, to prove that the judges notice: each breaks one rule of the protocol.

A mutation is on only inside `with mutation.on():`. None can be switched on in the product.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import msgspec

from app.simulation.plan import draw_storm
from app.simulation.setting import Setting
from app.simulation.simulation import SimulationOptions
from app.simulation.trial import Trial, try_out
from app.whereabouts import Whereabouts
from engine import Engine, WriteBatch, section
from raftgroups import applying, elections, following, leading, reign
from raftgroups.command import (
    ConditionalDelete,
    ConditionalPut,
    Once,
    decode_command,
    decode_entry,
    encode_command,
    encode_entry,
    token_of,
)
from raftgroups.configuring import Configuring
from raftgroups.directory import DataDirectory
from raftgroups.errors import RaftGroupError
from raftgroups.following import Following
from raftgroups.group import RaftGroup
from raftgroups.grouptime import GroupTime
from raftgroups.host import Host
from raftgroups.idempotency import decode_stored
from raftgroups.ids import LogIndex, PartitionId, Term, revision_of
from raftgroups.item import decode_item, is_absent
from raftgroups.journal import GroupLog
from raftgroups.leading import Leading
from raftgroups.level import Level
from raftgroups.membership import Configuration, Configurations
from raftgroups.messages import ReadIndexRequest
from raftgroups.nodelog import NodeLog
from raftgroups.readindex import Serve
from raftgroups.reads import Reads
from raftgroups.receiving import Receiving
from raftgroups.replication import Accept, reconcile
from raftgroups.result import Result, Unmet, Written
from raftgroups.schema import TOKEN, TOKEN_EXPIRY
from raftgroups.statemachine import StateMachine
from raftgroups.transport import Transport
from raftgroups.votes import Ballot, Tally, decide
from raftgroups.wallclocks import UNKNOWN, TimeOfDay, WallClocks

Patches = Callable[[ExitStack], object]

# Small, so that every fault strikes the one group there is.
USUAL = SimulationOptions(nodes=3, partitions=1, steps=40_000, faults=("net", "disk", "crash"), setting=Setting())
MOVING = replace(USUAL, nodes=5, faults=("net", "crash", "membership"))
CLOCKS = replace(USUAL, faults=("clock", "net", "crash"))
FIVE = replace(USUAL, nodes=5, setting=Setting(replicas=5))
ELECTIONS = ("isolate", "split", "kill", "break-all", "pause", "delay-node", "transfer")


@dataclass(frozen=True, slots=True)
class Mutation:
    """One rule that is broken.

    breaks       what the program does wrongly then, as a sentence
    within       so many seeds, from 1 on, are enough for the judges to notice
    options      of these simulations: what gives the mutation a chance to do harm
    storm        the faults that strike, where not all are of use, and how many seconds apart
    """

    name: str
    breaks: str
    within: int
    options: SimulationOptions
    storm: tuple[Sequence[str], float] | None
    patches: Patches

    @contextmanager
    def on(self) -> Iterator[None]:
        with ExitStack() as stack:
            self.patches(stack)
            yield

    def trial(self, seed: int) -> Trial:
        """What comes of a seed; it is for the caller to have the mutation on."""
        options = replace(self.options, seed=seed)
        if self.storm is not None:
            names = [f"n{number}" for number in range(1, options.nodes + 1)]
            rng = random.Random(f"{seed}/storm")
            options = replace(options, plan=tuple(draw_storm(rng, names, options.partitions, *self.storm)))
        return try_out(options)


MUTATIONS: dict[str, Mutation] = {}


def mutation(
    within: int, options: SimulationOptions = USUAL, *, storm: Sequence[str] = (), gap_seconds: float = 0.5
) -> Callable[[Patches], Patches]:
    """Enters a function that makes the patches; its name and docstring say which rule they break."""

    def enter(patches: Patches) -> Patches:
        name = patches.__name__.replace("_", "-")
        faults = (storm, gap_seconds) if storm else None
        MUTATIONS[name] = Mutation(name, patches.__doc__ or "", within, options, faults, patches)
        return patches

    return enter


def change(stack: ExitStack, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` makes of a method in its place."""
    stack.enter_context(patch.object(owner, name, make(getattr(owner, name))))


# Durability.


@mutation(3)
def acknowledge_before_the_sync(stack: ExitStack) -> None:
    """A follower says that it has entries on disk before they are."""

    def make(send: Any) -> Any:
        return lambda self, name, message, generation=0: send(self, name, message, 0)

    change(stack, Transport, "send", make)


@mutation(3, replace(USUAL, nodes=1))
def count_self_before_durable(stack: ExitStack) -> None:
    """A leader counts itself for entries that are not on its disk; one that has followers waits for these."""

    def make(propose: Any) -> Any:
        def hasty(self: Leading, payload: bytes) -> LogIndex:
            index: LogIndex = propose(self, payload)
            if self.configuration.voters == (self._name,):
                self._set_commit(index)
            return index

        return hasty

    change(stack, Leading, "propose", make)


@mutation(3)
def do_not_sync(stack: ExitStack) -> None:
    """The node log is written, and never synced."""
    stack.enter_context(patch.object(NodeLog, "sync", lambda self: None))


@mutation(5)
def forget_the_vote_on_restart(stack: ExitStack) -> None:
    """A node that comes back does not know whom it voted for."""

    def make(init: Any) -> Any:
        def forgetful(self: GroupLog, *args: Any) -> None:
            init(self, *args)
            self.vote = None

        return forgetful

    change(stack, GroupLog, "__init__", make)


@mutation(5)
def drop_log_segments_before_the_flush(stack: ExitStack) -> None:
    """Segments go as soon as there is a newer one, whatever the engines have written to tables."""

    def make(drop: Any) -> Any:
        return lambda self, flushed, retained_bytes: drop(self, {}, 0)

    change(stack, NodeLog, "drop_flushed", make)
    stack.enter_context(patch.object(NodeLog, "_pinned_by", staticmethod(lambda segment, flushed: [])))


# Replication.


@mutation(3, storm=("break-all", "break", "slow-syncs"), gap_seconds=0.1)
def truncate_a_matching_suffix(stack: ExitStack) -> None:
    """A follower cuts off what follows an Append, although it matches. Appends are short, so something does."""
    stack.enter_context(patch.object(leading, "APPEND_BYTES", 100))

    def wrong(log: Any, commit: LogIndex, prev: LogIndex, prev_term: int, terms: Sequence[int]) -> Any:
        verdict = reconcile(log, commit, prev, prev_term, terms)
        if isinstance(verdict, Accept) and terms and prev >= log.first_index:
            return Accept(0, verdict.match)
        return verdict

    stack.enter_context(patch.object(following, "reconcile", wrong))


@mutation(5, storm=ELECTIONS)
def take_entries_of_an_older_leader(stack: ExitStack) -> None:
    """A follower does what a leader says whose term is over."""

    def make(on_append: Any) -> Any:
        def wrong(self: Following, sender: str, message: Any) -> None:
            on_append(self, sender, msgspec.structs.replace(message, term=max(message.term, self.term)))

        return wrong

    change(stack, Following, "_on_append", make)


@mutation(5, storm=("isolate", "kill", "pause"), gap_seconds=0.3)
def apply_beyond_the_verified_match(stack: ExitStack) -> None:
    """A follower commits what its leader has committed, as far as its own log goes, equal or not."""

    def commit_up_to(self: Following, leader_commit: int) -> None:
        commit = LogIndex(min(leader_commit, self._log.last_index))
        if commit > self.commit_index:
            self._set_commit(commit)

    stack.enter_context(patch.object(Following, "_commit_up_to", commit_up_to))


@mutation(3)
def commit_with_a_minority(stack: ExitStack) -> None:
    """What one voter has is committed, whatever the number of voters."""
    stack.enter_context(patch.object(reign, "quorum_match", lambda matches: LogIndex(max(matches))))


# Elections.


@mutation(10, FIVE, storm=("kill-some", "isolate", "slow-syncs-everywhere"), gap_seconds=0.2)
def vote_twice(stack: ExitStack) -> None:
    """A voter gives its vote of a term to whoever asks for it."""

    def wrong(voter: Any, candidate: str, request: Any) -> Ballot:
        return decide(replace(voter, vote=None), candidate, request)

    stack.enter_context(patch.object(elections, "decide", wrong))


@mutation(5)
def vote_for_a_shorter_log(stack: ExitStack) -> None:
    """A voter does not ask how much the candidate has."""

    def wrong(voter: Any, candidate: str, request: Any) -> Ballot:
        return decide(replace(voter, last_term=Term(0), last_index=LogIndex(0)), candidate, request)

    stack.enter_context(patch.object(elections, "decide", wrong))


@mutation(3)
def count_votes_of_older_candidacies(stack: ExitStack) -> None:
    """A candidate counts votes that were given to it in another term, or only forecast."""
    stack.enter_context(patch.object(Tally, "is_for", lambda self, reply: True))


@mutation(5)
def win_with_a_minority(stack: ExitStack) -> None:
    """A candidate leads with its own vote."""
    stack.enter_context(patch.object(Tally, "is_won", property(lambda self: bool(self._granted))))


# Reads.


@mutation(20, storm=ELECTIONS)
def skip_the_no_op_in_the_read_index(stack: ExitStack) -> None:
    """A new leader serves reads before it knows what its predecessors have committed."""

    def launch(self: Reads) -> None:
        now = self._reign
        if now is not None:
            if now.reads.has_waiting:
                self._perform(now.reads.launch(self.commit_index))
        elif self._questions.has_waiting and self.leader is not None:
            self._send(self.leader, ReadIndexRequest(self._group, self.term, self._questions.ask()))

    stack.enter_context(patch.object(Reads, "launch_reads", launch))


@mutation(15, storm=("pause", "isolate", "split"))
def serve_a_read_without_the_round(stack: ExitStack) -> None:
    """A leader answers reads without asking whether it still leads."""

    def make(launch: Any) -> Any:
        def wrong(self: Reads) -> None:
            now = self._reign
            if now is None:
                launch(self)
            elif now.reads.has_waiting:
                waiting, now.reads._waiting = tuple(now.reads._waiting), []
                self._serve(Serve(waiting, max(self.commit_index, now.no_op_index)))

        return wrong

    change(stack, Reads, "launch_reads", make)


@mutation(5)
def serve_a_read_from_a_follower(stack: ExitStack) -> None:
    """A follower answers linearizable reads from what it has applied."""
    stack.enter_context(patch.object(RaftGroup, "confirm", lambda _, serve, *rest: serve(Level.LINEARIZABLE, 0)))


# Links.


@mutation(10, replace(USUAL, steps=100_000), storm=("kill", "slow-syncs-everywhere"), gap_seconds=0.15)
def answer_over_a_newer_link(stack: ExitStack) -> None:
    """What a node asked in an earlier life is answered in this one, where the same number is another question."""
    stack.enter_context(patch.object(Transport, "reply_to", lambda self, name: partial(self.send, name)))


# Snapshots.


@mutation(3, storm=("isolate", "kill", "forget"))
def load_an_older_snapshot(stack: ExitStack) -> None:
    """A node that comes back takes the state from before its last snapshot."""

    def oldest(self: DataDirectory, partition: PartitionId) -> str:
        return self._generation_path(partition, min([1, *self._complete(partition)], key=lambda n: n or 1))

    def keep(self: Receiving, engine: Engine, path: str) -> None:
        engine.close()

    stack.enter_context(patch.object(DataDirectory, "replica_path", oldest))
    stack.enter_context(patch.object(Receiving, "_retire", keep))


@mutation(10, MOVING)
def leave_the_configuration_out_of_the_snapshot(stack: ExitStack) -> None:
    """The state machine does not hold who its members are, so neither does a snapshot."""

    def make(init: Any) -> Any:
        def forgetful(self: StateMachine, engine: Any) -> None:
            init(self, engine)
            self.configuration = None

        return forgetful

    change(stack, StateMachine, "__init__", make)


# Membership.


@mutation(5, replace(USUAL, nodes=5), storm=("target",), gap_seconds=1.0)
def change_two_things_at_once(stack: ExitStack) -> None:
    """A leader proposes a configuration while the one before it is not committed."""

    def make(turn: Any) -> Any:
        def hasty(self: RaftGroup, now: float, *, may_propose: bool) -> None:
            if may_propose and self.consensus.is_leader and not self.consensus.is_transferring:
                self._change_membership()
            turn(self, now, may_propose=may_propose)

        return hasty

    change(stack, RaftGroup, "turn", make)
    stack.enter_context(patch.object(Configurations, "is_pending", lambda self, commit: False))


@mutation(6, replace(MOVING, faults=("membership",)), storm=("transfer", "target"), gap_seconds=0.3)
def leave_the_removed_to_find_out(stack: ExitStack) -> None:
    """Nobody tells a replica that it was removed: its node has requests wait for a leader that it will not hear of."""
    stack.enter_context(patch.object(Configuring, "_tell_removed", lambda self, members: None))
    stack.enter_context(patch.object(Whereabouts, "_is_gone", lambda self, group: False))


@mutation(10, MOVING)
def change_many_voters_in_one_step(stack: ExitStack) -> None:
    """A leader goes to the wished voters at once: the two majorities need not meet."""

    def leap(now: Configuration, leader: str, caught_up: Any, heard: Any) -> Configuration | None:
        return None if now.is_settled else Configuration(now.target, (), now.target)

    stack.enter_context(patch.object(leading, "next_step", leap))
    stack.enter_context(patch.object(leading, "is_single_step", lambda before, after: True))


@mutation(20, replace(USUAL, nodes=5), storm=("isolate", "kill", "target"), gap_seconds=0.2)
def lose_a_configuration_with_the_log(stack: ExitStack) -> None:
    """A configuration stays in force although the entry that held it was cut off."""

    def make(truncated: Any) -> Any:
        return lambda self, first: False

    change(stack, Configurations, "truncated", make)


@mutation(10, replace(USUAL, nodes=4), storm=("target",), gap_seconds=0.3)
def go_although_added_again(stack: ExitStack) -> None:
    """A replica that was told to go does, whatever it has confirmed since."""

    def retire(self: Host, group: RaftGroup) -> None:
        if self.groups.get(group.partition) is group and not self._is_closed:
            self.snapshots.forget(group)
            self._replicas.retire(group.partition)
            self.leader_changed(group)
            self.has_outgoing()

    def removed(self: Host, group: RaftGroup) -> None:
        self._loop.call_later(0.5, self._retire, group)

    stack.enter_context(patch.object(Host, "_retire", retire))
    stack.enter_context(patch.object(Host, "removed", removed))


# State.


@mutation(3)
def acknowledge_a_write_when_it_is_proposed(stack: ExitStack) -> None:
    """A client hears that its write is done as soon as it stands in the leader's log."""

    def make(propose: Any) -> Any:
        def hasty(self: RaftGroup, now: float) -> None:
            propose(self, now)
            for index, (_, dones) in self._proposed.items():
                for position, done in enumerate(dones):
                    done(Written(revision_of(index, position)))
            self._proposed.clear()

        return hasty

    change(stack, RaftGroup, "_propose_pending", make)


@mutation(3)
def lose_a_command_of_a_batch(stack: ExitStack) -> None:
    """Of an entry with two commands the second is not applied."""

    def make(apply: Any) -> Any:
        def wrong(self: StateMachine, index: LogIndex, term: Term, payload: bytes) -> list[Written]:
            entry = decode_entry(payload)
            if len(entry.commands) == 2:
                payload = encode_entry(entry.clock_ms, [encode_command(entry.commands[0])] * 2)
            return list(apply(self, index, term, payload))

        return wrong

    change(stack, StateMachine, "apply", make)


@mutation(3, storm=("isolate", "kill", "forget"))
def leave_the_tokens_out_of_the_snapshot(stack: ExitStack) -> None:
    """Who is sent a snapshot does not learn what has been done once."""

    def make(restored: Any) -> Any:
        def forgetful(self: RaftGroup, machine: StateMachine, now: float) -> None:
            engine, batch = machine.engine, WriteBatch()
            for key, _ in engine.scan(TOKEN, TOKEN_EXPIRY):
                batch.delete(key)
            engine.write(batch, sequence=engine.applied_sequence)
            restored(self, StateMachine(engine), now)

        return forgetful

    change(stack, RaftGroup, "restored", make)


@mutation(8)
def check_tokens_at_the_leader_alone(stack: ExitStack) -> None:
    """A leader answers from what it has applied; what is in the log is done, whatever was done before."""

    def make(propose: Any) -> Any:
        def checking(self: RaftGroup, command: bytes, deadline: float, done: Any) -> None:
            token = token_of(command)
            stored = self.machine.engine.get(TOKEN + token) if token is not None and self.is_leader else None
            if stored is not None:
                done(decode_stored(stored).result)
            else:
                propose(self, command, deadline, done)

        return checking

    def perform(self: Any, command: Once) -> Result:
        stored, self._stored = self._stored, lambda record: None if record[:1] == TOKEN else stored(record)
        try:
            return perform_once(self, command)
        finally:
            del self._stored

    perform_once: Callable[[Any, Once], Result] = applying._PERFORM[Once]
    change(stack, RaftGroup, "propose", make)
    stack.enter_context(patch.dict(applying._PERFORM, {Once: perform}))


@mutation(3)
def decide_conditions_before_the_log(stack: ExitStack) -> None:
    """A leader looks whether a condition holds, and what is in the log has none any more that counts."""

    def make(propose: Any) -> Any:
        def checking(self: RaftGroup, command: bytes, deadline: float, done: Any) -> None:
            decoded = decode_command(command)
            if self.is_leader and isinstance(decoded, ConditionalPut | ConditionalDelete):
                stored = self.machine.get(decoded.key, wait=True)
                item = decode_item(stored) if stored is not None else None
                if not is_as_expected(item, decoded.expected):
                    done(Unmet(item.revision if item is not None else 0))
                    return
            propose(self, command, deadline, done)

        return checking

    is_as_expected = applying._is_as_expected
    change(stack, RaftGroup, "propose", make)
    stack.enter_context(patch.object(applying, "_is_as_expected", lambda item, expected: True))


# Time.


@mutation(15, CLOCKS, storm=("jump", "delay"))
def expire_by_the_clock_of_a_replica(stack: ExitStack) -> None:
    """A replica shows nothing that has expired by its own time of day, whatever the log says."""

    def make(read_applied: Any) -> Any:
        def wrong(self: RaftGroup, key: bytes, done: Any) -> None:
            def found(item: bytes | RaftGroupError | None) -> None:
                is_past = isinstance(item, bytes) and is_absent(item, self._time._clocks.wall_ms())
                done(None if is_past else item)

            read_applied(self, key, found)

        return wrong

    change(stack, RaftGroup, "read_applied", make)


@mutation(15, CLOCKS, storm=("jump", "transfer"), gap_seconds=0.3)
def tell_the_raw_clock_of_the_leader(stack: ExitStack) -> None:
    """An entry tells its leader's time of day, and state-machine time is the greatest that was ever told."""

    def begin(self: GroupTime, newest_ms: int, *_: Any) -> tuple[int, int]:
        return max(newest_ms, self._clocks.wall_ms()), 0

    stack.enter_context(patch.object(GroupTime, "begin", begin))
    stack.enter_context(patch.object(GroupTime, "tell", lambda self, voters: self._clocks.wall_ms()))


@mutation(15, CLOCKS, storm=("jump", "transfer", "kill"), gap_seconds=1.0)
def believe_the_first_clock_that_answers(stack: ExitStack) -> None:
    """Time is steered towards whichever clock is the furthest ahead."""

    def middle(self: WallClocks, voters: Sequence[str]) -> TimeOfDay:
        known = [clock for clock in map(self.of, voters) if clock != UNKNOWN]
        return max(known, default=UNKNOWN)

    stack.enter_context(patch.object(WallClocks, "middle", middle))


@mutation(15, CLOCKS, storm=("kill-all", "kill-some"), gap_seconds=1.0)
def give_more_grace_than_is_allowed(stack: ExitStack) -> None:
    """A reign begins with the time of the newest entry, however long ago that was."""

    def begin(self: GroupTime, newest_ms: int, newest_at: float, behind_ms: int, *rest: Any) -> tuple[int, int]:
        self._grace_seconds = 1e9
        return begin_as_ever(self, newest_ms, newest_at, behind_ms, *rest)

    begin_as_ever = GroupTime.begin
    stack.enter_context(patch.object(GroupTime, "begin", begin))


@mutation(
    15, replace(CLOCKS, setting=Setting(grace_seconds=10.0)), storm=("kill-all", "kill-some", "jump"), gap_seconds=2.0
)
def give_no_grace(stack: ExitStack) -> None:
    """Time goes on while nobody leads, and what nobody could renew is gone."""

    def begin(self: GroupTime, *given: Any) -> tuple[int, int]:
        self._grace_seconds = 0.0
        return begin_as_ever(self, *given)

    begin_as_ever = GroupTime.begin
    stack.enter_context(patch.object(GroupTime, "begin", begin))


# Levels.


@mutation(5)
def serve_a_session_without_waiting(stack: ExitStack) -> None:
    """A replica shows a session what it has, though the session has seen more."""

    def hasty(self: RaftGroup, index: LogIndex, deadline: float, serve: Callable[[], None], refuse: Any) -> None:
        serve()

    stack.enter_context(patch.object(RaftGroup, "_await", hasty))


@mutation(10, replace(USUAL, faults=("net", "crash", "clock")))
def take_a_late_heartbeat_for_a_fresh_one(stack: ExitStack) -> None:
    """A follower counts its age from when it last heard from a leader, not from when that spoke."""

    def age_ms(self: RaftGroup, now: float) -> float:
        fresh_at = self.consensus.fresh_at
        return max(0.0, (now - max(self._confirmed_at, fresh_at if fresh_at is not None else -1e9)) * 1000)

    stack.enter_context(patch.object(RaftGroup, "_age_ms", age_ms))


@mutation(8, storm=("flip-table-bit", "kill", "compact"), gap_seconds=0.15)
def ignore_checksums(stack: ExitStack) -> None:
    """What is read from a table is taken for what was written to it."""
    stack.enter_context(patch.object(section, "crc32c", lambda *_: section.RESIDUE))


@mutation(5)
def replay_no_log_into_the_engine(stack: ExitStack) -> None:
    """An engine says that it has flushed what it has only in memory."""
    stack.enter_context(patch.object(Engine, "flushed_sequence", property(lambda self: self.applied_sequence)))
