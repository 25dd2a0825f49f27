"""Counts of the gets that neither memtables nor rows could answer.

A get pays for one increment, 20 ns, and for another when a filter lets it through in vain. Everything
else follows from how many tables there were to ask.
"""

from collections.abc import Iterable

from engine.stats import LookupStats


class Lookups:
    """How gets ended while there were `depth` tables to ask, one after the other.

    answered          gets by how many filters were asked, the last of them of the table that has a record
    unanswered        gets for which no table has one
    false_positives   tables that were looked into in vain, as their filter had let the key through
    """

    __slots__ = ("_depth", "answered", "false_positives", "unanswered")

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self.answered = [0] * (depth + 1)
        self.unanswered = 0
        self.false_positives = 0

    @staticmethod
    def total(lookups: Iterable["Lookups"]) -> LookupStats:
        gets = asked = passed = false_positives = 0
        for part in lookups:
            answered = sum(part.answered)
            gets += answered + part.unanswered
            asked += sum(number * count for number, count in enumerate(part.answered))
            asked += part._depth * part.unanswered
            passed += answered + part.false_positives
            false_positives += part.false_positives
        return LookupStats(gets, asked, passed, false_positives)
