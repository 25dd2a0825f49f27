"""Wishes: what the clients of a simulation ask for.

Register keys, hot and cold, are put and deleted in every way there is, and every value is written once. Others are for
what makes something new of what is there: counters, lists, pairs that change together, and what expires.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from app.simulation.requests import COUNTER, SPECIAL, Request
from app.simulation.session import Session
from raftgroups import (
    RANGE_KEYS_MAX,
    AppendTo,
    Comparison,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    DeleteRange,
    Expected,
    Field,
    Get,
    Increment,
    Level,
    Once,
    Operator,
    Put,
    Repeatable,
    Step,
    Touch,
    Transaction,
)

# Longer than any clock of a simulation leaps, so that what was done once is never forgotten.
KEPT_MS = 1 << 40
# Some are to be remembered for longer than a client repeats its command, and some are not.
KEPT_BRIEFLY_MS = (700, 20_000)
LIST_BYTES_MAX = 120


@dataclass(frozen=True, slots=True)
class Habits:
    """What the clients do.

    clients             how many there are
    hot_keys            that all of them want
    cold_keys           that are wanted now and then
    hot_share           of operations on registers
    put_share, delete_share   of operations; the others are gets
    condition_share     of puts and deletes on registers
    token_share         of puts and deletes on registers: they are repeated until their outcome is known
    special_share       of puts: they are something else, on other keys
    stale_share, session_share, bounded_share   of gets
    lease_share         of the other gets, where there are leases
    cold_bytes_max      of a value under a cold key
    think_seconds       between an answer and the next request, on average
    deadlines_seconds   of requests
    patience_seconds    after its deadline until a client gives a request up
    calm_seconds        how long clients go on when the faults have ended
    """

    clients: int = 10
    hot_keys: int = 6
    cold_keys: int = 40
    hot_share: float = 0.6
    put_share: float = 0.5
    delete_share: float = 0.1
    condition_share: float = 0.2
    token_share: float = 0.15
    special_share: float = 0.3
    stale_share: float = 0.2
    session_share: float = 0.2
    bounded_share: float = 0.15
    lease_share: float = 0.4
    cold_bytes_max: int = 600
    think_seconds: float = 0.1
    deadlines_seconds: tuple[float, ...] = (0.3, 1.0, 3.0, 3.0)
    patience_seconds: float = 1.0
    calm_seconds: float = 2.0


USUAL = Habits()


class Wishes:
    """Draws requests.

    written   every key that a command was drawn for, in the order of the first
    """

    def __init__(self, habits: Habits, rng: random.Random, *, has_leases: bool) -> None:
        self.written: dict[bytes, None] = {}
        self._habits = habits
        self._rng = rng
        self._has_leases = has_leases
        self._numbers = 0
        self._special: tuple[Callable[[], tuple[str, bytes, Repeatable]], ...] = (
            self._count,
            self._count,
            self._add,
            self._append,
            self._lend,
            self._touch,
            self._touch,
            self._exchange,
            self._clear,
        )

    def draw(self, session: Session) -> Request:
        """What a client asks for next."""
        rng, habits = self._rng, self._habits
        deadline = rng.choice(habits.deadlines_seconds)
        dice = rng.random()
        if dice >= habits.put_share + habits.delete_share:
            return self._read(session, deadline)
        if dice < habits.put_share * habits.special_share:
            kind, key, command = rng.choice(self._special)()
            is_once = key.startswith(COUNTER)
            keep_ms = KEPT_MS if is_once else rng.choice(KEPT_BRIEFLY_MS)
            is_once = is_once or rng.random() < habits.token_share
        else:
            kind, key, command = self._write(is_delete=dice >= habits.put_share)
            is_once, keep_ms = rng.random() < habits.token_share, KEPT_MS
        keys = [step.key for step in command.then] if isinstance(command, Transaction) else [key]
        self.written.update(dict.fromkeys(keys))
        if is_once:
            token = b"%d" % self.number()
            return Request(f"{kind} once", key, Once(token, token, keep_ms, command), session=session,
                           deadline_seconds=deadline)  # fmt: skip
        return Request(kind, key, command, session=session, deadline_seconds=deadline)

    def number(self) -> int:
        """One that was never given before."""
        self._numbers += 1
        return self._numbers

    def value(self, filler: int = 0) -> bytes:
        """One that was never given before."""
        return b"%d." % self.number() + b"." * filler

    def _read(self, session: Session, deadline: float) -> Request:
        rng, habits = self._rng, self._habits
        key = self._register() if rng.random() >= habits.special_share else self._other()
        dice, level, staleness_ms = rng.random(), Level.LINEARIZABLE, 0
        if (dice := dice - habits.stale_share) < 0:
            level = Level.STALE
        elif (dice := dice - habits.session_share) < 0:
            level = Level.SESSION
        elif (dice := dice - habits.bounded_share) < 0:
            level, staleness_ms = Level.BOUNDED, rng.choice((0, 50, 500, 5000))
        elif self._has_leases and rng.random() < habits.lease_share:
            level = Level.LEASE
        return Request("get", key, None, level, staleness_ms, session, deadline)

    # Registers.

    def _register(self) -> bytes:
        rng, habits = self._rng, self._habits
        is_hot = rng.random() < habits.hot_share
        return b"hot%d" % rng.randrange(habits.hot_keys) if is_hot else b"cold%d" % rng.randrange(habits.cold_keys)

    def _write(self, *, is_delete: bool) -> tuple[str, bytes, Repeatable]:
        rng, habits, key = self._rng, self._habits, self._register()
        is_conditional = rng.random() < habits.condition_share
        if is_delete:
            return ("cas-delete", key, ConditionalDelete(key, True)) if is_conditional else ("delete", key, Delete(key))
        value = self.value(0 if key.startswith(b"hot") else rng.randrange(habits.cold_bytes_max))
        if is_conditional:
            return "cas", key, ConditionalPut(key, value, expected=rng.random() < 0.5)
        return "put", key, Put(key, value)

    # Others.

    def _name(self, kind: bytes, count: int) -> bytes:
        return kind + b"%d" % self._rng.randrange(count)

    def _other(self) -> bytes:
        return self._name(self._rng.choice((COUNTER, b"~m", b"~l", b"~x", b"~{p}a", b"~{q}b")), 3)

    def _count(self) -> tuple[str, bytes, Repeatable]:
        key = self._name(COUNTER, 3)
        return "count", key, Increment(key, self._rng.choice((1, 1, 2, 5, -1)))

    def _add(self) -> tuple[str, bytes, Repeatable]:
        """Each adds another number, so that its command is the only one of its kind."""
        key = self._name(b"~m", 3)
        return "add", key, Increment(key, self.number(), self._expected())

    def _append(self) -> tuple[str, bytes, Repeatable]:
        key = self._name(b"~l", 3)
        if self._rng.random() < 0.1:
            return "delete", key, Delete(key)
        return "append", key, AppendTo(key, self.value(), LIST_BYTES_MAX)

    def _lend(self) -> tuple[str, bytes, Repeatable]:
        key = self._name(b"~x", 3)
        return "lend", key, ConditionalPut(key, self.value(), ttl_ms=self._ttl_ms(), expected=self._expected())

    def _touch(self) -> tuple[str, bytes, Repeatable]:
        """Of what was lent or counted; the time is another one each time, for the same reason as above."""
        key = self._name(self._rng.choice((b"~x", b"~x", b"~m", b"~l")), 3)
        return "touch", key, Touch(key, self._ttl_ms() if self._rng.random() < 0.8 else 0)

    def _exchange(self) -> tuple[str, bytes, Repeatable]:
        """Two keys change together, or one is looked at."""
        rng = self._rng
        pair = rng.choice((b"~{p}", b"~{q}"))
        one, other = self._name(pair + b"a", 2), self._name(pair + b"b", 2)
        comparison = rng.choice(
            (
                Comparison(one, Field.EXISTS, Operator.EQ, rng.random() < 0.5),
                Comparison(other, Field.REVISION, Operator.LT, 4096 * rng.randrange(1, 2000)),
                Comparison(one, Field.VALUE, rng.choice((Operator.NE, Operator.LE)), self.value()),
            )
        )
        ttl_ms = self._ttl_ms() if rng.random() < 0.3 else 0
        then: list[Step] = [
            ConditionalPut(one, self.value(), ttl_ms=ttl_ms),
            ConditionalPut(other, self.value()),
            Get(one),
        ]
        otherwise: list[Step] = [Get(other), ConditionalDelete(one), ConditionalPut(other, self.value())]
        return "txn", one, Transaction([comparison], then, otherwise)

    def _clear(self) -> tuple[str, bytes, Repeatable]:
        """All of a kind that is in the partition of one of them; the bound is another one each time."""
        kind = self._rng.choice((b"~m", b"~l", b"~x"))
        end = kind[:-1] + bytes((kind[-1] + 1,))
        return "clear", self._name(kind, 3), DeleteRange(kind, end, RANGE_KEYS_MAX, (1 << 30) + self.number())

    def _ttl_ms(self) -> int:
        return self._rng.choice((1, 100, 1_000, 4_000)) + self.number() % 1_000

    def _expected(self) -> Expected:
        return self._rng.choice((None, None, None, True, False))


assert COUNTER.startswith(SPECIAL)
