import logging

import pytest

from raftgroups.clockwatch import DOUBTS, ClockWatch
from raftgroups.messages import AnyMessage, ClockAsk, ClockTell
from raftgroups.wallclocks import ASK_SECONDS, UNKNOWN, WallClocks

WALL_MS = 1_700_000_000_000


class Stage:
    """A node a with two peers, whose clocks are right but for `skew_ms`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.own_skew_ms = 0
        self.skew_ms = {"b": 0, "c": 0}
        self.sent: list[tuple[str, AnyMessage]] = []
        self.clocks = WallClocks("a", lambda: self.now, lambda: self.true_ms + self.own_skew_ms)
        self.watch = ClockWatch(self.clocks, self.skew_ms, self)
        for peer in self.skew_ms:
            self.watch.peer_up(peer)

    @property
    def true_ms(self) -> int:
        return WALL_MS + int(self.now * 1_000)

    def send(self, name: str, message: AnyMessage) -> None:
        self.sent.append((name, message))

    def answer(self) -> list[str]:
        """The peers answer what they were asked; who that was."""
        sent, self.sent = self.sent, []
        for peer, message in sent:
            assert isinstance(message, ClockAsk)
            self.watch.received(peer, ClockTell(message.at, self.true_ms + self.skew_ms[peer]))
        return [peer for peer, _ in sent]

    def turn(self, seconds: float = ASK_SECONDS) -> list[str]:
        self.now += seconds
        self.watch.tick()
        return self.answer()


def test_a_peer_is_asked_as_soon_as_its_link_is_up_and_then_now_and_again() -> None:
    stage = Stage()

    assert stage.answer() == ["b", "c"]
    assert stage.turn() == ["b", "c"]
    assert stage.turn(ASK_SECONDS / 2) == []
    assert stage.turn(ASK_SECONDS / 2) == ["b", "c"]
    stage.watch.peer_lost("b")
    assert stage.turn() == ["c"]


def test_what_a_peer_told_in_an_earlier_life_is_forgotten() -> None:
    stage = Stage()
    stage.answer()

    stage.watch.peer_up("b")

    assert stage.clocks.of("b") == UNKNOWN
    assert stage.clocks.of("c") != UNKNOWN


def test_who_asks_is_told() -> None:
    stage = Stage()
    stage.sent.clear()

    stage.watch.received("b", ClockAsk(17.25))

    assert stage.sent == [("b", ClockTell(17.25, stage.true_ms))]


def test_when_this_clock_leaps_all_are_asked_at_once() -> None:
    """The machine may have been asleep, and then what they told is old."""
    stage = Stage()
    stage.turn()

    stage.own_skew_ms = 5_000

    assert stage.turn(0.05) == ["b", "c"]
    assert stage.turn(0.05) == []


def test_a_clock_that_is_off_is_named_once_and_again_when_it_was_right(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ringkv.clocks")
    stage = Stage()
    stage.turn()
    assert caplog.messages == stage.watch.warnings() == []

    stage.skew_ms["b"] = 86_400_000
    for _ in range(5):
        stage.turn()
    [named] = caplog.messages
    assert "node b is 86400.0 s ahead" in named
    assert stage.watch.warnings() == [named]

    stage.skew_ms["b"] = 0
    for _ in range(2):
        stage.turn()
    stage.skew_ms["b"] = -2_000
    for _ in range(2):
        stage.turn()
    assert caplog.messages[1:] == ["the clock of node b is right again", *stage.watch.warnings()]
    assert "node b is 2.0 s behind" in caplog.messages[2]


def test_a_peer_that_is_away_is_not_called_right(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ringkv.clocks")
    stage = Stage()
    stage.skew_ms["b"] = 86_400_000
    for _ in range(2):
        stage.turn()
    stage.watch.peer_lost("b")

    for _ in range(15):
        stage.turn()

    assert len(caplog.messages) == 1
    assert stage.watch.warnings() == []


def test_a_node_that_is_off_says_so_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.own_skew_ms = -60_000
    stage.turn()

    [named] = stage.watch.warnings()
    assert "this node, a, is 60.0 s behind" in named


def test_clocks_of_which_nobody_knows_which_is_right_are_said_to_differ_after_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When nodes start they do not know each other at once."""
    stage = Stage()
    stage.watch.peer_lost("c")
    stage.sent = [one for one in stage.sent if one[0] == "b"]
    stage.skew_ms["b"] = 86_400_000

    for _ in range(DOUBTS - 1):
        stage.turn()
        assert stage.watch.warnings() == []
    stage.turn()

    [named] = caplog.messages
    assert "node b is 86400.0 s ahead of that of this node, a;" in named
