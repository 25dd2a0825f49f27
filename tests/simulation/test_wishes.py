import random
from collections import Counter

import pytest

from app.simulation.requests import COUNTER, SPECIAL, Request
from app.simulation.session import Session
from app.simulation.wishes import KEPT_MS, USUAL, Habits, Wishes
from raftgroups import (
    AppendTo,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    DeleteRange,
    Increment,
    Level,
    Once,
    Put,
    Touch,
    Transaction,
    encode_command,
)

COUNT = 20_000
REGISTER = (Put, Delete, ConditionalPut, ConditionalDelete)


def drawn(habits: Habits = USUAL, *, has_leases: bool = False) -> list[Request]:
    wishes = Wishes(habits, random.Random(1), has_leases=has_leases)
    session = Session()
    return [wishes.draw(session) for _ in range(COUNT)]


def share(part: int, whole: int) -> object:
    return pytest.approx(part / whole, abs=0.02)


def test_clients_ask_for_what_their_habits_say() -> None:
    wishes = drawn()
    reads = [wish for wish in wishes if wish.command is None]
    writes = [wish for wish in wishes if wish.command is not None]
    special = [wish for wish in writes if wish.key.startswith(SPECIAL)]
    registers = [wish for wish in writes if not wish.key.startswith(SPECIAL)]
    deletes = [wish for wish in registers if isinstance(wish.effect, Delete | ConditionalDelete)]
    levels = Counter(wish.level for wish in reads)

    assert len(writes) / COUNT == pytest.approx(USUAL.put_share + USUAL.delete_share, abs=0.02)
    assert len(special) / COUNT == pytest.approx(USUAL.put_share * USUAL.special_share, abs=0.02)
    assert len(deletes) / COUNT == pytest.approx(USUAL.delete_share, abs=0.02)
    assert levels[Level.STALE] / len(reads) == pytest.approx(USUAL.stale_share, abs=0.02)
    assert levels[Level.SESSION] / len(reads) == pytest.approx(USUAL.session_share, abs=0.02)
    assert levels[Level.BOUNDED] / len(reads) == pytest.approx(USUAL.bounded_share, abs=0.02)
    assert levels[Level.LEASE] == 0
    assert sum(wish.key.startswith(b"hot") for wish in registers) / len(registers) == pytest.approx(0.6, abs=0.02)
    assert sum(isinstance(wish.command, Once) for wish in registers) / len(registers) == share(15, 100)
    assert sum(isinstance(wish.effect, ConditionalPut | ConditionalDelete) for wish in registers) / len(
        registers
    ) == share(20, 100)
    assert len({wish.key for wish in registers}) == USUAL.hot_keys + USUAL.cold_keys


def test_where_there_are_leases_they_are_used() -> None:
    levels = Counter(wish.level for wish in drawn(has_leases=True) if wish.command is None)

    assert levels[Level.LEASE] / levels[Level.LINEARIZABLE] == pytest.approx(2 / 3, abs=0.1)


def test_registers_hold_what_a_history_knows_and_others_everything_else() -> None:
    wishes = [wish for wish in drawn() if wish.command is not None]

    assert all(isinstance(wish.effect, REGISTER) for wish in wishes if not wish.key.startswith(SPECIAL))
    others = {type(wish.effect) for wish in wishes if wish.key.startswith(SPECIAL)}
    assert others == {Increment, AppendTo, Touch, Transaction, ConditionalPut, Delete, DeleteRange}


def test_what_can_be_told_apart_in_a_log_is_written_once() -> None:
    """So that what became of one can be looked up; a delete is like any other of its key."""
    commands = [wish.command for wish in drawn() if wish.command is not None]
    unlike = [command for command in commands if not isinstance(command, Delete | ConditionalDelete)]
    forever = [command for command in unlike if not (isinstance(command, Touch) and command.ttl_ms == 0)]
    encoded = Counter(map(encode_command, forever))

    repeated = [count for count in encoded.values() if count > 1]
    assert sum(repeated) < COUNT / 50


def test_counters_are_counted_under_tokens_that_are_kept_for_good() -> None:
    counts = [wish.command for wish in drawn() if wish.key.startswith(COUNTER) and wish.command is not None]

    assert len(counts) > 100
    assert all(
        isinstance(once, Once) and once.keep_ms == KEPT_MS and isinstance(once.command, Increment) for once in counts
    )


def test_every_key_that_was_written_is_known() -> None:
    wishes = Wishes(USUAL, random.Random(1), has_leases=False)
    drawn = [wishes.draw(Session()) for _ in range(1_000)]

    both = {step.key for wish in drawn if isinstance(wish.effect, Transaction) for step in wish.effect.then}
    assert set(wishes.written) == both | {wish.key for wish in drawn if wish.command is not None}
