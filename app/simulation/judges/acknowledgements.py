"""Acknowledgements: what a client was told of its command is what became of it in the log."""

from collections import Counter

from app.simulation.judges.chain import alike
from app.simulation.judges.facts import Facts
from app.simulation.violation import Violation
from raftgroups import Once, PartitionId, Result, decode_command


class Acknowledgements:
    """Nothing acknowledged is lost: it is in the chain of committed entries, which never changes, with that result.

    Nor is anything there of which a client was told that it is not: so "not applied" may be relied upon. A command with
    a token may be there more often than it was asked for, because gateways repeat it, too; that it has its effect once
    is judged by what it changed.
    """

    name = "nothing acknowledged is lost, nothing refused is done"

    def __init__(self, facts: Facts) -> None:
        self.checked = 0
        self._facts = facts
        self._new: list[tuple[PartitionId, bytes, Result]] = []
        self._asked: Counter[tuple[PartitionId, bytes]] = Counter()
        self._answered: Counter[tuple[PartitionId, bytes]] = Counter()

    def asked(self, partition: PartitionId, command: bytes) -> None:
        """An encoded command has come to a node: from now on it may be committed, once."""
        self._asked[partition, command] += 1

    def refused(self, partition: PartitionId, command: bytes) -> None:
        """A client was told that it will not be, after all."""
        self._asked[partition, command] -= 1

    def acknowledged(self, partition: PartitionId, command: bytes, result: Result) -> None:
        """A client was told what came of it."""
        self._answered[partition, command] += 1
        self._new.append((partition, command, result))

    def settle(self) -> None:
        """Compare what was acknowledged since the last time. Raises: Violation.

        Not before the end of a step, because a leader may commit, apply and acknowledge in one.
        """
        if not self._new:
            return
        new, self._new = self._new, []
        for partition, command, result in new:
            self.checked += 1
            made = self._facts.chain(partition).results_of(command)
            if not any(alike(result, one) for one in made):
                text = f"{result} was told of {decode_command(command)}, but what was committed made {made}"
                raise Violation(self.name, text)

    def finish(self) -> None:
        """Count everything that was asked for, now that nothing is on its way any more. Raises: Violation."""
        for (partition, command), asked in self._asked.items():
            self.checked += 1
            committed = len(self._facts.chain(partition).results_of(command))
            answered = self._answered[partition, command]
            may_be_repeated = asked > 0 and isinstance(decode_command(command), Once)
            if not answered <= committed or (committed > asked and not may_be_repeated):
                text = f"{decode_command(command)} was committed {committed} times; answered {answered}, may be {asked}"
                raise Violation(self.name, text)
