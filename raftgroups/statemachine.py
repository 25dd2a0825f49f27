"""The state machine of one partition: log entries in, an engine's records out.

    engine key := 0x00 name      the state machine's own records
                | 0x01 key       a user's key, holding an encoded Item (command.py)

    0x00 "applied" := msgpack [index, term, clock_ms]    of the newest entry applied

Applying is deterministic: the same entries give the same records on every replica. The
LogIndex of an entry is the SequenceNumber of its records, so an entry that the engine has
already reached is skipped, and replaying the log after a crash is harmless.
"""

import msgspec

from engine import Engine, SequenceNumber, WriteBatch
from raftgroups.command import Item, Put, Written, decode_entry, encode_item
from raftgroups.ids import LogIndex, Term, revision_of

USER_PREFIX = b"\x01"
APPLIED_KEY = b"\x00applied"


class Applied(msgspec.Struct, frozen=True, array_like=True):
    """The newest entry applied. `clock_ms` is state-machine time: the maximum of the clocks in the log."""

    index: int
    term: int
    clock_ms: int


_encode_applied = msgspec.msgpack.Encoder().encode
_decode_applied = msgspec.msgpack.Decoder(Applied).decode


class StateMachine:
    """Applies committed entries to an engine without a log of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        stored = engine.get(APPLIED_KEY)
        self._applied = _decode_applied(stored) if stored is not None else Applied(0, 0, 0)

    @property
    def applied_index(self) -> LogIndex:
        return LogIndex(self._applied.index)

    @property
    def applied_term(self) -> Term:
        return Term(self._applied.term)

    @property
    def clock_ms(self) -> int:
        """State-machine time."""
        return self._applied.clock_ms

    def apply(self, index: LogIndex, term: Term, payload: bytes) -> list[Written]:
        """Apply the entry at `index`; gives a result for each of its commands."""
        if index <= self._applied.index:
            return []
        entry = decode_entry(payload)
        batch = WriteBatch()
        results = []
        for position, command in enumerate(entry.commands):
            revision = revision_of(index, position)
            if isinstance(command, Put):
                item = Item(revision, command.value, command.content_type)
                batch.put(USER_PREFIX + command.key, encode_item(item))
            else:
                batch.delete(USER_PREFIX + command.key)
            results.append(Written(revision))
        self._applied = Applied(index, term, max(self._applied.clock_ms, entry.clock_ms))
        batch.put(APPLIED_KEY, _encode_applied(self._applied))
        self.engine.write(batch, sequence=SequenceNumber(index))
        return results

    def get(self, key: bytes, *, wait: bool) -> bytes | None:
        """The encoded Item under `key`, or None. Raises: WouldBlockError when it must not wait and would."""
        return self.engine.get(USER_PREFIX + key, wait=wait)
