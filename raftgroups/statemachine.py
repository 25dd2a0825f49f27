"""The state machine of one partition: log entries in, an engine's records out.

    0x00 "configuration" := msgpack [index:int, configuration]    the newest applied one (membership.py)
    0x00 "applied" := index:u64 term:u64 clock_ms:u64    of the newest entry applied, little-endian
    0x00 "behind" := decimal                             all the grace that was ever given, in ms (leaderclock.py)
    0x00 "tokens" := decimal                             how many idempotency tokens are kept (idempotency.py)
    0x00 "horizon" := decimal                            up to where changes may have been let go (history.py)

What else the engine holds is in schema.py. Applying is deterministic: the same entries give the same records on every
replica. The LogIndex of an entry is the SequenceNumber of its records, so an entry that the engine has already
reached is skipped, and replaying the log after a crash is harmless.
"""

import struct
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from engine import Engine, SequenceNumber
from raftgroups.applying import Agenda, Effects, effects_of
from raftgroups.command import Entry, decode_entry
from raftgroups.history import History
from raftgroups.ids import LogIndex, Term, revision_of
from raftgroups.item import is_absent
from raftgroups.membership import Configuration
from raftgroups.result import Result, Written
from raftgroups.schema import TOKENS_KEY, USER, Records
from raftgroups.span import Piece, Span, take_piece

APPLIED_KEY = b"\x00applied"
BEHIND_KEY = b"\x00behind"
CONFIGURATION_KEY = b"\x00configuration"

_APPLIED = struct.Struct("<QQQ")
encode_configured = msgspec.msgpack.Encoder().encode
decode_configured = msgspec.msgpack.Decoder(tuple[LogIndex, Configuration]).decode


class StateMachine:
    """Applies committed entries to an engine without a log of its own.

    applied_index, applied_term   of the newest entry applied
    clock_ms                      state-machine time, as of the newest entry that told it
    behind_ms                     by so much it is behind the time of day: all the grace that was ever given
    configuration                 the newest one applied, and its LogIndex; None before the first
    agenda                        what time will do, without a command
    history                       what entries changed whose commands alone do not tell
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        stored = engine.get(APPLIED_KEY)
        index, term, clock_ms = _APPLIED.unpack(stored) if stored is not None else (0, 0, 0)
        self.applied_index = LogIndex(index)
        self.applied_term = Term(term)
        self.clock_ms: int = clock_ms
        self.behind_ms = int(engine.get(BEHIND_KEY) or b"0")
        configured = engine.get(CONFIGURATION_KEY)
        self.configuration = decode_configured(configured) if configured is not None else None
        self.agenda = agenda_of(engine)
        self.history = History(engine)

    def apply(self, index: LogIndex, term: Term, payload: bytes) -> list[Result]:
        """Apply the entry at `index`; gives a result for each of its commands, or for its configuration."""
        if index <= self.applied_index:
            return []
        entry = decode_entry(payload)
        # An entry of an earlier version may tell an earlier time than the one before it.
        clock_ms = max(self.clock_ms, entry.clock_ms)
        effects = write_of(self.engine, self.agenda, index, term, entry, clock_ms)
        if effects.changes:
            self.history.keep(effects.batch, index, effects.changes)
        if entry.configuration is not None:
            self.configuration = (index, entry.configuration)
        if entry.grace_ms:
            self.behind_ms += entry.grace_ms
            effects.batch.put(BEHIND_KEY, b"%d" % self.behind_ms)
        self.engine.write(effects.batch, sequence=SequenceNumber(index))
        self.applied_index, self.applied_term, self.clock_ms = index, term, clock_ms
        if effects.changes is not None:
            self.agenda.written()
        return effects.results

    def get(self, key: bytes, *, wait: bool) -> bytes | None:
        """The encoded Item under `key`, or None. Raises: WouldBlockError when it must not wait and would."""
        stored = self.engine.get(USER + key, wait=wait)
        return None if stored is not None and is_absent(stored, self.clock_ms) else stored

    def scan(self, span: Span) -> Callable[[], Piece]:
        """What reads the beginning of a Span as it is now, on any thread; it may wait for a disk."""
        start, end = span.stored()
        records = self.engine.scan(start, end, reverse=span.reverse, limit=span.limit + 1)
        return partial(take_piece, records, span, self.clock_ms)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The encoded Item under each key, or None; waits for the disk where it must."""
        found = self.engine.multi_get([USER + key for key in keys])
        clock_ms = self.clock_ms
        return [None if stored is not None and is_absent(stored, clock_ms) else stored for stored in found]


def agenda_of(records: Records) -> Agenda:
    """What time will do to these records."""
    return Agenda(records, int(records.get(TOKENS_KEY) or b"0"))


def write_of(records: Records, agenda: Agenda, index: LogIndex, term: Term, entry: Entry, clock_ms: int) -> Effects:
    """What an entry does to the records of its partition, the state machine's own included."""
    effects = effects_of(records, agenda, index, entry, clock_ms)
    batch = effects.batch
    if entry.configuration is not None:
        batch.put(CONFIGURATION_KEY, encode_configured((index, entry.configuration)))
        effects.results.append(Written(revision_of(index, 0)))
    batch.put(APPLIED_KEY, _APPLIED.pack(index, term, clock_ms))
    return effects
