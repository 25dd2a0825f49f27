"""The ledger of watches: what a short id stands for, wherever one goes on with it."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import watchledger
from app.watchid import encode_body, encode_position
from app.watchledger import Ledger
from raftgroups import Position, WatchNote

BASE = {number: Position(10 + number, 0) for number in range(40)}
BODY = encode_body(0, [encode_position(position) for position in BASE.values()])


class Net:
    """Ledgers that hear of each other, save those that are down."""

    def __init__(self, *names: str) -> None:
        self.down: set[str] = set()
        self.ledgers: dict[str, Ledger] = {}
        for name in names:
            self.start(name)

    def start(self, name: str) -> Ledger:
        self.down.discard(name)
        self.ledgers[name] = Ledger(lambda: set(self.ledgers) - self.down - {name}, self._send)
        return self.ledgers[name]

    def _send(self, peer: str, note: WatchNote) -> None:
        if peer not in self.down:
            self.ledgers[peer].noted(note)

    def lose(self, name: str) -> None:
        self.down.add(name)
        for ledger in self.ledgers.values():
            ledger.peer_lost(name)

    def tick(self) -> None:
        for name, ledger in self.ledgers.items():
            if name not in self.down:
                ledger.tick()


def play(scenario: Callable[[Net], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        net = Net("n1", "n2", "n3")
        net.tick()
        await scenario(net)

    asyncio.run(main())


places = st.lists(
    st.tuples(st.integers(0, 39), st.builds(Position, st.integers(100, 2**40), st.integers(0, 9))), max_size=30
)


@given(places, st.sets(st.integers(0, 30)))
def test_every_count_is_the_positions_after_so_many_events_everywhere(
    told: list[tuple[int, Position]], turns: set[int]
) -> None:
    async def scenario(net: Net) -> None:
        name = net.ledgers["n1"].begin(BODY)
        for number, (partition, position) in enumerate(told, 1):
            assert net.ledgers["n1"].add(name, partition, position) == number
            if number in turns:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        for count in range(len(told) + 1):
            expected = BASE | dict(told[:count])
            assert all(ledger.find(name, count) == expected for ledger in net.ledgers.values())
        assert all(ledger.find(name, len(told) + 1) is None for ledger in net.ledgers.values())

    play(scenario)


def test_who_comes_back_is_told_all_of_it() -> None:
    """By whoever knows it: who told the events may be gone."""

    async def scenario(net: Net) -> None:
        name = net.ledgers["n1"].begin(BODY)
        net.ledgers["n1"].add(name, 3, Position(99))
        await asyncio.sleep(0)
        net.lose("n3")
        net.ledgers["n1"].add(name, 4, Position(100))
        await asyncio.sleep(0)
        net.lose("n1")
        fresh = net.start("n3")
        net.tick()

        assert fresh.find(name, 2) == BASE | {3: Position(99), 4: Position(100)}

    play(scenario)


def test_what_was_missed_is_never_made_up() -> None:
    async def scenario(net: Net) -> None:
        name = net.ledgers["n1"].begin(BODY)
        await asyncio.sleep(0)
        net.down.add("n2")  # a link that is lost and found before anybody notices
        net.ledgers["n1"].add(name, 3, Position(99))
        await asyncio.sleep(0)
        net.down.discard("n2")
        net.ledgers["n1"].add(name, 4, Position(100))
        await asyncio.sleep(0)
        assert net.ledgers["n2"].find(name, 1) is None and net.ledgers["n2"].find(name, 2) is None
        for ledger in net.ledgers.values():
            ledger.peer_lost("n2")
        net.tick()

        assert net.ledgers["n2"].find(name, 2) == BASE | {3: Position(99), 4: Position(100)}

    play(scenario)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first; whoever adds to it hears of it."""
    monkeypatch.setattr(watchledger, "KEPT_BYTES_MAX", 5_000)

    async def scenario(net: Net) -> None:
        names = [net.ledgers["n1"].begin(BODY) for _ in range(20)]
        await asyncio.sleep(0)
        for ledger in net.ledgers.values():
            assert ledger.find(names[0], 0) is None and ledger.find(names[-1], 0) == BASE
        assert net.ledgers["n1"].add(names[0], 1, Position(99)) == 0

    play(scenario)
