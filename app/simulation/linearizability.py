"""Is a recorded history of puts, gets and deletes linearizable?

Each key is judged alone: a history is linearizable exactly if the part of every key is.
The judge walks over calls and returns in time order and keeps every configuration that the key
may be in: its value, the pending operations that have taken effect, the unknown writes already
used. What returns must have taken effect by then; a configuration in which it cannot have is
dropped, and when none is left the history is illegal.

Operations take effect as late as possible, and five facts about registers keep the set small:

- A get changes nothing: it takes effect as soon as the value is right.
- A write has a reason to take effect before its own return only if a pending get wants its value,
  or if it is to be overwritten at once.
- A write of a value that nobody saw is best overwritten at once.
- A write of a value that somebody saw and nothing else can have made is never overwritten at once.
- Of two configurations that differ in unknown writes used, the one that used fewer can do
  everything that the other can.

Source: Herlihy and Wing 1990; Wing and Gong 1993; Lowe 2017 (just-in-time linearization).
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from app.simulation.history import Operation, Value


@dataclass(frozen=True, slots=True)
class Violation:
    """The first operation, by time of return, that nothing before it can explain.

    possible  the values that the key may have had when it returned
    """

    operation: Operation
    possible: tuple[Value, ...]

    def __str__(self) -> str:
        return f"unexplained: {self.operation.to_json()}; possible: {json.dumps(self.possible)}"


def check(operations: Iterable[Operation], initial: Mapping[str, str] | None = None) -> Violation | None:
    """None if linearizable, else what shows that it is not. Other keys than `initial` start absent.

    Cost: about 0.1 ms an operation with 8 clients and unique values; it grows with the number of
    concurrent writes of equal values, because each may be hidden behind each.
    """
    by_key: dict[str, list[Operation]] = {}
    for operation in operations:
        by_key.setdefault(operation.key, []).append(operation)
    for key, part in sorted(by_key.items()):
        violation = _Judge(part, (initial or {}).get(key)).violation()
        if violation is not None:
            return violation
    return None


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What may be true at one moment.

    applied  bit `1 << i`: the i-th known operation is pending and has taken effect
    used     bit `1 << i`: the i-th unknown write has taken effect
    """

    value: Value
    applied: int
    used: int


class _Judge:
    """Judges the operations of one key."""

    def __init__(self, operations: list[Operation], initial: Value) -> None:
        ordered = sorted((o for o in operations if o.ok is not False), key=lambda o: o.called)
        self._known = [o for o in ordered if not o.is_unknown]
        seen = {o.output for o in self._known if o.is_read}
        self._unknown = [o for o in ordered if o.is_unknown and not o.is_read and o.value in seen]
        self._initial = initial
        made = [o.value for o in self._known + self._unknown if not o.is_read]
        makers = Counter([initial, *made])
        self._unseen = makers.keys() - seen
        self._singular = {value for value in seen if makers[value] == 1}
        self._pending: dict[int, Operation] = {}

    def violation(self) -> Violation | None:
        possible = {_Configuration(self._initial, 0, 0)}
        for time, returns, index in self._events():
            operation, bit = self._known[index], 1 << index
            if not returns:
                self._pending[bit] = operation
                possible = {self._with_gets(c.value, c.applied, c.used) for c in possible}
                continue
            reached = self._reach(possible, bit, time)
            if not reached:
                values = sorted({c.value for c in possible}, key=lambda v: (v is not None, v or ""))
                return Violation(operation, tuple(values))
            del self._pending[bit]
            possible = _best({_Configuration(c.value, c.applied - bit, c.used) for c in reached})
        return None

    def _events(self) -> list[tuple[int, bool, int]]:
        """Calls and returns by time; intervals are closed, so calls come before returns."""
        calls = [(o.called, False, i) for i, o in enumerate(self._known)]
        returns = [(o.returned, True, i) for i, o in enumerate(self._known) if o.returned is not None]
        return sorted(calls + returns)

    def _reach(self, start: set[_Configuration], bit: int, time: int) -> set[_Configuration]:
        """The configurations reached from `start` as soon as operation `bit` has taken effect."""
        reached: set[_Configuration] = set()
        visited, stack = set(start), list(start)
        while stack:
            configuration = stack.pop()
            if configuration.applied & bit:
                reached.add(configuration)
                continue
            fresh = set(self._write(configuration, bit, time)) - visited
            visited |= fresh
            stack.extend(fresh)
        return reached

    def _write(self, now: _Configuration, bit: int, time: int) -> Iterator[_Configuration]:
        """The configurations that are one useful write further."""
        waiting = {b: o for b, o in self._pending.items() if not now.applied & b}
        wanted = {o.output for o in waiting.values() if o.is_read}
        for b, o in waiting.items():
            if not o.is_read and (b == bit or o.value in wanted):
                for hidden in self._hidden(waiting, b):
                    yield self._with_gets(o.value, now.applied | hidden | b, now.used)
        for index, o in enumerate(self._unknown):
            if o.called > time:
                break
            if o.value in wanted and not now.used >> index & 1:
                wanted.remove(o.value)  # Unknown writes of one value are alike: the first will do.
                for hidden in self._hidden(waiting, 0):
                    used = now.used | 1 << index
                    yield self._with_gets(o.value, now.applied | hidden, used)

    def _hidden(self, waiting: Mapping[int, Operation], writer: int) -> Iterator[int]:
        """The bit sets of the waiting writes that `writer` may overwrite before anybody looks."""
        writes = [(b, o.value) for b, o in waiting.items() if not o.is_read and b != writer]
        always = sum(b for b, value in writes if value in self._unseen)
        perhaps = [b for b, value in writes if value not in self._unseen | self._singular]
        for count in range(len(perhaps) + 1):
            for chosen in combinations(perhaps, count):
                yield always + sum(chosen)

    def _with_gets(self, value: Value, applied: int, used: int) -> _Configuration:
        for bit, operation in self._pending.items():
            if operation.is_read and operation.output == value:
                applied |= bit
        return _Configuration(value, applied, used)


def _best(configurations: set[_Configuration]) -> set[_Configuration]:
    """Without those that another makes superfluous: alike, but with fewer unknown writes used."""
    alike: dict[tuple[Value, int], set[int]] = {}
    for c in configurations:
        alike.setdefault((c.value, c.applied), set()).add(c.used)
    return {
        _Configuration(value, applied, used)
        for (value, applied), uses in alike.items()
        for used in uses
        if not any(fewer & used == fewer != used for fewer in uses)
    }
