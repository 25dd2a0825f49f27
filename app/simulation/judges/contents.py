"""Contents: what an engine holds is what the entries applied make, no more and no less."""

from collections.abc import Callable

import msgspec

from app.simulation.judges.facts import Facts
from app.simulation.judges.replica import Change, Replica
from app.simulation.judges.rule import Rule
from app.simulation.violation import Violation
from engine import EngineError
from raftgroups import LogIndex, PartitionId, RaftGroup, decode_item

USER_PREFIX = b"\x01"
TOKEN_PREFIX = b"\x03"


class Contents(Rule):
    """Equal state at equal applied index, and equal to a second reckoning of the same commands.

    Each entry applied is compared at once; after a start and after a snapshot everything is.

    may_be_damaged  whether a node's disk has lost bits, so that it may refuse to be read
    """

    name = "equal contents at equal index"

    def __init__(self, facts: Facts, may_be_damaged: Callable[[str], bool]) -> None:
        super().__init__(facts)
        self._may_be_damaged = may_be_damaged
        self._system: dict[tuple[PartitionId, LogIndex], tuple[dict[bytes, bytes], str]] = {}

    def changed(self, change: Change) -> None:
        before, now, group = change.before, change.now, change.group
        if now.failure is not None:
            # It stopped in the middle of an entry, and answers nobody any more.
            return
        if change.is_start or before is None or before.machine is not now.machine:
            self.compare_all(change.replica, group)
        elif now.applied > before.applied:
            chain = self.facts.chain(change.replica.partition)
            for number in range(before.applied + 1, now.applied + 1):
                for key in chain.keys_of(LogIndex(number)):
                    self._compare(change.replica, key, group.machine.get(key, wait=True), now.applied)

    def compare_all(self, replica: Replica, group: RaftGroup) -> None:
        """Compare everything that a replica holds. Raises: Violation."""
        chain, machine = self.facts.chain(replica.partition), group.machine
        applied = machine.applied_index
        try:
            records = dict(machine.engine.scan())
        except EngineError as error:
            if self._may_be_damaged(replica.node):
                return
            raise Violation(self.name, f"{replica} cannot be read: {error}") from error
        users = {key[1:]: value for key, value in records.items() if key[:1] == USER_PREFIX}
        # What has expired may still be there, and is not for anybody to see.
        users = {key: value for key, value in users.items() if not _has_expired(value, machine.clock_ms)}
        for key in sorted(users.keys() | set(chain.keys)):
            self._compare(replica, key, users.get(key), applied)
        system = {key: value for key, value in records.items() if key[:1] != USER_PREFIX}
        tokens = {key[1:] for key in records if key[:1] == TOKEN_PREFIX}
        if applied == chain.last_index and tokens != chain.tokens:
            raise self.broken(f"{replica} has applied {applied} and remembers other tokens than were committed")
        known, where = self._system.setdefault((replica.partition, applied), (system, replica.node))
        if known != system:
            raise self.broken(f"at {applied}, {replica} and {where}'s differ in the state machine's own records")

    def _compare(self, replica: Replica, key: bytes, found: bytes | None, applied: LogIndex) -> None:
        self.checked += 1
        expected = self.facts.chain(replica.partition).item_at(key, applied)
        if found != expected:
            raise self.broken(
                f"{replica} has applied {applied} and holds {_brief(found)} under {key!r}, not {_brief(expected)}"
            )


def _has_expired(stored: bytes, clock_ms: int) -> bool:
    try:
        return 0 < decode_item(stored).expires_ms <= clock_ms
    except msgspec.DecodeError:
        # Nobody committed this.
        return False


def _brief(item: bytes | None) -> str:
    return "nothing" if item is None else repr(item[:40])
