"""What a replica tells of what it has applied: everything once and in order, or how far back it can go."""

import pytest

from raftgroups import history as history_module
from raftgroups import telling as module
from raftgroups.change import Position
from raftgroups.command import AppendTo, Command, ConditionalPut, Delete, Increment, Put, Touch, Transaction
from raftgroups.ids import LogIndex
from raftgroups.telling import tell
from tests.raftgroups.bench import Bench

ALL = 1 << 30
START = Position(2)  # the entry before it is the leader's first, of nothing
Seen = list[tuple[bytes, bytes | None, bool]]


def play(bench: Bench) -> None:
    """A change of each kind, and some commands that change nothing."""
    entries: list[list[Command]] = [
        [Put(b"a", b"1"), Put(b"b", b"2")],
        [Increment(b"n", 5), Put(b"a", b"3"), Touch(b"nowhere", 5)],
        [ConditionalPut(b"soon", b"gone", "", 100), ConditionalPut(b"a", b"no", "", 0, False)],
        [Transaction([], [ConditionalPut(b"t", b"1"), ConditionalPut(b"u", b"2")], [])],
        [ConditionalPut(b"a", b"no", "", 0, False)],
        [Delete(b"b"), AppendTo(b"a", b"!", 100)],
    ]
    for commands in entries:
        for command in commands:
            bench.propose(command)
        bench.turn()
    bench.now += 1.0
    bench.put(b"z")
    bench.turn()


STORY: Seen = [
    (b"a", b"1", False),
    (b"b", b"2", False),
    (b"n", b"5", False),
    (b"a", b"3", False),
    (b"soon", b"gone", False),
    (b"t", b"1", False),
    (b"u", b"2", False),
    (b"b", None, False),
    (b"a", b"3!", False),
    (b"soon", None, True),
    (b"z", b"value", False),
]


def seen(bench: Bench, position: Position, bytes_max: int = ALL) -> Seen:
    """All from a position on, in as many tellings as it takes."""
    found: Seen = []
    while True:
        told = tell(bench.group, position, bytes_max)
        assert told.oldest is None
        for one in told.changes:
            assert position < one.position <= told.position
            position = one.position
            item = one.change.item
            found.append((one.change.key, item.value if item is not None else None, one.change.has_expired))
        if told.position == position and not told.changes:
            return found
        position = told.position


def test_every_change_is_told_once_and_in_order() -> None:
    bench = Bench().lead()
    play(bench)

    assert seen(bench, START) == STORY
    assert seen(bench, START, 1) == STORY


def test_one_goes_on_from_wherever_one_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two changes, also those of one entry."""
    monkeypatch.setattr(module, "PART_BYTES", 1)
    bench = Bench().lead()
    play(bench)
    told = [one for number in range(2, 12) for one in tell(bench.group, Position(number), 1).changes]

    for one in told:
        rest = seen(bench, one.position)
        assert rest == STORY[len(STORY) - len(rest) :]
        assert (one.change.key, len(STORY) - len(rest)) in [(key, at) for at, (key, _, _) in enumerate(STORY, 1)]


def test_what_is_not_wanted_may_be_left_out() -> None:
    """What is wanted is told as if all were, and one is as far afterwards."""
    bench = Bench().lead()
    play(bench)
    everything = tell(bench.group, START, ALL)

    told = tell(bench.group, START, ALL, lambda key: key == b"a")

    assert [one for one in told.changes if one.change.key == b"a"] == [
        one for one in everything.changes if one.change.key == b"a"
    ]
    assert len(told.changes) < len(everything.changes)
    assert told.position == everything.position


def test_revisions_are_those_that_writers_were_told() -> None:
    bench = Bench().lead()
    play(bench)

    revisions = [one.change.revision for one in tell(bench.group, START, ALL).changes]
    acknowledged = {getattr(outcome, "revision", 0) for outcome in bench.outcomes}

    assert revisions == sorted(revisions)
    assert len(set(revisions)) == len(revisions) - 1, "the two of a transaction share theirs"
    assert len(set(revisions) - acknowledged) == 1, "nobody was told when a key expired"


def test_what_is_not_there_yet_is_waited_for() -> None:
    bench = Bench().lead()
    play(bench)
    end = tell(bench.group, START, ALL).position

    assert end == Position(bench.group.machine.applied_index + 1)
    assert tell(bench.group, end, ALL) == module.Telling([], end)
    assert tell(bench.group, Position(end.entry + 5), ALL).position == Position(end.entry + 5)


def test_the_history_survives_a_restart() -> None:
    bench = Bench().lead()
    play(bench)
    bench.group.machine.engine.close()
    bench.node_log.close()

    again = Bench(disk=bench.disk).lead()

    assert seen(again, START) == STORY


def test_what_the_log_has_let_go_is_too_old() -> None:
    bench = Bench().lead()
    play(bench)
    bench.log.forget_before(LogIndex(5))

    told = tell(bench.group, START, ALL)
    assert (told.changes, told.position, told.oldest) == ([], START, Position(6))
    assert seen(bench, Position(6)) == STORY[-4:]


def test_what_is_not_kept_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "HISTORY_BYTES_MAX", 300)
    bench = Bench().lead()
    play(bench)

    oldest = tell(bench.group, START, ALL).oldest

    assert oldest is not None
    assert oldest.entry > 4
    assert seen(bench, oldest) == STORY[-len(seen(bench, oldest)) :]


def test_who_watches_is_called_after_every_entry() -> None:
    bench = Bench().lead()
    calls: list[int] = []
    bench.group.on_applied = lambda: calls.append(bench.group.machine.applied_index)
    bench.put(b"a")
    bench.turn()
    bench.group.on_applied = None
    bench.put(b"a")
    bench.turn()

    assert calls == [2]
