import pytest

from app.problems import Problem
from app.reading import Receipts, expiry_line, of_session, read_freshness, read_session
from raftgroups import Freshness, Level, LogIndex, Receipt, revision_of


@pytest.mark.parametrize(
    ("query", "fresh"),
    [
        (b"", Freshness(Level.LEASE)),
        (b"consistency=linearizable", Freshness()),
        (b"consistency=session", Freshness(Level.SESSION)),
        (b"consistency=bounded", Freshness(Level.BOUNDED, 0, 10_000)),
        (b"max_staleness=0&consistency=bounded", Freshness(Level.BOUNDED, 0, 0)),
    ],
)
def test_a_query_asks_for_a_level_or_gets_the_default(query: bytes, fresh: Freshness) -> None:
    assert read_freshness(query, Level.LEASE) == fresh


@pytest.mark.parametrize(
    "query",
    [
        b"consistency=",
        b"consistency=eventual",
        b"consistency=stale&max_staleness=5",
        b"max_staleness=5",
        b"consistency=bounded&max_staleness=-1",
        b"consistency=bounded&max_staleness=1.5",
        b"consistency=bounded&max_staleness=86400001",
        b"consistency=bounded&max_staleness=%D9%A1",
    ],
)
def test_a_bad_level_or_bound_is_named(query: bytes) -> None:
    found = read_freshness(query, Level.LINEARIZABLE)

    assert isinstance(found, Problem)
    assert found.members["parameter"] in {"consistency", "max_staleness"}


def test_the_bound_is_the_default_s_too() -> None:
    assert read_freshness(b"max_staleness=5", Level.BOUNDED) == Freshness(Level.BOUNDED, 0, 5)


def test_a_session_asks_for_the_entry_that_it_has_seen() -> None:
    marks = read_session(b"1-3-%x" % revision_of(LogIndex(7), 9), Level.SESSION)

    assert isinstance(marks, dict)
    assert of_session(Freshness(Level.SESSION), marks, 3) == Freshness(Level.SESSION, 7)
    assert of_session(Freshness(Level.SESSION), marks, 4) == Freshness(Level.SESSION, 0)
    assert of_session(Freshness(), marks, 3) == Freshness()


@pytest.mark.parametrize("level", [Level.STALE, Level.BOUNDED])
def test_what_would_not_be_honoured_is_refused(level: Level) -> None:
    assert isinstance(read_session(b"1-3-ff", level), Problem)


def test_receipts_are_written_once_and_take_bounded_memory() -> None:
    receipts = Receipts()

    for number in range(1_000):
        node, age_ms = f"n{number % 3}", number // 2
        lines = receipts.lines(Receipt(Level.STALE, age_ms, node, "follower"))
        assert lines == (
            f"kv-consistency: stale\r\nkv-served-by: {node};role=follower\r\nkv-staleness-ms: {age_ms}\r\n".encode()
        )

    assert len(receipts._lines) <= 256


def test_what_expires_says_in_how_many_seconds() -> None:
    assert [expiry_line(ms, 100_000) for ms in (102_500, 101_000, 99_000)] == [
        b"kv-expires-in: 3\r\n",
        b"kv-expires-in: 1\r\n",
        b"kv-expires-in: 1\r\n",
    ]
