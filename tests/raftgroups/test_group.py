from collections.abc import Iterator

import pytest

from engine import ClosedError, CorruptionError, EngineError
from raftgroups import group as group_module
from raftgroups.command import (
    CONTENT_TYPE_LENGTH_MAX,
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    Command,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    DeleteRange,
    Once,
    Put,
    Touch,
    encode_command,
    encode_entry,
)
from raftgroups.errors import (
    BehindError,
    DeadlineError,
    InvalidCommandError,
    NotLeaderError,
    OutcomeUnknownError,
    OverloadedError,
    RaftGroupError,
    StorageFullError,
    TokenBusyError,
)
from raftgroups.group import ENTRY_BYTES_MAX
from raftgroups.ids import COMMANDS_PER_ENTRY_MAX, LogIndex, Term, revision_of
from raftgroups.item import decode_item
from raftgroups.level import NEWEST, Freshness, Level
from raftgroups.messages import Append, Heartbeat, HeartbeatReply, ReadIndexReply, ReadIndexRequest
from raftgroups.result import Written
from raftgroups.span import Piece, Span
from tests.raftgroups.bench import LATER, Bench


@pytest.mark.parametrize("replicas", ["a", "abc"])
def test_a_write_is_applied_and_read_back(replicas: str) -> None:
    bench = Bench(replicas).lead()

    bench.put(b"key", b"value")
    assert bench.outcomes == []
    bench.turn()

    assert bench.outcomes == [Written(revision_of(LogIndex(2), 0))]
    stored = bench.group.machine.get(b"key", wait=False)
    assert stored is not None
    assert decode_item(stored).value == b"value"


LONG = b"k" * (KEY_BYTES_MAX + 1)


def test_the_commands_of_a_turn_share_an_entry() -> None:
    bench = Bench().lead()
    for number in range(5):
        bench.put(b"k%d" % number)
    bench.group.propose(encode_command(Delete(b"k0")), LATER, bench.outcomes.append)

    bench.turn()

    assert bench.batches == [6]
    assert bench.outcomes == [Written(revision_of(LogIndex(2), place)) for place in range(6)]


def test_an_entry_is_bounded_in_commands() -> None:
    bench = Bench().lead()
    for number in range(COMMANDS_PER_ENTRY_MAX + 1):
        bench.put(b"%d" % number, b"")

    bench.turn()
    assert bench.group.has_pending
    bench.turn()

    assert bench.batches == [COMMANDS_PER_ENTRY_MAX, 1]
    assert len(bench.outcomes) == COMMANDS_PER_ENTRY_MAX + 1


def test_an_entry_is_bounded_in_bytes() -> None:
    bench = Bench().lead()
    for number in range(60):
        bench.put(b"%d" % number, b"v" * 10_000)
    for _ in range(3):
        bench.turn()

    assert sum(bench.batches) == 60
    sizes = [len(payload) for _, payload in bench.log.entries_from(LogIndex(2), 1 << 30)]
    assert max(sizes) <= ENTRY_BYTES_MAX + 100
    assert len(sizes) == 3


def test_a_command_whose_deadline_has_passed_is_not_proposed() -> None:
    bench = Bench().lead()
    bench.put(b"late", deadline=bench.now)
    bench.put(b"in time", deadline=bench.now + 0.1)

    bench.turn()

    late, in_time = sorted(bench.outcomes, key=lambda outcome: isinstance(outcome, Written))
    assert isinstance(late, DeadlineError)
    assert not late.may_have_applied
    assert isinstance(in_time, Written)
    assert bench.group.machine.get(b"late", wait=False) is None


def test_a_turn_of_late_commands_writes_no_entry() -> None:
    bench = Bench().lead()
    last = bench.log.last_index
    bench.put(b"late", deadline=bench.now)

    bench.turn()

    assert bench.log.last_index == last


def test_commands_gather_while_the_log_is_being_synced() -> None:
    bench = Bench().lead()
    bench.put(b"x")
    bench.group.turn(bench.now, may_propose=False)
    assert bench.batches == []
    bench.put(b"y")

    bench.turn()

    assert bench.batches == [2]


def test_a_follower_says_who_leads() -> None:
    bench = Bench("abc")
    bench.group.consensus.receive("b", Heartbeat(0, 1, 0, 0), 0.0)

    bench.put(b"key")

    refusal = bench.outcomes[0]
    assert isinstance(refusal, NotLeaderError)
    assert (refusal.partition, refusal.leader) == (0, "b")


@pytest.mark.parametrize(
    "delete",
    [
        Delete(b"key"),
        ConditionalDelete(b"key", True),
        DeleteRange(b"k", None, 9, 99),
        Once(b"token", b"digest", 1_000, Delete(b"key")),
    ],
)
@pytest.mark.parametrize("is_exhausted", [False, True])
def test_a_full_disk_takes_deletes_as_long_as_it_can_and_nothing_else(is_exhausted: bool, delete: Command) -> None:
    bench = Bench().lead()
    bench.put(b"key")
    bench.turn()
    bench.is_full, bench.is_exhausted = True, is_exhausted

    bench.put(b"key")
    bench.propose(delete)
    bench.turn()

    first, second, third = bench.outcomes
    assert isinstance(first, Written) and isinstance(second, StorageFullError)
    assert isinstance(third, StorageFullError) is is_exhausted
    assert (bench.group.machine.get(b"key", wait=True) is None) != is_exhausted


def test_more_than_the_group_can_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "PENDING_COMMANDS_MAX", 3)
    bench = Bench().lead()
    for number in range(4):
        bench.put(b"%d" % number)

    assert [type(outcome) for outcome in bench.outcomes] == [OverloadedError]
    bench.turn()
    assert [type(outcome) for outcome in bench.outcomes] == [OverloadedError, Written, Written, Written]


@pytest.mark.parametrize(
    "command", [Put(LONG, b""), Put(b"k", b"v" * (VALUE_BYTES_MAX + 1)), Delete(LONG), Touch(LONG, 1), Touch(b"", 1)]
)
def test_a_command_that_no_replica_could_apply_is_refused(command: Command) -> None:
    """In the log it would stop every replica, again after each restart."""
    bench = Bench().lead()

    bench.group.propose(encode_command(command), LATER, bench.outcomes.append)
    bench.put(b"after")
    bench.turn()

    assert [type(outcome) for outcome in bench.outcomes] == [InvalidCommandError, Written]


def test_the_longest_command_is_applied() -> None:
    bench = Bench().lead()
    command = Put(b"k" * KEY_BYTES_MAX, b"v" * VALUE_BYTES_MAX, "t" * CONTENT_TYPE_LENGTH_MAX)

    bench.group.propose(encode_command(command), LATER, bench.outcomes.append)
    bench.turn()

    assert [type(outcome) for outcome in bench.outcomes] == [Written]


def test_more_reads_than_the_group_can_take_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for its round counts, and so does one that waits for the disk."""
    monkeypatch.setattr(group_module, "READS_WAITING_MAX", 2)
    bench = Bench().lead()
    bench.put(b"key")
    bench.turn()
    bench.group.machine.engine.flush()
    bench.disk.nowait = False
    bench.group.read_applied(b"key", bench.items.append)
    for _ in range(2):
        bench.read(b"key")
    bench.group.turn(bench.now, may_propose=True)
    bench.group.read_applied(b"key", bench.items.append)
    assert [type(item) for item in bench.items] == [OverloadedError, OverloadedError]

    for job in bench.jobs:
        job()
    bench.read(b"key")

    assert [type(item) for item in bench.items[2:]] == [bytes, bytes]


def test_what_waits_when_leadership_is_lost_was_not_applied() -> None:
    bench = Bench("abc").lead()
    bench.put(b"key")
    bench.depose()

    bench.group.turn(bench.now, may_propose=True)

    refusal = bench.outcomes[0]
    assert isinstance(refusal, NotLeaderError)
    assert not refusal.may_have_applied
    assert bench.batches == []


def test_a_proposal_that_another_entry_replaced_was_not_applied() -> None:
    bench = Bench("abc").lead()
    bench.put(b"key")
    bench.group.turn(bench.now, may_propose=True)
    bench.depose()
    other = bench.group.no_op(None)
    bench.group.consensus.receive("b", Append(0, 2, 1, 1, [(2, other), (2, other)], 3, 1), bench.now)

    bench.group.turn(bench.now, may_propose=True)

    refusal = bench.outcomes[0]
    assert isinstance(refusal, NotLeaderError)
    assert not refusal.may_have_applied
    assert bench.group.machine.get(b"key", wait=False) is None


def test_a_proposal_that_survives_its_leader_is_answered() -> None:
    bench = Bench("abc").lead()
    bench.put(b"key")
    bench.group.turn(bench.now, may_propose=True)
    bench.depose()

    bench.group.consensus.receive("b", Append(0, 2, 2, 1, [(2, bench.group.no_op(None))], 3, 1), bench.now)
    bench.group.turn(bench.now, may_propose=True)

    assert bench.outcomes == [Written(revision_of(LogIndex(2), 0))]


def test_nothing_is_proposed_while_leadership_is_handed_over() -> None:
    bench = Bench("abc").lead()
    bench.put(b"before")
    bench.group.turn(bench.now, may_propose=True)
    bench.group.consensus.transfer("b", bench.now)
    bench.put(b"key")

    bench.group.turn(bench.now, may_propose=True)

    assert bench.batches == [1]
    assert bench.outcomes == []


def test_a_read_sees_the_write_before_it() -> None:
    bench = Bench().lead()
    bench.put(b"key", b"value")
    bench.turn()

    bench.read(b"key")
    bench.read(b"absent")
    bench.turn()

    found, absent = bench.items
    assert isinstance(found, bytes)
    assert decode_item(found).value == b"value"
    assert absent is None


def test_a_read_without_a_leader_is_refused() -> None:
    bench = Bench("abc")

    bench.read(b"key")

    assert isinstance(bench.items[0], NotLeaderError)


def test_a_read_that_must_wait_for_the_disk_does_so_elsewhere() -> None:
    bench = Bench().lead()
    bench.put(b"key")
    bench.turn()
    bench.group.machine.engine.flush()
    bench.disk.nowait = False
    bench.group.read_applied(b"key", bench.items.append)
    assert bench.items == []

    bench.jobs.pop()()

    assert isinstance(bench.items[0], bytes)


def test_many_keys_are_read_together() -> None:
    """At once while memory has them; if one must wait for the disk, all are read elsewhere."""
    bench = Bench().lead()
    bench.put(b"key")
    bench.turn()
    found: list[list[bytes | None] | RaftGroupError] = []
    bench.group.read_many_applied([b"key", b"absent"], found.append)
    bench.group.machine.engine.flush()
    bench.disk.nowait = False
    bench.group.read_many_applied([b"absent", b"key"], found.append)
    assert len(found) == 1

    bench.jobs.pop()()

    at_once, elsewhere = found
    assert isinstance(at_once, list) and isinstance(elsewhere, list)
    assert at_once == elsewhere[::-1]
    assert isinstance(at_once[0], bytes) and at_once[1] is None


def test_a_replica_that_stops_answers_everybody() -> None:
    bench = Bench("abc").lead()
    bench.put(b"proposed")
    bench.group.turn(bench.now, may_propose=True)
    bench.put(b"pending")

    bench.group.fail(RuntimeError("damage"))

    by_type = {type(outcome): outcome for outcome in bench.outcomes}
    assert set(by_type) == {NotLeaderError, OutcomeUnknownError}
    unknown = by_type[OutcomeUnknownError]
    assert isinstance(unknown, OutcomeUnknownError)
    assert unknown.may_have_applied
    assert not bench.group.is_leader
    bench.put(b"after")
    assert isinstance(bench.outcomes[-1], NotLeaderError)


def test_a_replica_that_stops_gives_up_its_reads() -> None:
    bench = Bench("abc").lead()
    bench.put(b"x")
    bench.group.turn(bench.now, may_propose=True)
    bench.read(b"key")
    bench.group.turn(bench.now, may_propose=True)

    bench.group.fail(RuntimeError("damage"))

    assert [type(item) for item in bench.items] == [NotLeaderError]


def test_a_follower_that_stops_gives_up_its_reads() -> None:
    bench = Bench("abc")
    bench.group.consensus.receive("b", Heartbeat(0, 1, 0, 0), 0.0)
    bench.read(b"asked")
    bench.group.turn(bench.now, may_propose=True)
    bench.read(b"to be asked")

    bench.group.fail(RuntimeError("damage"))

    assert [type(item) for item in bench.items] == [NotLeaderError] * 2


def test_a_restored_replica_cannot_tell_what_became_of_its_proposals() -> None:
    bench = Bench("abc").lead()
    bench.put(b"key")
    bench.group.turn(bench.now, may_propose=True)
    bench.depose()
    other = Bench()
    for index in range(1, 6):
        other.group.machine.apply(LogIndex(index), Term(2), other.group.no_op(None))

    bench.group.restored(other.group.machine, bench.now)

    assert [type(outcome) for outcome in bench.outcomes] == [OutcomeUnknownError]
    assert bench.group.consensus.applied_index == 5


def test_staleness_is_bounded_by_the_last_contact() -> None:
    bench = Bench("abc")
    assert bench.group.staleness_ms(0.0) == 5_000, "nothing was ever applied"
    bench.group.consensus.receive("b", Heartbeat(0, 1, 0, 0), 10.0)

    assert bench.group.staleness_ms(10.5) == 500


def test_flushed_entries_are_forgotten_but_for_a_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "TAIL_BYTES", 1000)
    bench = Bench().lead()
    for number in range(50):
        bench.put(b"%d" % number, b"v" * 100)
        bench.turn()
    bench.group.forget_flushed()
    assert bench.log.first_index == 0, "the engine has not flushed"
    bench.group.machine.engine.flush()
    bench.group.hold_log()
    bench.group.forget_flushed()
    assert bench.log.first_index == 0, "a snapshot is on its way"
    bench.group.release_log()

    bench.group.forget_flushed()

    assert bench.log.bytes_in_memory <= 1000
    assert 0 < bench.log.first_index <= bench.log.last_index


# Damage.


@pytest.mark.parametrize("what", ["node", "engine"])
def test_a_replica_without_room_should_not_lead(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    bench = Bench("abc").lead()
    assert not bench.group.is_impaired

    if what == "node":
        bench.is_full = True
    else:
        monkeypatch.setattr(type(bench.group.machine.engine), "is_full", True)

    assert bench.group.is_impaired


@pytest.mark.parametrize(
    ("error", "is_damaged"),
    [(CorruptionError("000001.sst", 8, "a flipped bit"), True), (ClosedError("the engine is closed"), False)],
)
def test_a_replica_whose_tables_cannot_be_read_should_not_lead(
    monkeypatch: pytest.MonkeyPatch, error: EngineError, is_damaged: bool
) -> None:
    """The reader is sent elsewhere; log and vote are as good as before, so the replica is not stopped."""
    bench = Bench("abc").lead()

    def fails(key: bytes, *, wait: bool) -> bytes | None:
        raise error

    monkeypatch.setattr(bench.group.machine, "get", fails)
    bench.group.read_applied(b"key", bench.items.append)

    assert [type(item) for item in bench.items] == [NotLeaderError]
    assert (bench.group.damage is error) == is_damaged
    assert bench.group.is_impaired == is_damaged
    assert bench.group.failure is None
    bench.put(b"key")
    bench.turn()
    assert isinstance(bench.outcomes[0], Written)


# Time, tokens and levels.


def test_what_expires_does_so_without_a_write() -> None:
    """The leader says that time has passed, and once is enough."""
    bench = Bench().lead()
    bench.propose(ConditionalPut(b"key", b"value", "", 500))
    bench.turn()
    before = bench.log.last_index

    bench.turn()
    assert bench.log.last_index == before
    bench.now += 0.5
    bench.turn()
    bench.turn()

    assert bench.log.last_index == before + 1
    assert bench.group.machine.get(b"key", wait=True) is None


@pytest.mark.parametrize("leads", [True, False])
def test_only_a_leader_with_room_says_so(leads: bool) -> None:
    bench = Bench("abc").lead()
    bench.propose(ConditionalPut(b"key", b"value", "", 500))
    bench.turn()
    bench.is_full = leads
    if not leads:
        bench.depose()
    before = bench.log.last_index

    bench.now += 0.5
    bench.turn()

    assert bench.log.last_index == before


def test_a_token_that_is_on_its_way_is_busy() -> None:
    bench = Bench().lead()
    command = Once(b"token", b"digest", 1_000, Put(b"key", b"value"))

    bench.propose(command)
    bench.propose(command)
    bench.turn()
    bench.propose(command)
    bench.turn()

    busy, first, again = bench.outcomes
    assert isinstance(busy, TokenBusyError) and not busy.may_have_applied
    assert isinstance(first, Written) and first == again


def test_a_token_is_free_again_when_its_command_has_failed() -> None:
    bench = Bench("abc").lead()
    command = Once(b"token", b"digest", 1_000, Put(b"key", b"value"))
    bench.propose(command)
    bench.depose()
    bench.turn()
    bench.now += 10
    bench.lead()

    bench.propose(command)
    bench.turn()

    assert [type(outcome) for outcome in bench.outcomes] == [NotLeaderError, Written]


class Admission:
    """What became of a wish to read."""

    def __init__(self, bench: Bench, fresh: Freshness, seconds: float = 1.0) -> None:
        self.served: list[tuple[Level, int]] = []
        self.refused: list[RaftGroupError] = []
        bench.group.admit(
            fresh,
            bench.now,
            bench.now + seconds,
            lambda level, age_ms: self.served.append((level, age_ms)),
            self.refused.append,
        )


def test_a_session_waits_until_the_replica_has_what_it_has_seen() -> None:
    bench = Bench("abc", "b")
    bench.depose("a")
    consensus = bench.group.consensus
    seen = Admission(bench, Freshness(Level.SESSION, 1))
    nothing = Admission(bench, Freshness(Level.SESSION, 0))

    assert not seen.served and [level for level, _ in nothing.served] == [Level.SESSION]
    entries: list[tuple[int, bytes]] = [(consensus.term, encode_entry(1, []))]
    consensus.receive("a", Append(0, consensus.term, 0, 0, entries, 1, 1), bench.now)
    bench.turn()

    assert [level for level, _ in seen.served] == [Level.SESSION] and not seen.refused


def test_a_session_is_told_when_the_replica_does_not_catch_up() -> None:
    bench = Bench("abc", "b")
    bench.depose("a")
    waiting = Admission(bench, Freshness(Level.SESSION, 9), seconds=1.0)
    longer = Admission(bench, Freshness(Level.SESSION, 9), seconds=2.0)

    bench.group.tick(bench.now + 1.0)

    assert not waiting.served and isinstance(waiting.refused[0], BehindError)
    assert not longer.refused


def test_a_follower_that_does_not_catch_up_sends_the_reader_on() -> None:
    """Its leader has told up to where it must have applied, and it has not got the entries."""
    bench = Bench("abc", "b")
    bench.depose("a")
    admission = Admission(bench, NEWEST, seconds=1.0)
    bench.group.turn(bench.now, may_propose=True)
    [asked] = [message for _, message in bench.sent if isinstance(message, ReadIndexRequest)]
    bench.group.consensus.receive("a", ReadIndexReply(0, bench.group.consensus.term, asked.read, 1, 1), bench.now)

    bench.group.tick(bench.now + 0.9)
    assert not admission.served and not admission.refused
    bench.group.tick(bench.now + 1.0)

    assert isinstance(admission.refused[0], NotLeaderError)


def test_a_leader_has_the_reader_wait_for_what_it_commits() -> None:
    bench = Bench("abc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "turn", lambda: None)
        bench.lead()
    admission = Admission(bench, NEWEST, seconds=0.01)
    bench.group.turn(bench.now, may_propose=True)
    heartbeat = [message for _, message in bench.sent if isinstance(message, Heartbeat)][-1]
    reply = HeartbeatReply(0, bench.group.consensus.term, heartbeat.round)
    bench.group.consensus.receive("b", reply, bench.now)

    bench.group.tick(bench.now + 0.02)
    assert not admission.served and not admission.refused
    bench.turn()

    assert admission.served == [(Level.LINEARIZABLE, 0)]


def test_a_follower_on_a_full_disk_sends_the_reader_on_at_once() -> None:
    bench = Bench("abc", "b")
    bench.depose("a")
    bench.is_full = bench.is_exhausted = True

    refused = Admission(bench, NEWEST)
    stale = Admission(bench, Freshness(Level.STALE))

    assert isinstance(refused.refused[0], BehindError)
    assert stale.served


def test_a_leader_serves_what_is_bounded_once_a_round_has_shown_how_old_it_is() -> None:
    bench = Bench().lead()

    first = Admission(bench, Freshness(Level.BOUNDED, 0, 0))
    bench.turn()
    assert first.served == [(Level.LINEARIZABLE, 0)]
    second = Admission(bench, Freshness(Level.BOUNDED, 0, 0))

    assert second.served == [(Level.BOUNDED, 0)]


def test_a_new_leader_does_not_know_how_old_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is followed, but has yet to learn what its predecessors have committed."""
    bench = Bench("abc")
    with monkeypatch.context() as patch:
        patch.setattr(bench, "turn", lambda: None)
        bench.lead()

    admission = Admission(bench, Freshness(Level.BOUNDED, 0, 60_000))

    assert not admission.served and not admission.refused


def test_a_leader_proves_the_age_by_a_round_not_by_answers_that_came_late() -> None:
    """Whoever gave them may follow another leader since."""
    bench = Bench("abc").lead()
    bench.now += 1.0
    for peer in "bc":
        bench.group.consensus.receive(peer, HeartbeatReply(0, bench.group.consensus.term, 0), bench.now)

    admission = Admission(bench, Freshness(Level.BOUNDED, 0, 100))

    assert not admission.served and not admission.refused


def test_a_follower_proves_the_age_by_what_it_asked_not_by_what_came_late() -> None:
    """A heartbeat may have been on its way for any time; the answer to a question is newer than the question."""
    bench = Bench("abc", "b")
    bench.depose("a")
    bench.group.consensus.receive("a", Heartbeat(0, bench.group.consensus.term, 0, 1), bench.now)
    first = Admission(bench, Freshness(Level.BOUNDED, 0, 60_000))
    assert not first.served
    bench.group.turn(bench.now, may_propose=True)
    [asked] = [message for _, message in bench.sent if isinstance(message, ReadIndexRequest)]
    bench.now += 1.0
    reply = ReadIndexReply(0, bench.group.consensus.term, asked.read, 1, 1)
    entries: list[tuple[int, bytes]] = [(bench.group.consensus.term, encode_entry(1, []))]
    bench.group.consensus.receive("a", Append(0, bench.group.consensus.term, 0, 0, entries, 1, 1), bench.now)
    bench.group.consensus.receive("a", reply, bench.now)
    bench.turn()
    assert first.served == [(Level.LINEARIZABLE, 0)]

    bench.now += 1.0
    fresh, strict = (Admission(bench, Freshness(Level.BOUNDED, 0, ms)) for ms in (2_000, 1_999))

    assert fresh.served == [(Level.BOUNDED, 2_000)]
    assert not strict.served


def test_what_is_bounded_needs_a_leader_once_it_is_too_old() -> None:
    bench = Bench("abc", "b")

    admission = Admission(bench, Freshness(Level.BOUNDED, 0, 5_000))

    assert isinstance(admission.refused[0], NotLeaderError)


def test_a_scan_reads_elsewhere_and_counts_as_a_waiting_read(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench().lead()
    bench.put(b"key", b"value")
    bench.turn()
    found: list[Piece | RaftGroupError] = []
    monkeypatch.setattr(group_module, "READS_WAITING_MAX", 1)

    bench.group.scan_applied(Span(), found.append)
    bench.group.scan_applied(Span(), found.append)

    assert [type(piece) for piece in found] == [OverloadedError]
    bench.jobs.pop()()
    assert isinstance(found[1], Piece) and [key for key, _ in found[1].pairs] == [b"key"]
    bench.group.scan_applied(Span(), found.append)
    assert len(bench.jobs) == 1 and len(found) == 2


@pytest.mark.parametrize("when", ["at once", "elsewhere"])
def test_a_scan_that_cannot_be_read_casts_doubt_on_the_replica(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench().lead()
    found: list[Piece | RaftGroupError] = []

    def fail(*_: object, **__: object) -> Iterator[tuple[bytes, bytes]]:
        if when == "at once":
            raise ClosedError("closed")
        return failing()

    def failing() -> Iterator[tuple[bytes, bytes]]:
        yield from ()
        raise CorruptionError("x.sst", 0, "bad block")

    monkeypatch.setattr(bench.group.machine.engine, "scan", fail)
    bench.group.scan_applied(Span(), found.append)
    for job in bench.jobs:
        job()

    assert [type(error) for error in found] == [NotLeaderError]
    assert (bench.group.damage is not None) == (when == "elsewhere")
