"""The clients that repeat, with nodes that answer as a test says: they must notice what the judges are to be told."""

import random
import threading
from collections.abc import Callable
from typing import Any, cast

from tests.chaos.connection import Connection
from tests.chaos.counting import REPEATS, CountingClient, SessionClient

Reply = tuple[int, dict[str, str], bytes]
DONE: Reply = (200, {}, b"1")
NOBODY_KNOWS: Reply = (-1, {}, b"")
REFUSED: Reply = (503, {"content-type": "application/problem+json"}, b'{"outcome":"not_applied"}')
UNKNOWN: Reply = (504, {"content-type": "application/problem+json"}, b'{"outcome":"unknown"}')


class FakeNode:
    """Gives these answers, the last one again and again."""

    def __init__(self, *replies: Reply) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self._replies = list(replies)

    def request(self, method: str, target: str, body: bytes, headers: str, timeout: float) -> Reply:
        self.asked.append((method, target, headers))
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    def close(self) -> None: ...


class Told:
    """Ends the client with its first report."""

    name = "n1"

    def __init__(self, make: Callable[..., Any], node: FakeNode) -> None:
        self.reports: list[tuple[object, ...]] = []
        self._stopping = threading.Event()
        make(self, {"n1": cast("Connection", node)}, random.Random(1)).run(self._stopping)

    def tell(self, *report: object) -> None:
        self.reports.append(report)
        self._stopping.set()


def counted(*replies: Reply) -> tuple[object, int]:
    """What is told of the first addition, and how often it was asked for."""
    node = FakeNode(*replies)
    told = Told(CountingClient, node)
    assert len({headers for _, _, headers in node.asked}) == 1, "one token"
    return told.reports[0][3], len(node.asked)


def test_an_addition_is_repeated_though_it_was_answered() -> None:
    assert counted(DONE) == (True, REPEATS)


def test_an_addition_is_repeated_until_its_outcome_is_known() -> None:
    assert counted(UNKNOWN, REFUSED, NOBODY_KNOWS, REFUSED, REFUSED, DONE) == (True, 6)


def test_what_was_refused_every_time_was_not_made() -> None:
    assert counted(REFUSED, (0, {}, b""), REFUSED) == (False, REPEATS)


def session(*replies: Reply) -> object:
    return Told(SessionClient, FakeNode(*replies)).reports[0]


def test_a_session_that_sees_what_it_wrote_has_no_complaint() -> None:
    assert session((204, {}, b""), (200, {}, b"1"), (200, {}, b"1")) == ("session", 2, "")
    assert session((204, {}, b""), REFUSED, (200, {}, b"1")) == ("session", 1, "")


def test_a_session_that_does_not_see_what_it_wrote_or_saw_complains() -> None:
    missed = session((204, {}, b""), (404, {}, b""), (200, {}, b"1"))
    assert isinstance(missed, tuple) and "had seen 1" in missed[2] and "was shown 0" in missed[2]
    back = session(REFUSED, (200, {}, b"1"), (404, {}, b""))
    assert isinstance(back, tuple) and "was shown 0" in back[2]


def test_who_does_not_know_whether_it_wrote_begins_anew() -> None:
    """What was on its way may come to be after what is written next."""
    node = FakeNode(UNKNOWN, (404, {}, b""))
    told = Told(SessionClient, node)

    written, read, _ = (target.partition("?")[0] for _, target, _ in node.asked)
    assert written != read
    assert told.reports == [("session", 2, "")]
