"""Reckoning: what the commands of a partition make, worked out a second time.

Slow and plain, and with nothing of `raftgroups.applying` in it: a dict of what is there, one of what was done once, and
two sets of what is due, each looked through from end to end.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from raftgroups import (
    EXPIRED_PER_ENTRY_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    TOKENS_MAX,
    AppendTo,
    Changed,
    Cleared,
    Command,
    Comparison,
    ConditionalDelete,
    ConditionalPut,
    Decided,
    Delete,
    DeleteRange,
    Entry,
    Expected,
    Field,
    Found,
    Get,
    Increment,
    Item,
    LogIndex,
    Missing,
    Once,
    Operator,
    Put,
    Reason,
    Rejected,
    Result,
    Reused,
    Revision,
    Touch,
    Transaction,
    Unmet,
    Written,
    revision_of,
)

_NUMBER = re.compile(rb"(?=.{1,20}\Z)-?[0-9]+")


@dataclass(frozen=True, slots=True)
class Version:
    """What a key holds from `revision` on; None: nothing."""

    key: bytes
    revision: Revision
    item: Item | None


@dataclass(frozen=True, slots=True)
class Done:
    """What was done once: the digest of its request, until when that is remembered, and what came of it."""

    digest: bytes
    expires_ms: int
    result: Result


class Reckoning:
    """One partition after some entries.

    clock_ms       the newest time that an entry told
    items          everything, also what has expired and was not removed yet
    tokens         what was done once
    expired        how many of the versions that the newest entry made are of keys that had expired; they come first
    """

    def __init__(self, expired_max: int = EXPIRED_PER_ENTRY_MAX, tokens_max: int = TOKENS_MAX) -> None:
        self.clock_ms = 0
        self.items: dict[bytes, Item] = {}
        self.tokens: dict[bytes, Done] = {}
        self._expired_max = expired_max
        self._tokens_max = tokens_max
        self._expiring: set[tuple[int, bytes]] = set()
        self._forgotten: set[tuple[int, bytes]] = set()
        self._versions: list[Version] = []
        self._revision = Revision(0)
        self.expired = 0

    def apply(self, index: LogIndex, entry: Entry) -> tuple[list[Result], list[Version]]:
        """What came of each command of the entry at `index`, and what it made of the keys, in order."""
        self.clock_ms = max(self.clock_ms, entry.clock_ms)
        self._versions = []
        expired = self._expire(index)
        self.expired = len(self._versions)
        self._forget()
        results = []
        for position, command in enumerate(entry.commands, expired):
            self._revision = revision_of(index, position)
            results.append(self._do(command))
        return results, self._versions

    def _expire(self, index: LogIndex) -> int:
        due = [(at, key) for at, key in self._expiring if at <= self.clock_ms]
        count = 0
        for place, (at, key) in enumerate(sorted(due)):
            is_it = key in self.items and self.items[key].expires_ms == at
            if place >= self._expired_max:
                # Nobody sees it any more, but it is there until a later entry.
                if is_it:
                    self._versions.append(Version(key, revision_of(index, 0), None))
                continue
            self._expiring.remove((at, key))
            if is_it:
                del self.items[key]
                self._versions.append(Version(key, revision_of(index, count), None))
                count += 1
        return count

    def _forget(self) -> None:
        due = [(at, token) for at, token in self._forgotten if at <= self.clock_ms]
        for at, token in sorted(due)[: self._expired_max]:
            self._forget_one(at, token)

    def _forget_one(self, at: int, token: bytes) -> None:
        self._forgotten.remove((at, token))
        if token in self.tokens and self.tokens[token].expires_ms == at:
            del self.tokens[token]

    def _seen(self, key: bytes) -> Item | None:
        item = self.items.get(key)
        has_expired = item is not None and item.expires_ms and item.expires_ms <= self.clock_ms
        return None if has_expired else item

    def _store(self, key: bytes, value: bytes, content_type: str, expires_ms: int) -> None:
        item = self.items[key] = Item(self._revision, value, content_type, expires_ms)
        if expires_ms:
            self._expiring.add((expires_ms, key))
        self._versions.append(Version(key, self._revision, item))

    def _store_for(self, command: ConditionalPut) -> None:
        expires_ms = self.clock_ms + command.ttl_ms if command.ttl_ms else 0
        self._store(command.key, command.value, command.content_type, expires_ms)

    def _remove(self, key: bytes) -> None:
        self.items.pop(key, None)
        self._versions.append(Version(key, self._revision, None))

    def _do(self, command: Command) -> Result:
        if isinstance(command, Once):
            return self._do_once(command)
        if isinstance(command, Transaction):
            return self._do_transaction(command)
        if isinstance(command, DeleteRange):
            return self._clear(command)
        if isinstance(command, Put):
            self._store(command.key, command.value, command.content_type, 0)
            return Written(self._revision)
        if isinstance(command, Delete):
            self._remove(command.key)
            return Written(self._revision)
        item = self._seen(command.key)
        if not _is_as_expected(item, command.expected):
            return Unmet(item.revision if item else 0)
        if isinstance(command, ConditionalPut):
            self._store_for(command)
            return Written(self._revision)
        if isinstance(command, ConditionalDelete):
            self._remove(command.key)
            return Written(self._revision)
        return self._change(command, item)

    def _change(self, command: Increment | AppendTo | Touch, item: Item | None) -> Result:
        """What the commands do that make something new of what is there."""
        if isinstance(command, Touch):
            if item is None:
                return Missing()
            expires_ms = self.clock_ms + command.ttl_ms if command.ttl_ms else 0
            self._store(command.key, item.value, item.content_type, expires_ms)
        elif isinstance(command, AppendTo):
            before = item or Item(0, b"")
            value = before.value + command.suffix
            if len(command.key) + len(value) > command.pair_bytes_max:
                return Rejected(Reason.TOO_LARGE, "")
            self._store(command.key, value, before.content_type, before.expires_ms)
        else:
            before = item or Item(0, b"0", "application/json")
            if not _NUMBER.fullmatch(before.value) or not INTEGER_MIN <= int(before.value) <= INTEGER_MAX:
                return Rejected(Reason.NOT_A_NUMBER, "")
            number = int(before.value) + command.by
            if not INTEGER_MIN <= number <= INTEGER_MAX:
                return Rejected(Reason.OVERFLOW, "")
            self._store(command.key, str(number).encode(), before.content_type, before.expires_ms)
        made = self.items[command.key]
        clock_ms = self.clock_ms if made.expires_ms else 0
        return Changed(made.revision, made.value, made.content_type, made.expires_ms, clock_ms)

    def _do_transaction(self, command: Transaction) -> Result:
        succeeded = all(_holds(self._seen(one.key), one) for one in command.comparisons)
        results: list[Written | Found] = []
        for step in command.then if succeeded else command.otherwise:
            if isinstance(step, Get):
                results.append(Found(self._seen(step.key)))
                continue
            if isinstance(step, ConditionalPut):
                self._store_for(step)
            else:
                self._remove(step.key)
            results.append(Written(self._revision))
        has_written = any(isinstance(result, Written) for result in results)
        return Decided(succeeded, results, self._revision if has_written else 0, self.clock_ms)

    def _clear(self, command: DeleteRange) -> Result:
        end = command.end
        keys = sorted(key for key in self.items if command.start <= key and (end is None or key < end))
        deleted = sum(self._seen(key) is not None for key in keys)
        for key in keys:
            self._remove(key)
        return Cleared(self._revision, deleted)

    def _do_once(self, command: Once) -> Result:
        token = command.token
        done = self.tokens.get(token)
        if done is not None and done.expires_ms > self.clock_ms:
            return done.result if done.digest == command.digest else Reused()
        result = self._do(command.command)
        self.tokens[token] = Done(command.digest, self.clock_ms + command.keep_ms, result)
        while len(self.tokens) > self._tokens_max:
            self._forget_one(*min(self._forgotten))
        self._forgotten.add((self.clock_ms + command.keep_ms, token))
        return result


def _is_as_expected(item: Item | None, expected: Expected) -> bool:
    if expected is None:
        return True
    if isinstance(expected, bool):
        return expected == (item is not None)
    return item is not None and item.revision in expected


def _holds(item: Item | None, comparison: Comparison) -> bool:
    """As the HTTP interface has it: an absent key has revision 0, and no value that is like any other."""
    there: object = None
    if comparison.field is Field.EXISTS:
        there = item is not None
    elif comparison.field is Field.REVISION:
        there = item.revision if item else 0
    elif item is not None:
        there = item.value
    if type(there) is not type(comparison.operand):
        return comparison.operator is Operator.NE
    return _RELATIONS[comparison.operator](there, comparison.operand)


_RELATIONS: dict[Operator, Callable[..., bool]] = {
    Operator.EQ: lambda one, other: one == other,
    Operator.NE: lambda one, other: one != other,
    Operator.LT: lambda one, other: one < other,
    Operator.LE: lambda one, other: one <= other,
    Operator.GT: lambda one, other: one > other,
    Operator.GE: lambda one, other: one >= other,
}
