"""The state machine of one partition: log entries in, an engine's records out.

    engine key := 0x00 name      the state machine's own records
                | 0x01 key       a user's key, holding an encoded Item (command.py)

    0x00 "configuration" := msgpack [index:int, configuration]    the newest applied one (membership.py)
    0x00 "applied" := index:u64 term:u64 clock_ms:u64    of the newest entry applied, little-endian

Applying is deterministic: the same entries give the same records on every replica. The
LogIndex of an entry is the SequenceNumber of its records, so an entry that the engine has
already reached is skipped, and replaying the log after a crash is harmless.
"""

import struct

import msgspec

from engine import Engine, SequenceNumber, WriteBatch
from raftgroups.command import Entry, Item, Put, Written, decode_entry, encode_item
from raftgroups.ids import LogIndex, Term, revision_of
from raftgroups.membership import Configuration

USER_PREFIX = b"\x01"
APPLIED_KEY = b"\x00applied"
CONFIGURATION_KEY = b"\x00configuration"

_APPLIED = struct.Struct("<QQQ")
encode_configured = msgspec.msgpack.Encoder().encode
decode_configured = msgspec.msgpack.Decoder(tuple[LogIndex, Configuration]).decode


class StateMachine:
    """Applies committed entries to an engine without a log of its own.

    applied_index, applied_term   of the newest entry applied
    clock_ms                      state-machine time: the maximum of the clocks in the log
    configuration                 the newest one applied, and its LogIndex; None before the first
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        stored = engine.get(APPLIED_KEY)
        index, term, clock_ms = _APPLIED.unpack(stored) if stored is not None else (0, 0, 0)
        self.applied_index = LogIndex(index)
        self.applied_term = Term(term)
        self.clock_ms: int = clock_ms
        configured = engine.get(CONFIGURATION_KEY)
        self.configuration = decode_configured(configured) if configured is not None else None

    def apply(self, index: LogIndex, term: Term, payload: bytes) -> list[Written]:
        """Apply the entry at `index`; gives a result for each of its commands, or for its configuration."""
        if index <= self.applied_index:
            return []
        entry = decode_entry(payload)
        clock_ms = max(self.clock_ms, entry.clock_ms)
        batch, results = batch_of(index, term, entry, clock_ms)
        if entry.configuration is not None:
            self.configuration = (index, entry.configuration)
        self.engine.write(batch, sequence=SequenceNumber(index))
        self.applied_index, self.applied_term, self.clock_ms = index, term, clock_ms
        return results

    def get(self, key: bytes, *, wait: bool) -> bytes | None:
        """The encoded Item under `key`, or None. Raises: WouldBlockError when it must not wait and would."""
        return self.engine.get(USER_PREFIX + key, wait=wait)


def batch_of(index: LogIndex, term: Term, entry: Entry, clock_ms: int) -> tuple[WriteBatch, list[Written]]:
    """The records that an entry makes, and a result for each of its commands, or for its configuration."""
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
    if entry.configuration is not None:
        batch.put(CONFIGURATION_KEY, encode_configured((index, entry.configuration)))
        results.append(Written(revision_of(index, 0)))
    batch.put(APPLIED_KEY, _APPLIED.pack(index, term, clock_ms))
    return batch, results
