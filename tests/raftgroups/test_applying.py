"""What each command does, and that an entry does the same over an engine and over a dict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftgroups import applying
from raftgroups.applying import Agenda, effects_of
from raftgroups.change import Change
from raftgroups.command import (
    INTEGER_MAX,
    INTEGER_MIN,
    AppendTo,
    Command,
    Comparison,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    DeleteRange,
    Entry,
    Expected,
    Field,
    Get,
    Increment,
    Once,
    Operator,
    Put,
    Repeatable,
    Step,
    Touch,
    Transaction,
)
from raftgroups.ids import EXPIRED_PER_ENTRY_MAX, LogIndex, revision_of
from raftgroups.item import Item, decode_item
from raftgroups.result import (
    Changed,
    Cleared,
    Decided,
    Found,
    Missing,
    Reason,
    Rejected,
    Result,
    Reused,
    Unmet,
    Written,
)
from raftgroups.schema import EXPIRY, TOKEN, TOKENS_KEY, USER
from tests.raftgroups.records import DictRecords

DAY_MS = 86_400_000


class Partition:
    """Entries one after the other, each of the next index."""

    def __init__(self) -> None:
        self.records = DictRecords()
        self.agenda = Agenda(self.records, 0)
        self.index = 0
        self.clock_ms = 1_000
        self.changes: list[Change] = []

    def apply(self, *commands: Command, after_ms: int = 0) -> list[Result]:
        self.index += 1
        self.clock_ms += after_ms
        entry = Entry(self.clock_ms, list(commands))
        effects = effects_of(self.records, self.agenda, LogIndex(self.index), entry, self.clock_ms)
        self.records.write(effects.batch)
        self.agenda.written()
        self.changes += effects.changes or []
        return effects.results

    def do(self, command: Command, after_ms: int = 0) -> Result:
        [result] = self.apply(command, after_ms=after_ms)
        return result

    def at(self, position: int = 0) -> int:
        """The revision of the command at this position of the newest entry."""
        return revision_of(LogIndex(self.index), position)

    def item(self, key: bytes = b"k") -> Item | None:
        stored = self.records.get(USER + key)
        return None if stored is None else decode_item(stored)

    def count(self, kind: bytes) -> int:
        return sum(key[:1] == kind for key in self.records.content)


@pytest.fixture
def partition() -> Partition:
    return Partition()


# Conditions.


@pytest.mark.parametrize(
    ("expected", "if_absent", "if_there"),
    [
        (None, True, True),
        (True, False, True),
        (False, True, False),
        ((), False, False),
        ((4096, 7), False, True),
        ((7,), False, False),
    ],
)
def test_a_condition_decides(partition: Partition, expected: Expected, if_absent: bool, if_there: bool) -> None:
    absent = partition.do(ConditionalPut(b"absent", b"v", "t", 0, expected))
    assert absent == (Written(partition.at()) if if_absent else Unmet(0))
    assert (partition.item(b"absent") is not None) is if_absent

    other = Partition()
    other.do(Put(b"k", b"old"))
    for command in (ConditionalPut(b"k", b"new", "t", 0, expected), ConditionalDelete(b"k", expected)):
        other = Partition()
        other.do(Put(b"k", b"old"))
        assert other.do(command) == (Written(other.at()) if if_there else Unmet(revision_of(LogIndex(1), 0)))
        item = other.item()
        assert (item is not None and item.value == b"old") is not if_there


def test_a_command_sees_what_those_before_it_have_written(partition: Partition) -> None:
    results = partition.apply(
        ConditionalPut(b"k", b"1", "", 0, False),
        ConditionalPut(b"k", b"2", "", 0, False),
        ConditionalPut(b"k", b"3", "", 0, (partition.at() + 4096,)),
        ConditionalDelete(b"k", True),
        ConditionalDelete(b"k", True),
    )

    first = partition.at()
    assert results == [Written(first), Unmet(first), Written(first + 2), Written(first + 3), Unmet(0)]
    assert [(change.revision, change.item is None) for change in partition.changes] == [
        (first, False),
        (first + 2, False),
        (first + 3, True),
    ]


# Numbers and values.


def test_a_counter_starts_at_nothing_and_keeps_its_type_and_end(partition: Partition) -> None:
    assert partition.do(Increment(b"k", 5)) == Changed(partition.at(), b"5", "application/json")
    partition.do(ConditionalPut(b"k", b"-7", "text/plain", 500))
    assert partition.do(Increment(b"k", 10)) == Changed(partition.at(), b"3", "text/plain", 1_500, 1_000)


@pytest.mark.parametrize(
    "value", [b"", b"-", b"x", b"1.5", b" 1", b"1_0", b"\xd9\xa1", b"9223372036854775808", b"1" * 99]
)
def test_only_a_number_can_be_counted(partition: Partition, value: bytes) -> None:
    partition.do(Put(b"k", value))

    result = partition.do(Increment(b"k", 1))

    assert isinstance(result, Rejected) and result.reason is Reason.NOT_A_NUMBER
    assert partition.item() == Item(4096, value)


@pytest.mark.parametrize(("number", "by"), [(INTEGER_MAX, 1), (INTEGER_MIN, -1)])
def test_a_counter_never_leaves_64_bits(partition: Partition, number: int, by: int) -> None:
    partition.do(Put(b"k", b"%d" % number))

    result = partition.do(Increment(b"k", by))

    assert isinstance(result, Rejected) and result.reason is Reason.OVERFLOW
    assert partition.do(Increment(b"k", -by)) == Changed(partition.at(), b"%d" % (number - by))


def test_an_append_makes_and_lengthens_a_value_up_to_its_bound(partition: Partition) -> None:
    assert partition.do(AppendTo(b"k", b"ab", 6)) == Changed(partition.at(), b"ab")
    assert partition.do(AppendTo(b"k", b"cde", 6)) == Changed(partition.at(), b"abcde")
    result = partition.do(AppendTo(b"k", b"f", 6))

    assert isinstance(result, Rejected) and result.reason is Reason.TOO_LARGE
    item = partition.item()
    assert item is not None and item.value == b"abcde"


# Time.


def test_a_key_is_gone_when_its_time_has_come(partition: Partition) -> None:
    partition.do(ConditionalPut(b"k", b"v", "", 500))
    assert partition.agenda.next_ms == 1_500

    partition.apply(after_ms=499)
    assert partition.item() is not None
    partition.apply(after_ms=1)

    assert partition.item() is None and not partition.count(EXPIRY)
    assert partition.changes[-1] == Change(revision_of(LogIndex(3), 0), b"k", None, has_expired=True)


def test_what_expires_comes_before_the_commands_of_its_entry(partition: Partition) -> None:
    partition.apply(ConditionalPut(b"k", b"1", "", 500), ConditionalPut(b"l", b"1", "", 500))

    results = partition.apply(ConditionalPut(b"k", b"2", "", 0, False), after_ms=500)

    assert results == [Written(partition.at(2))]
    assert [change.revision - partition.at() for change in partition.changes[2:]] == [0, 1, 2]


@pytest.mark.parametrize(
    "command",
    [Put(b"k", b"new"), ConditionalPut(b"k", b"new", "", 1_000), Touch(b"k", 0), Touch(b"k", 1_000)],
)
def test_the_end_of_an_older_value_is_not_that_of_a_newer(partition: Partition, command: Command) -> None:
    partition.do(ConditionalPut(b"k", b"old", "", 500))
    partition.do(command, after_ms=400)

    partition.apply(after_ms=100)

    assert partition.item() is not None


def test_touch_needs_a_key(partition: Partition) -> None:
    assert partition.do(Touch(b"k", 5)) == Missing()
    partition.do(Put(b"k", b"v", "t"))
    assert partition.do(Touch(b"k", 5)) == Changed(partition.at(), b"v", "t", 1_005, 1_000)
    assert partition.do(Touch(b"k", 0)) == Changed(partition.at(), b"v", "t")


def test_more_than_an_entry_can_let_go_is_absent_all_the_same(partition: Partition) -> None:
    keys = [b"k%04d" % number for number in range(EXPIRED_PER_ENTRY_MAX + 10)]
    partition.apply(*[ConditionalPut(key, b"v", "", 500) for key in keys])

    results = partition.apply(*[ConditionalPut(key, b"w", "", 0, False) for key in keys[-10:]], after_ms=500)

    assert results == [Written(partition.at(EXPIRED_PER_ENTRY_MAX + number)) for number in range(10)]
    assert partition.count(USER) == 10


# Transactions.


def test_a_transaction_takes_one_branch_whole(partition: Partition) -> None:
    partition.do(Put(b"a", b"1"))
    then: list[Step] = [Get(b"a"), ConditionalPut(b"a", b"2"), Get(b"a"), ConditionalDelete(b"b")]
    command = Transaction([Comparison(b"a", Field.VALUE, Operator.EQ, b"1")], then, [ConditionalPut(b"c", b"3", "", 9)])

    first = partition.do(command)
    assert first == Decided(
        True,
        [Found(Item(4096, b"1")), Written(partition.at()), Found(Item(partition.at(), b"2")), Written(partition.at())],
        partition.at(),
        1_000,
    )
    second = partition.do(command)
    assert second == Decided(False, [Written(partition.at())], partition.at(), 1_000)
    assert partition.item(b"c") == Item(partition.at(), b"3", "", 1_009)
    assert partition.do(Transaction([], [Get(b"x")], [])) == Decided(True, [Found(None)], 0, 1_000)


@pytest.mark.parametrize(
    ("comparison", "holds"),
    [
        (Comparison(b"k", Field.EXISTS, Operator.EQ, True), True),
        (Comparison(b"k", Field.EXISTS, Operator.EQ, False), False),
        (Comparison(b"no", Field.EXISTS, Operator.EQ, False), True),
        (Comparison(b"k", Field.REVISION, Operator.EQ, 4096), True),
        (Comparison(b"k", Field.REVISION, Operator.GT, 4096), False),
        (Comparison(b"k", Field.REVISION, Operator.GE, 4096), True),
        (Comparison(b"k", Field.REVISION, Operator.LT, 4097), True),
        (Comparison(b"no", Field.REVISION, Operator.EQ, 0), True),
        (Comparison(b"k", Field.VALUE, Operator.LE, b"m"), True),
        (Comparison(b"k", Field.VALUE, Operator.NE, b"m"), False),
        (Comparison(b"no", Field.VALUE, Operator.NE, b"m"), True),
        (Comparison(b"no", Field.VALUE, Operator.EQ, b""), False),
        (Comparison(b"k", Field.VALUE, Operator.EQ, 7), False),
        (Comparison(b"k", Field.REVISION, Operator.LT, b"7"), False),
    ],
)
def test_a_comparison_holds_or_not(partition: Partition, comparison: Comparison, holds: bool) -> None:
    partition.do(Put(b"k", b"m"))

    assert partition.do(Transaction([comparison], [], [])) == Decided(holds, [], 0, 1_000)


# A range.


def filled(partition: Partition, *names: bytes) -> None:
    partition.apply(*[Put(name, b"v") for name in names])


def test_a_range_is_deleted_from_its_start_up_to_its_end(partition: Partition) -> None:
    filled(partition, b"a", b"b", b"b\xff", b"c", b"\xff\xff")

    assert partition.do(DeleteRange(b"b", b"c", 10, 1 << 20)) == Cleared(partition.at(), 2)
    assert [key for key in (b"a", b"b", b"b\xff", b"c") if partition.item(key)] == [b"a", b"c"]
    assert [change.key for change in partition.changes[-2:]] == [b"b", b"b\xff"]
    assert all(change == Change(partition.at(), change.key, None) for change in partition.changes[-2:])
    assert partition.do(DeleteRange(b"", None, 10, 1 << 20)) == Cleared(partition.at(), 3)
    assert not partition.count(USER)


@pytest.mark.parametrize(("keys_max", "bytes_max"), [(2, 1 << 20), (100, 20)])
def test_a_long_range_is_deleted_a_piece_at_a_time(partition: Partition, keys_max: int, bytes_max: int) -> None:
    names = [b"k%d" % number for number in range(5)]
    filled(partition, *names)

    start, pieces = b"k", []
    while True:
        cleared = partition.do(DeleteRange(start, b"l", keys_max, bytes_max))
        assert isinstance(cleared, Cleared)
        pieces.append((cleared.deleted, cleared.reached))
        if cleared.reached is None:
            break
        start = cleared.reached + b"\0"

    assert pieces == [(2, b"k1"), (2, b"k3"), (1, None)]
    assert not partition.count(USER)


def test_a_range_has_what_the_commands_before_it_have_left(partition: Partition) -> None:
    filled(partition, b"b", b"d")

    results = partition.apply(
        Put(b"a", b"new"), Delete(b"b"), Put(b"e", b"beyond"), DeleteRange(b"a", None, 2, 1 << 20), Put(b"d", b"after")
    )

    assert results[3] == Cleared(partition.at(3), 3)
    assert [name for name in (b"a", b"b", b"d", b"e") if partition.item(name)] == [b"d"]
    assert partition.changes[-4:-1] == [Change(partition.at(3), name, None) for name in (b"a", b"d", b"e")]


def test_what_had_expired_in_a_range_is_told_so_and_not_counted(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "EXPIRED_PER_ENTRY_MAX", 0)
    partition.apply(ConditionalPut(b"a", b"v", ttl_ms=5), ConditionalPut(b"b", b"v", ttl_ms=9))

    assert partition.do(DeleteRange(b"", None, 10, 1 << 20), after_ms=7) == Cleared(partition.at(), 1)
    assert partition.changes[-2:] == [Change(partition.at(), b"a", None, True), Change(partition.at(), b"b", None)]


def test_a_range_is_deleted_once(partition: Partition) -> None:
    filled(partition, b"a", b"b")
    command = once(DeleteRange(b"", None, 10, 1 << 20))

    first = partition.do(command)
    filled(partition, b"a")

    assert partition.do(command) == first and partition.item(b"a") is not None


# Once.


def once(command: Repeatable, token: bytes = b"token", digest: bytes = b"digest") -> Once:
    return Once(token, digest, DAY_MS, command)


def test_what_is_to_be_done_once_is_done_once(partition: Partition) -> None:
    first = partition.do(once(Increment(b"k", 1)))
    again = partition.apply(once(Increment(b"k", 1)), once(Increment(b"k", 1)), after_ms=DAY_MS - 1)

    assert again == [first, first]
    item = partition.item()
    assert item is not None and item.value == b"1"


def test_what_failed_once_fails_again_in_the_same_way(partition: Partition) -> None:
    command = once(ConditionalPut(b"k", b"v", "", 0, True))
    assert partition.do(command) == Unmet(0)
    partition.do(Put(b"k", b"v"))
    assert partition.do(command) == Unmet(0)


def test_a_token_with_another_request_is_a_mistake(partition: Partition) -> None:
    partition.do(once(Put(b"k", b"1")))

    assert partition.do(once(Put(b"k", b"2"), digest=b"other")) == Reused()
    assert partition.item() == Item(4096, b"1")


def test_a_token_is_forgotten_when_its_time_has_come(partition: Partition) -> None:
    partition.do(once(Increment(b"k", 1)))
    partition.apply(after_ms=DAY_MS)
    assert not partition.count(TOKEN) and partition.records.get(TOKENS_KEY) == b"0"

    partition.do(once(Increment(b"k", 1), digest=b"other"))

    item = partition.item()
    assert item is not None and item.value == b"2"


def test_only_so_many_tokens_are_kept_and_the_first_to_expire_goes_first(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "TOKENS_MAX", 5)
    for number in range(4):
        partition.do(once(Increment(b"k", 1), b"t%d" % number), after_ms=1)
    partition.apply(*[once(Increment(b"k", 1), b"u%d" % number) for number in range(8)], after_ms=1)

    assert partition.records.get(TOKENS_KEY) == b"5"
    assert sorted(key for key in partition.records.content if key[:1] == TOKEN) == [
        TOKEN + b"u%d" % n for n in range(3, 8)
    ]


# All together.

keys = st.sampled_from([b"a", b"b", b"c"])
expectations = st.one_of(st.none(), st.booleans(), st.lists(st.integers(0, 40_000), max_size=3).map(tuple))
ttls = st.integers(0, 5)
puts = st.builds(ConditionalPut, keys, st.sampled_from([b"1", b"x"]), st.just("t"), ttls, st.none())
repeatables = st.one_of(
    st.builds(Put, keys, st.sampled_from([b"1", b"x"])),
    st.builds(Delete, keys),
    st.builds(ConditionalPut, keys, st.sampled_from([b"1", b"x"]), st.just("t"), ttls, expectations),
    st.builds(ConditionalDelete, keys, expectations),
    st.builds(Increment, keys, st.integers(-2, 2), expectations),
    st.builds(AppendTo, keys, st.just(b"y"), st.just(4), expectations),
    st.builds(Touch, keys, ttls, expectations),
    st.builds(
        DeleteRange, st.sampled_from([b"", b"a", b"b"]), st.sampled_from([b"b", None]), st.integers(1, 3), st.just(9)
    ),
    st.builds(
        Transaction,
        st.lists(st.builds(Comparison, keys, st.just(Field.EXISTS), st.just(Operator.EQ), st.booleans()), max_size=2),
        st.lists(st.one_of(puts, st.builds(Get, keys)), max_size=3),
        st.lists(st.builds(ConditionalDelete, keys), max_size=2),
    ),
)
every_command = st.one_of(
    repeatables, st.builds(Once, st.sampled_from([b"t", b"u"]), st.sampled_from([b"d", b"e"]), ttls, repeatables)
)


@given(st.lists(st.tuples(st.lists(every_command, max_size=4), st.integers(0, 3)), max_size=25), st.integers(1, 3))
def test_a_replica_opened_at_any_time_does_the_same(entries: list[tuple[list[Command], int]], every: int) -> None:
    """One keeps its agenda all the time, the other reads it from the records before each few entries."""
    steady, fresh = Partition(), Partition()
    for number, (commands, after_ms) in enumerate(entries):
        if number % every == 0:
            fresh.agenda = Agenda(fresh.records, int(fresh.records.get(TOKENS_KEY) or b"0"))
        assert steady.apply(*commands, after_ms=after_ms) == fresh.apply(*commands, after_ms=after_ms)
        assert steady.records.content == fresh.records.content
        assert steady.agenda.next_ms == fresh.agenda.next_ms
        tokens = steady.count(TOKEN)
        assert int(steady.records.get(TOKENS_KEY) or b"0") == tokens
