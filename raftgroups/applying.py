"""Applying: what one entry does to the records of a partition.

Nothing is written here: an entry becomes one batch, whatever it holds, and a result for each of its commands. What
has expired at the entry's time goes first. Each command sees what those before it have written. The same entry over
the same records gives the same, on every replica: nothing is read but the records, the entry and its time.
"""

from collections.abc import Callable

import msgspec

from engine import WriteBatch
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
    Touch,
    Transaction,
)
from raftgroups.due import NEVER, Due
from raftgroups.idempotency import TOKENS_MAX, Stored, decode_stored, encode_stored
from raftgroups.ids import EXPIRED_PER_ENTRY_MAX, LogIndex, revision_of
from raftgroups.item import Item, decode_item, encode_item, encode_lasting, is_absent
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
from raftgroups.schema import EXPIRY, TOKEN, TOKEN_EXPIRY, TOKENS_KEY, USER, Records, due_key

_DIGITS_MAX = 20
_UNKNOWN = b"\xff"  # no record holds this


class Agenda:
    """When something is to be done without a command, in state-machine time, and how many tokens are kept.

    next_ms    from when on an entry would do something, even without commands
    """

    def __init__(self, records: Records, tokens: int) -> None:
        self.expiring = Due(records, EXPIRY)
        self.forgotten = Due(records, TOKEN_EXPIRY)
        self.tokens = tokens
        self.written()

    def written(self) -> None:
        """The entry that was worked out has been written; one that tells no changes has left all as it was."""
        self.expiring.written()
        self.forgotten.written()
        self.next_ms = min(self.expiring.next_ms, self.forgotten.next_ms)


class Effects(msgspec.Struct):
    """What an entry does.

    changes     of keys, in order; None for an entry of nothing but Puts and Deletes, whose changes are plain to see
    """

    batch: WriteBatch = msgspec.field(default_factory=WriteBatch)
    results: list[Result] = []
    changes: list[Change] | None = None


def effects_of(records: Records, agenda: Agenda, index: LogIndex, entry: Entry, clock_ms: int) -> Effects:
    """Work out an entry at `index`, whose time is `clock_ms`. The agenda is brought up to date."""
    effects = Effects()
    if clock_ms < agenda.next_ms and _PLAIN.issuperset(map(type, entry.commands)):
        batch, results = effects.batch, effects.results
        for revision, command in enumerate(entry.commands, revision_of(index, 0)):
            if isinstance(command, Put):
                batch.put(USER + command.key, encode_lasting(revision, command.value, command.content_type))
            else:
                assert isinstance(command, Delete), "there is no other plain command"
                batch.delete(USER + command.key)
            results.append(Written(revision))
        return effects
    effects.changes = []
    _Applying(records, agenda, effects, index, clock_ms).run(entry.commands)
    return effects


_PLAIN = frozenset((Put, Delete))


class _Applying:
    """An entry that needs to know what is there."""

    def __init__(self, records: Records, agenda: Agenda, effects: Effects, index: LogIndex, clock_ms: int) -> None:
        assert effects.changes is not None, "these are told"
        self._records = records
        self._agenda = agenda
        self._effects = effects
        self._batch = effects.batch
        self._changes = effects.changes
        self._index = index
        self._clock_ms = clock_ms
        self._revision = revision_of(index, 0)

    def run(self, commands: list[Command]) -> None:
        tokens = self._agenda.tokens
        expired = self._expire()
        self._forget()
        for position, command in enumerate(commands, expired):
            self._revision = revision_of(self._index, position)
            self._effects.results.append(self._perform(command))
        if self._agenda.tokens != tokens:
            self._batch.put(TOKENS_KEY, b"%d" % self._agenda.tokens)

    # What time does.

    def _expire(self) -> int:
        """Remove what has expired, so much at a time; says how many keys did."""
        count = 0
        for expires_ms, key in self._agenda.expiring.take(self._clock_ms, EXPIRED_PER_ENTRY_MAX):
            self._batch.delete(due_key(EXPIRY, expires_ms, key))
            stored = self._stored(USER + key)
            if stored is not None and decode_item(stored).expires_ms == expires_ms:
                self._revision = revision_of(self._index, count)
                self._delete(key, has_expired=True)
                count += 1
        return count

    def _forget(self) -> None:
        for expires_ms, token in self._agenda.forgotten.take(self._clock_ms, EXPIRED_PER_ENTRY_MAX):
            self._forget_one(expires_ms, token)

    def _forget_one(self, expires_ms: int, token: bytes) -> None:
        self._batch.delete(due_key(TOKEN_EXPIRY, expires_ms, token))
        stored = self._stored(TOKEN + token)
        if stored is not None and decode_stored(stored).expires_ms == expires_ms:
            self._batch.delete(TOKEN + token)
            self._agenda.tokens -= 1

    # What is there, as the commands before have left it.

    def _stored(self, record: bytes) -> bytes | None:
        written = self._batch.records.get(record, _UNKNOWN)
        return self._records.get(record) if written is _UNKNOWN else written

    def _item(self, key: bytes) -> Item | None:
        stored = self._stored(USER + key)
        item = decode_item(stored) if stored is not None else None
        return None if item is None or 0 < item.expires_ms <= self._clock_ms else item

    def _put(self, key: bytes, value: bytes, content_type: str, expires_ms: int) -> None:
        item = Item(self._revision, value, content_type, expires_ms)
        self._batch.put(USER + key, encode_item(item))
        if expires_ms:
            self._batch.put(due_key(EXPIRY, expires_ms, key), b"")
            self._agenda.expiring.add(expires_ms, key)
        self._changes.append(Change(self._revision, key, item))

    def _delete(self, key: bytes, *, has_expired: bool = False) -> None:
        self._batch.delete(USER + key)
        self._changes.append(Change(self._revision, key, None, has_expired))

    def _until(self, ttl_ms: int) -> int:
        return self._clock_ms + ttl_ms if ttl_ms else 0

    # What commands do.

    def _perform(self, command: Command) -> Result:
        perform: Callable[[_Applying, Command], Result] = _PERFORM[type(command)]
        return perform(self, command)

    def _perform_put(self, command: Put) -> Result:
        self._put(command.key, command.value, command.content_type, 0)
        return Written(self._revision)

    def _perform_delete(self, command: Delete | ConditionalDelete) -> Result:
        if isinstance(command, ConditionalDelete) and command.expected is not None:
            item = self._item(command.key)
            if not _is_as_expected(item, command.expected):
                return _unmet(item)
        self._delete(command.key)
        return Written(self._revision)

    def _perform_conditional_put(self, command: ConditionalPut) -> Result:
        if command.expected is not None:
            item = self._item(command.key)
            if not _is_as_expected(item, command.expected):
                return _unmet(item)
        self._put(command.key, command.value, command.content_type, self._until(command.ttl_ms))
        return Written(self._revision)

    def _perform_increment(self, command: Increment) -> Result:
        item = self._item(command.key)
        if not _is_as_expected(item, command.expected):
            return _unmet(item)
        number = _number(item.value) if item is not None else 0
        if number is None:
            return Rejected(Reason.NOT_A_NUMBER, "the value is not a decimal number of 64 bits")
        if not INTEGER_MIN <= number + command.by <= INTEGER_MAX:
            return Rejected(Reason.OVERFLOW, f"{number} and {command.by} are more than 64 bits can hold")
        kind, expires_ms = (item.content_type, item.expires_ms) if item is not None else ("application/json", 0)
        return self._change(command.key, b"%d" % (number + command.by), kind, expires_ms)

    def _perform_append(self, command: AppendTo) -> Result:
        item = self._item(command.key)
        if not _is_as_expected(item, command.expected):
            return _unmet(item)
        before, kind, expires_ms = (item.value, item.content_type, item.expires_ms) if item else (b"", "", 0)
        size = len(command.key) + len(before) + len(command.suffix)
        if size > command.pair_bytes_max:
            text = f"key and value would have {size} bytes; together they may have {command.pair_bytes_max}"
            return Rejected(Reason.TOO_LARGE, text)
        return self._change(command.key, before + command.suffix, kind, expires_ms)

    def _perform_touch(self, command: Touch) -> Result:
        item = self._item(command.key)
        if not _is_as_expected(item, command.expected):
            return _unmet(item)
        if item is None:
            return Missing()
        return self._change(command.key, item.value, item.content_type, self._until(command.ttl_ms))

    def _change(self, key: bytes, value: bytes, content_type: str, expires_ms: int) -> Result:
        self._put(key, value, content_type, expires_ms)
        return Changed(self._revision, value, content_type, expires_ms, self._clock_ms if expires_ms else 0)

    def _perform_transaction(self, command: Transaction) -> Result:
        succeeded = all(_holds(self._item(comparison.key), comparison) for comparison in command.comparisons)
        results: list[Written | Found] = []
        revision = 0
        for step in command.then if succeeded else command.otherwise:
            if isinstance(step, Get):
                results.append(Found(self._item(step.key)))
                continue
            revision = self._revision
            results.append(Written(revision))
            if isinstance(step, ConditionalPut):
                self._put(step.key, step.value, step.content_type, self._until(step.ttl_ms))
            else:
                self._delete(step.key)
        return Decided(succeeded, results, revision, self._clock_ms)

    def _perform_delete_range(self, command: DeleteRange) -> Result:
        start, end = USER + command.start, EXPIRY if command.end is None else USER + command.end
        there, reached = self._first(start, end, command.keys_max, command.bytes_max)
        deleted = 0
        for record, stored in there:
            has_expired = is_absent(stored, self._clock_ms)
            self._delete(record[1:], has_expired=has_expired)
            deleted += not has_expired
        return Cleared(self._revision, deleted, reached)

    def _first(
        self, start: bytes, end: bytes, keys_max: int, bytes_max: int
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """The first records from `start` on, as the commands before have left them, and the last key looked at."""
        there: dict[bytes, bytes | None] = {}
        reached, size = b"", 0
        for record, stored in self._records.scan(start, end, limit=keys_max + 1):
            if len(there) == keys_max or size >= bytes_max:
                end = reached + b"\0"
                break
            there[record] = stored
            reached = record
            size += len(record) + len(stored)
        else:
            reached = b""
        there.update((record, value) for record, value in self._batch.items() if start <= record < end)
        found = [(record, stored) for record, stored in sorted(there.items()) if stored is not None]
        return found, reached[1:] or None

    def _perform_once(self, command: Once) -> Result:
        stored = self._stored(TOKEN + command.token)
        if stored is not None:
            before = decode_stored(stored)
            if before.expires_ms > self._clock_ms:
                return before.result if before.digest == command.digest else Reused()
        result = self._perform(command.command)
        expires_ms = self._clock_ms + command.keep_ms
        self._batch.put(TOKEN + command.token, encode_stored(Stored(command.digest, expires_ms, result)))
        self._batch.put(due_key(TOKEN_EXPIRY, expires_ms, command.token), b"")
        if stored is None:
            self._agenda.tokens += 1
            while self._agenda.tokens > TOKENS_MAX:
                [first] = self._agenda.forgotten.take(NEVER, 1)
                self._forget_one(*first)
        self._agenda.forgotten.add(expires_ms, command.token)
        return result


_PERFORM: dict[type, Callable[..., Result]] = {
    Put: _Applying._perform_put,
    Delete: _Applying._perform_delete,
    ConditionalPut: _Applying._perform_conditional_put,
    ConditionalDelete: _Applying._perform_delete,
    Increment: _Applying._perform_increment,
    AppendTo: _Applying._perform_append,
    Touch: _Applying._perform_touch,
    Transaction: _Applying._perform_transaction,
    DeleteRange: _Applying._perform_delete_range,
    Once: _Applying._perform_once,
}


def _is_as_expected(item: Item | None, expected: Expected) -> bool:
    if expected is None:
        return True
    if isinstance(expected, bool):
        return (item is not None) is expected
    return item is not None and item.revision in expected


def _unmet(item: Item | None) -> Unmet:
    return Unmet(item.revision if item is not None else 0)


def _number(value: bytes) -> int | None:
    """The number that `value` spells in decimal, if it has 64 bits."""
    digits = value[1:] if value[:1] == b"-" else value
    if not digits.isdigit() or len(value) > _DIGITS_MAX:
        return None
    number = int(value)
    return number if INTEGER_MIN <= number <= INTEGER_MAX else None


def _holds(item: Item | None, comparison: Comparison) -> bool:
    operand = comparison.operand
    there: int | bool | bytes
    if comparison.field is Field.EXISTS:
        there = item is not None
    elif comparison.field is Field.REVISION:
        there = item.revision if item is not None else 0
    elif item is None:
        return comparison.operator is Operator.NE
    else:
        there = item.value
    if type(there) is not type(operand):
        return comparison.operator is Operator.NE
    return _COMPARE[comparison.operator](there, operand)


_COMPARE: dict[Operator, Callable[..., bool]] = {
    Operator.EQ: lambda there, operand: there == operand,
    Operator.NE: lambda there, operand: there != operand,
    Operator.LT: lambda there, operand: there < operand,
    Operator.LE: lambda there, operand: there <= operand,
    Operator.GT: lambda there, operand: there > operand,
    Operator.GE: lambda there, operand: there >= operand,
}
