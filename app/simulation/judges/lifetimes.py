"""Lifetimes: what has a TTL is there for so long and then gone, and what was done once is remembered, in true time.

The truth is the simulation's own time, which no node can read. What is known of a key is when somebody asked for it,
when that was committed, when it was first committed that it has expired, and who has read it. The rule by which the
nodes tell the time is none of the judge's business.

    gone too early    it is committed that a key has expired before its TTL was over, counted from when it was asked for
    no grace          the same, counted without the times when no node led that could be reached, up to the bound
    there too long    a read at a level that misses nothing began after the TTL was over, counted from the commit
    forgotten         a command that is to be done once was done again within the time that it is to be remembered

A TTL may be so much shorter or longer as steering and drift allow, and longer by the grace of each reign that began
meanwhile. Nothing is promised while the clocks of a majority are wrong, nor until every node has noticed that they are
not any more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.simulation.judges.chain import Passage
from app.simulation.judges.facts import Facts
from app.simulation.judges.readings import Answer
from app.simulation.node import SimulatedNode
from app.simulation.violation import Violation
from raftgroups import Command, Level, LogIndex, Once, PartitionId, Transaction, encode_command, index_of

# Time is told at 0.9 to 1.1 of the rate of a monotonic clock, which drifts by up to 3 %.
SHORTEST, LONGEST = 0.88, 1.16
SLACK_SECONDS = 0.5
# So much of a time without a leader may go unnoticed: what it said last was on its way.
UNNOTICED_SECONDS = 1.0
# So long after a clock was set right some node may still believe the wrong one.
NOTICED_SECONDS = 11.0

Place = tuple[PartitionId, bytes]


@dataclass(slots=True)
class Life:
    """A key with a TTL.

    asked       when the command came to a node, at the earliest
    committed   when all of the cluster could know
    first       the entry that began it
    expires_ms  as the partition tells time, which says nothing but that this is still the same life
    """

    asked: float
    committed: float
    seconds: float
    first: LogIndex
    expires_ms: int


@dataclass(slots=True)
class Memory:
    """A command that was done once, and how long that is to be remembered."""

    asked: float
    seconds: float
    first: LogIndex


class Lifetimes:
    """Judges TTLs and tokens.

    grace_seconds   that a reign gives at most
    is_wild         nothing is promised of these clocks
    """

    name = "in true time what has a TTL lives for so long, and what was done once is remembered"

    def __init__(
        self,
        nodes: Mapping[str, SimulatedNode],
        facts: Facts,
        *,
        grace_seconds: float = 0.0,
        is_wild: bool = False,
    ) -> None:
        self.checked = 0
        self._nodes = nodes
        self._facts = facts
        self._grace_seconds = grace_seconds
        self._is_wild = is_wild
        self._led_at: dict[PartitionId, float] = {}
        self._absences: dict[PartitionId, list[tuple[float, float]]] = {}
        self._asked: dict[tuple[PartitionId, bytes], float] = {}
        self._living: dict[Place, Life] = {}
        self._lives: dict[tuple[PartitionId, bytes, int], Life] = {}
        self._done: dict[tuple[PartitionId, bytes], Memory] = {}
        self._reigns: dict[PartitionId, list[LogIndex]] = {}
        self._terms: dict[PartitionId, int] = {}
        self._new: list[Answer] = []

    def asked(self, partition: PartitionId, command: bytes) -> None:
        """An encoded command has come to a node."""
        self._asked.setdefault((partition, command), self._facts.now())

    def read(self, answer: Answer) -> None:
        self._new.append(answer)

    def led(self, partition: PartitionId) -> None:
        """A node that is up takes itself for the leader."""
        now = self._facts.now()
        before = self._led_at.get(partition, now)
        self._led_at[partition] = now
        if now - before > UNNOTICED_SECONDS:
            self._absences.setdefault(partition, []).append((before, now))

    def settle(self) -> None:
        """Judge what was committed and read since the last time. Raises: Violation. Not before the end of a step."""
        for partition, chain in self._facts.chains.items():
            for passage in chain.take_news():
                if not self._is_wild:
                    self._follow(partition, passage)
        new, self._new = self._new, []
        for answer in new:
            if not self._is_wild:
                self._judge_reading(answer)

    def _follow(self, partition: PartitionId, passage: Passage) -> None:
        if passage.term != self._terms.get(partition):
            self._terms[partition] = passage.term
            self._reigns.setdefault(partition, []).append(passage.index)
        for version in passage.expired:
            life = self._living.pop((partition, version.key), None)
            if life is not None:
                self._judge_end(partition, version.key, life, passage)
        for version in passage.made:
            place = partition, version.key
            item = version.item
            if item is None or not item.expires_ms:
                self._living.pop(place, None)
                continue
            life = self._living.get(place)
            if life is None or life.expires_ms != item.expires_ms:
                seconds = (item.expires_ms - passage.clock_ms) / 1000
                asked = self._asked_of(partition, version.key, passage)
                life = self._living[place] = Life(asked, passage.at, seconds, passage.index, item.expires_ms)
            self._lives[partition, version.key, version.revision] = life
        for command, result in zip(passage.entry.commands, passage.results, strict=True):
            revision = getattr(result, "revision", 0)
            if isinstance(command, Once) and revision and index_of(revision) == passage.index:
                self._judge_token(partition, command, passage)

    def _asked_of(self, partition: PartitionId, key: bytes, passage: Passage) -> float:
        times = [
            self._asked.get((partition, encode_command(command)), 0.0)
            for command in passage.entry.commands
            if key in _keys_of(command)
        ]
        return min(times, default=0.0)

    def _judge_end(self, partition: PartitionId, key: bytes, life: Life, passage: Passage) -> None:
        self.checked += 1
        lived = passage.at - life.asked
        owed = self._grace_of(partition, life, passage.at)
        if lived < (life.seconds + owed) * SHORTEST - SLACK_SECONDS / 10 and not self._is_excused(
            partition, life.first, passage.index, life.asked, passage.at
        ):
            text = f"{key!r} of partition {partition} with a TTL of {life.seconds:g} s is gone {lived:g} s after"
            grace = f", with {owed:g} s of grace" if owed else ""
            raise Violation(self.name, f"{text} it was asked for, at entry {passage.index}{grace}")

    def _grace_of(self, partition: PartitionId, life: Life, ended: float) -> float:
        """What those reigns had to give that began while it lived."""
        gone = (
            min(until - max(since, life.committed) - UNNOTICED_SECONDS, self._grace_seconds)
            for since, until in self._absences.get(partition, ())
            if life.committed < until <= ended
        )
        return sum(max(0.0, seconds) for seconds in gone)

    def _judge_reading(self, answer: Answer) -> None:
        item, level = answer.item, answer.receipt.level
        if item is None or not item.expires_ms or level not in (Level.LINEARIZABLE, Level.LEASE):
            return
        life = self._lives.get((answer.partition, answer.key, item.revision))
        if life is None:
            return
        self.checked += 1
        last = LogIndex(answer.receipt.index)
        reigns = sum(life.first < index <= last for index in self._reigns.get(answer.partition, ()))
        late = answer.arrived - life.committed - life.seconds * LONGEST - SLACK_SECONDS
        if late > reigns * self._grace_seconds and not self._is_excused(
            answer.partition, life.first, last, life.asked, self._facts.now()
        ):
            text = (
                f"{answer.receipt} shows {answer.key!r}, whose TTL of {life.seconds:g} s is over, {late:g} s too late"
            )
            raise Violation(self.name, f"{text}, after {reigns} reigns began")

    def _judge_token(self, partition: PartitionId, command: Once, passage: Passage) -> None:
        self.checked += 1
        place = partition, command.token
        before = self._done.get(place)
        asked = passage.at if before is not None else self._asked.get((partition, encode_command(command)), 0.0)
        self._done[place] = Memory(asked, command.keep_ms / 1000, passage.index)
        if before is None or passage.at - before.asked >= before.seconds * SHORTEST - SLACK_SECONDS / 10:
            return
        if not self._is_excused(partition, before.first, passage.index, before.asked, passage.at):
            text = f"what {command.token!r} came to was to be remembered for {before.seconds:g} s, and was done again"
            raise Violation(self.name, f"{text} {passage.at - before.asked:g} s after it was asked for")

    def _is_excused(self, partition: PartitionId, first: LogIndex, last: LogIndex, begun: float, ended: float) -> bool:
        """Whether half of the voters or more had wrong clocks at some time."""
        wrong = {
            name: [(since, until + NOTICED_SECONDS) for since, until in node.clock.wrongs]
            for name, node in self._nodes.items()
        }
        moments = [begun, *(since for times in wrong.values() for since, _ in times if begun < since < ended)]
        for voters in self._voters(partition, first, last):
            for moment in moments:
                off = sum(any(since <= moment <= until for since, until in wrong[voter]) for voter in voters)
                if 2 * off >= len(voters):
                    return True
        return False

    def _voters(self, partition: PartitionId, first: LogIndex, last: LogIndex) -> Iterable[tuple[str, ...]]:
        index = last
        while True:
            at, configuration = self._facts.configured_at(partition, index)
            yield configuration.voters
            if at <= first:
                return
            index = LogIndex(at - 1)


def _keys_of(command: Command) -> list[bytes]:
    effect = command.command if isinstance(command, Once) else command
    if isinstance(effect, Transaction):
        return [step.key for step in (*effect.then, *effect.otherwise)]
    key = getattr(effect, "key", None)
    return [] if key is None else [key]
