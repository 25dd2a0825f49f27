"""Counts of lookups: what gets asked, and what came of it."""

from engine import LookupStats
from engine.lookups import Lookups


def test_everything_follows_from_how_gets_ended() -> None:
    """Of 3 tables: one get found its key in the first, two in the third, four in none, one of these after a look."""
    lookups = Lookups(3)
    lookups.answered[1] = 1
    lookups.answered[3] = 2
    lookups.unanswered = 4
    lookups.false_positives = 1

    total = Lookups.total([lookups])

    assert total == LookupStats(gets=7, filters_asked=1 + 6 + 12, filters_passed=4, false_positives=1)
    assert total.tables_per_get == 4 / 7
    assert total.false_positive_share == 1 / (19 - 3)


def test_counts_with_other_numbers_of_tables_add_up() -> None:
    first, second = Lookups(1), Lookups(2)
    first.unanswered = 5
    second.answered[2] = 3

    assert Lookups.total([first, second]) == LookupStats(8, 11, 3, 0)
    assert Lookups.total([]) == LookupStats(0, 0, 0, 0)
    assert LookupStats(0, 0, 0, 0).tables_per_get == LookupStats(0, 0, 0, 0).false_positive_share == 0
