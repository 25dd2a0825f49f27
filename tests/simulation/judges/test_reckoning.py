"""The reckoning against the state machine: two ways to work out the same, on entries that nobody would think of."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.simulation.judges.chain import alike
from app.simulation.judges.reckoning import Reckoning
from engine import WriteBatch
from raftgroups import (
    INTEGER_MAX,
    INTEGER_MIN,
    AppendTo,
    Command,
    Comparison,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    Entry,
    Field,
    Get,
    Increment,
    Item,
    LogIndex,
    Once,
    Operator,
    Put,
    Touch,
    Transaction,
    decode_item,
    revision_of,
)
from raftgroups import applying as applying_module
from raftgroups import due as due_module
from raftgroups.applying import Agenda, effects_of
from raftgroups.schema import TOKEN, USER

EXPIRED_MAX, TOKENS_MAX = 2, 3

keys = st.sampled_from([b"a", b"b", b"c"])
values = st.sampled_from([b"", b"1", b"-2", b"007", b"x", b"1x", b"%d" % INTEGER_MAX, b"%d" % INTEGER_MIN, b"9" * 21])
ttls = st.sampled_from([0, 0, 1, 2, 5, 20])
revisions = st.integers(1, 12).map(lambda index: int(revision_of(LogIndex(index), 0)))
expected = st.none() | st.booleans() | st.lists(revisions, max_size=3).map(tuple)
integers = st.sampled_from([1, -1, 7, INTEGER_MAX, INTEGER_MIN])
lent = st.builds(ConditionalPut, keys, values, st.just("text/plain"), ttls)
steps = st.lists(lent | st.builds(ConditionalDelete, keys) | st.builds(Get, keys), max_size=3)
comparisons = st.builds(
    Comparison, keys, st.sampled_from(Field), st.sampled_from(Operator), st.booleans() | values | revisions | st.just(0)
)
repeatable = st.one_of(
    st.builds(Put, keys, values),
    st.builds(Delete, keys),
    st.builds(ConditionalPut, keys, values, st.just(""), ttls, expected),
    st.builds(ConditionalDelete, keys, expected),
    st.builds(Increment, keys, integers, expected),
    st.builds(AppendTo, keys, values, st.sampled_from([0, 8, 99]), expected),
    st.builds(Touch, keys, ttls, expected),
    st.builds(Transaction, st.lists(comparisons, max_size=2), steps, steps),
)
tokens = st.sampled_from([b"s", b"t", b"u", b"v", b"w"])
commands = repeatable | st.builds(Once, tokens, st.sampled_from([b"one", b"two"]), ttls, repeatable)
entries = st.lists(st.tuples(st.integers(0, 6), st.lists(commands, max_size=6)), max_size=12)


class Records:
    """A dict that is read as an engine is."""

    def __init__(self) -> None:
        self.stored: dict[bytes, bytes] = {}

    def get(self, key: bytes, *, wait: bool = True) -> bytes | None:
        return self.stored.get(key)

    def scan(
        self, start: bytes = b"", end: bytes | None = None, *, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        found = [(key, value) for key, value in sorted(self.stored.items()) if start <= key and (not end or key < end)]
        return iter(found[:limit])

    def write(self, batch: WriteBatch) -> None:
        for key, value in batch.items():
            if value is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = value

    def of(self, kind: bytes) -> dict[bytes, bytes]:
        return {key[1:]: value for key, value in self.stored.items() if key[:1] == kind}


@given(entries)
def test_the_reckoning_and_the_state_machine_agree(steps: list[tuple[int, list[Command]]]) -> None:
    """After each entry on results, contents and tokens, where little fits and time leaps back and forth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(applying_module, "EXPIRED_PER_ENTRY_MAX", EXPIRED_MAX)
        patch.setattr(applying_module, "TOKENS_MAX", TOKENS_MAX)
        patch.setattr(due_module, "_AT_HAND", 2)
        reckoning, records = Reckoning(EXPIRED_MAX, TOKENS_MAX), Records()
        agenda = Agenda(records, 0)
        clock_ms = told_ms = 100
        for number, (later_ms, asked) in enumerate(steps, 1):
            index, told_ms = LogIndex(number), told_ms + later_ms - 1
            clock_ms = max(clock_ms, told_ms)
            effects = effects_of(records, agenda, index, Entry(clock_ms, asked), clock_ms)
            records.write(effects.batch)
            agenda.written()
            reckoning.clock_ms = max(reckoning.clock_ms, clock_ms)
            results, versions = reckoning.apply(index, Entry(told_ms, asked))

            assert all(alike(one, other) for one, other in zip(results, effects.results, strict=True))
            assert {key: decode_item(value) for key, value in records.of(USER).items()} == reckoning.items
            assert records.of(TOKEN).keys() == reckoning.tokens.keys()
            if effects.changes is not None:
                told = [(change.key, change.revision, change.item) for change in effects.changes]
                made = [(version.key, version.revision, version.item) for version in versions]
                late = [version for version in made if version not in told]
                assert [version for version in made if version not in late] == told
                # Those who wait for their turn to be removed are gone for every reader already.
                assert all(item is None for _, _, item in late)


def test_what_must_wait_to_be_removed_is_not_seen() -> None:
    reckoning = Reckoning(expired_max=1)
    lend = [ConditionalPut(key, b"1.", ttl_ms=5) for key in (b"a", b"b")]
    reckoning.apply(LogIndex(1), Entry(10, [*lend]))

    _, versions = reckoning.apply(LogIndex(2), Entry(15, []))
    assert [(version.key, version.item) for version in versions] == [(b"a", None), (b"b", None)]
    assert reckoning.items == {b"b": Item(revision_of(LogIndex(1), 1), b"1.", "", 15)}


def test_a_command_is_done_once() -> None:
    reckoning = Reckoning()
    once = Once(b"token", b"digest", 50, Increment(b"n", 2))

    results, _ = reckoning.apply(LogIndex(1), Entry(10, [once, once]))
    assert results[0] == results[1]
    assert reckoning.items[b"n"].value == b"2"
