import asyncio
from dataclasses import dataclass, field

import pytest

from app.simulation.network import RETRANSMIT_SECONDS_MAX, SILENT_SECONDS, End, Weather
from tests.simulation.machines import Machines

PORT = 7000
SOON = 0.01


@dataclass
class User(asyncio.Protocol):
    """Who uses one end of a connection.

    events   what it was told, in order: "made", bytes, and at last the exception or None
    """

    machines: Machines
    events: list[object] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    end: End | None = None

    @property
    def got(self) -> bytes:
        return b"".join(event for event in self.events if isinstance(event, bytes))

    @property
    def is_over(self) -> bool:
        return len(self.events) > 1 and not isinstance(self.events[-1], bytes)

    def write(self, data: bytes) -> None:
        assert self.end is not None
        self.end.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, End)
        self.end = transport
        self._told("made")

    def data_received(self, data: bytes) -> None:
        self._told(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._told(exc)

    def _told(self, event: object) -> None:
        self.events.append(event)
        self.times.append(self.machines.scheduler.now)


class Wire:
    """n1 dials n2, which listens.

    accepted   the users of n2's ends
    """

    def __init__(self, seed: int = 1) -> None:
        self.machines = Machines(2, seed)
        self.network = self.machines.network
        self.accepted: list[User] = []
        self.there, self.back = self.network.paths["n1", "n2"], self.network.paths["n2", "n1"]

    def user(self) -> User:
        return User(self.machines)

    def _accepted(self) -> User:
        self.accepted.append(self.user())
        return self.accepted[-1]

    def listen(self) -> None:
        async def listen() -> None:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(self._accepted, "10.0.0.2", PORT, start_serving=False)
            await server.start_serving()

        self.machines.do("n2", listen(), SOON)

    def dialing(self) -> "asyncio.Task[tuple[End, User]]":
        async def dial() -> tuple[End, User]:
            loop = asyncio.get_running_loop()
            end, user = await loop.create_connection(self.user, "10.0.0.2", PORT)
            assert isinstance(end, End)
            return end, user

        return self.machines.loops["n1"].create_task(dial())

    def dial(self) -> tuple[User, User]:
        """Both users of a new connection."""
        task = self.dialing()
        self.machines.run(SOON)
        return task.result()[1], self.accepted[-1]

    def run(self, seconds: float = SOON) -> None:
        self.machines.run(seconds)


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.listen()
    return wire


def test_what_is_written_arrives_in_order_both_ways(wire: Wire) -> None:
    wire.there.weather = wire.back.weather = Weather(jitter_seconds=0.1)
    task = wire.dialing()
    wire.run(1.0)
    near, far = task.result()[1], wire.accepted[0]

    sent = [b"%d," % number for number in range(100)]
    for data in sent:
        near.write(data)
        far.write(data.upper())
        wire.run(0.001)
    wire.run(1.0)
    assert near.got == far.got == b"".join(sent)
    assert near.events[0] == far.events[0] == "made"


def test_pieces_are_not_what_was_written() -> None:
    """Writes are joined, and cut anywhere: a stream has no messages."""
    pieces = set[int]()

    for seed in range(40):
        wire = Wire(seed)
        wire.listen()
        near, far = wire.dial()
        for number in range(8):
            near.write(b"%d," % number * 50)
        wire.run()
        assert far.got == b"".join(b"%d," % number * 50 for number in range(8))
        pieces |= {len(event) for event in far.events if isinstance(event, bytes)}

    assert any(size % 100 for size in pieces)
    assert any(size > 100 for size in pieces)


def test_an_end_that_closes_tells_the_other_after_all_that_was_written(wire: Wire) -> None:
    near, far = wire.dial()

    near.write(b"the last words")
    assert near.end is not None
    near.end.close()
    wire.run()
    assert far.events == ["made", b"the last words", None]
    assert near.events == ["made", None]
    assert not wire.there.ends and not wire.back.ends


def test_an_end_is_over_once(wire: Wire) -> None:
    near, far = wire.dial()
    assert near.end is not None
    near.end.close()

    near.end.close()
    near.end.abort()
    wire.run()
    assert near.events == far.events == ["made", None]


def test_what_comes_to_a_node_that_stands_still_is_there_when_it_goes_on(wire: Wire) -> None:
    """The machine took the connection; its user learns of it, and of what was said, in this order."""
    wire.machines.loops["n2"].pause()
    task = wire.dialing()
    wire.run()
    near = task.result()[1]
    near.write(b"are you there?")
    wire.run(60.0)
    assert (wire.accepted, near.events) == ([], ["made"])

    wire.machines.loops["n2"].resume()
    wire.run()
    assert wire.accepted[0].events == ["made", b"are you there?"]


def test_who_died_before_it_saw_a_connection_never_sees_it(wire: Wire) -> None:
    wire.machines.loops["n2"].pause()
    wire.dialing()
    wire.run()

    wire.machines.loops["n2"].kill()
    wire.run()
    assert wire.accepted == []


def test_nothing_is_written_to_an_end_that_is_over(wire: Wire) -> None:
    near, far = wire.dial()
    assert near.end is not None
    near.end.abort()

    near.write(b"too late")
    wire.run()
    assert far.got == b""


def test_a_node_that_does_not_act_any_more_sends_nothing(wire: Wire) -> None:
    near, far = wire.dial()

    wire.machines.loops["n1"].is_dead = True
    near.write(b"from the grave")
    wire.run()
    assert far.got == b""


# Connecting.


def test_nobody_listens_so_the_connection_is_refused() -> None:
    wire = Wire()
    task = wire.dialing()

    wire.run()
    assert isinstance(task.exception(), ConnectionRefusedError)


def test_an_address_is_listened_at_once_and_free_when_that_ends(wire: Wire) -> None:
    async def listen() -> object:
        return await asyncio.get_running_loop().create_server(wire.user, "10.0.0.2", PORT)

    with pytest.raises(OSError, match="in use"):
        wire.machines.do("n2", listen(), SOON)

    wire.network.process_gone("n2", with_machine=False)
    wire.machines.do("n2", listen(), SOON)


def test_a_server_that_is_closed_listens_no_more(wire: Wire) -> None:
    async def listen() -> asyncio.AbstractServer:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(wire.user, "10.0.0.2", PORT + 1)
        server.close()
        return await loop.create_server(wire.user, "10.0.0.2", PORT + 1)

    wire.machines.do("n2", listen(), SOON).close()


def test_a_machine_that_is_off_does_not_answer_until_it_is_on(wire: Wire) -> None:
    wire.machines.off.add("n2")
    task = wire.dialing()
    wire.run(60.0)
    assert not task.done()

    wire.machines.off.clear()
    wire.network.machine_on("n2")
    wire.run(2 * RETRANSMIT_SECONDS_MAX)
    assert task.done() and task.exception() is None


@pytest.mark.parametrize("way", [("n1", "n2"), ("n2", "n1")], ids=["there", "back"])
def test_a_connection_is_made_when_both_ways_are_whole(wire: Wire, way: tuple[str, str]) -> None:
    wire.network.cut(*way)
    task = wire.dialing()
    wire.run(3.0)
    assert not task.done()

    wire.network.mend(*way)
    wire.run(2 * RETRANSMIT_SECONDS_MAX)
    assert task.done() and task.exception() is None


def test_whoever_has_given_up_gets_no_connection(wire: Wire) -> None:
    """The other end is told that nobody is there."""
    wire.network.cut("n2", "n1")
    task = wire.dialing()
    wire.run(1.0)
    task.cancel()
    wire.run()

    wire.network.mend("n2", "n1")
    wire.run(2 * RETRANSMIT_SECONDS_MAX)
    assert wire.accepted[0].events == ["made", None]


# Cuts.


def test_what_is_written_to_a_cut_path_arrives_when_it_is_whole(wire: Wire) -> None:
    near, far = wire.dial()
    wire.network.cut("n1", "n2")

    near.write(b"waits ")
    near.write(b"in order")
    wire.run(SILENT_SECONDS - 1.0)
    assert near.end is not None
    assert (far.got, near.end.get_write_buffer_size()) == (b"", 14)

    wire.network.mend("n1", "n2")
    wire.run(RETRANSMIT_SECONDS_MAX + SOON)
    assert (far.got, near.end.get_write_buffer_size()) == (b"waits in order", 0)
    assert not near.is_over and not far.is_over


def test_a_path_is_whole_when_all_its_cuts_are_mended(wire: Wire) -> None:
    near, far = wire.dial()
    for _ in range(2):
        wire.network.cut("n1", "n2")
    near.write(b"waits")

    wire.network.mend("n1", "n2")
    wire.run(1.0)
    assert far.got == b""
    wire.network.mend("n1", "n2")
    wire.run(1.0)
    assert far.got == b"waits"


def test_a_path_that_is_cut_one_way_carries_the_other(wire: Wire) -> None:
    near, far = wire.dial()

    wire.network.cut("n1", "n2")
    far.write(b"heard")
    near.write(b"not heard")
    wire.run(1.0)
    assert (near.got, far.got) == (b"heard", b"")


def test_silence_ends_one_side_alone(wire: Wire) -> None:
    """The other one neither wrote nor heard anything, so it believes that all is well."""
    near, far = wire.dial()
    wire.network.cut("n1", "n2")
    began = wire.machines.scheduler.now

    near.write(b"lost")
    wire.run(60.0)
    assert isinstance(near.events[-1], TimeoutError)
    assert near.times[-1] - began == pytest.approx(SILENT_SECONDS, abs=0.01)
    assert far.events == ["made"]

    wire.network.mend("n1", "n2")
    wire.run(1.0)
    assert far.events == ["made", None]


def test_what_arrived_but_is_not_confirmed_ends_its_sender(wire: Wire) -> None:
    near, far = wire.dial()
    wire.network.cut("n2", "n1")

    near.write(b"heard")
    wire.run(60.0)
    assert far.got == b"heard"
    assert isinstance(near.events[-1], TimeoutError)


@pytest.mark.parametrize("way", [("n1", "n2"), ("n2", "n1")], ids=["there", "back"])
def test_a_short_silence_ends_nothing(wire: Wire, way: tuple[str, str]) -> None:
    near, _ = wire.dial()
    wire.network.cut(*way)
    near.write(b"patience")
    wire.run(SILENT_SECONDS - 1.0)

    wire.network.mend(*way)
    wire.run(60.0)
    assert not near.is_over


def test_silence_counts_from_the_first_write_that_is_not_confirmed(wire: Wire) -> None:
    near, _ = wire.dial()
    wire.network.cut("n1", "n2")
    began = wire.machines.scheduler.now

    for _ in range(10):
        near.write(b"anybody?")
        wire.run(1.0)
    assert isinstance(near.events[-1], TimeoutError)
    assert near.times[-1] - began == pytest.approx(SILENT_SECONDS, abs=0.01)


def test_the_way_back_alone_confirms_nothing(wire: Wire) -> None:
    near, _ = wire.dial()
    for way in (("n1", "n2"), ("n2", "n1")):
        wire.network.cut(*way)
    near.write(b"anybody?")
    wire.run(1.0)

    wire.network.mend("n2", "n1")
    wire.run(SILENT_SECONDS)
    assert isinstance(near.events[-1], TimeoutError)


def test_nobody_is_silent_who_has_nothing_to_say(wire: Wire) -> None:
    near, far = wire.dial()
    for way in (("n1", "n2"), ("n2", "n1")):
        wire.network.cut(*way)

    wire.run(600.0)
    assert near.events == far.events == ["made"]


# Ends.


def test_a_break_tells_both_sides_and_loses_what_is_in_flight(wire: Wire) -> None:
    near, far = wire.dial()
    near.write(b"in flight")
    far.write(b"in flight")

    wire.network.break_connections("n1", "n2", None)
    wire.run()
    assert [type(event) for event in near.events[1:]] == [ConnectionResetError]
    assert [type(event) for event in far.events[1:]] == [ConnectionResetError]


def test_an_old_connection_delivers_late_while_a_new_one_is_up(wire: Wire) -> None:
    """Only its dialer knows that it is over: the listener hears what is left of it beside the new one."""
    near, old = wire.dial()
    near.write(b"late")

    wire.network.break_connections("n1", "n2", late_seconds=2.0)
    wire.run(1.0)
    assert near.is_over and not old.is_over
    near, new = wire.dial()
    near.write(b"new")
    wire.run(0.5)
    assert (new.got, old.got) == (b"new", b"")

    wire.run(1.0)
    assert old.events == ["made", b"late", None]
    assert old.times[1] > new.times[1]
    assert not new.is_over


def test_a_process_that_ends_is_told_to_its_peers(wire: Wire) -> None:
    near, _ = wire.dial()

    wire.machines.loops["n2"].kill()
    wire.network.process_gone("n2", with_machine=False)
    wire.run()
    assert near.events == ["made", None]
    task = wire.dialing()
    wire.run()
    assert isinstance(task.exception(), ConnectionRefusedError)


def test_a_machine_that_goes_is_told_to_nobody(wire: Wire) -> None:
    near, _ = wire.dial()
    lose_power(wire)
    wire.run(600.0)
    assert near.events == ["made"]

    near.write(b"hello?")
    wire.run(2 * SILENT_SECONDS)
    assert isinstance(near.events[-1], TimeoutError)


def test_a_machine_that_is_on_again_knows_nothing_of_its_connections(wire: Wire) -> None:
    near, far = wire.dial()
    lose_power(wire)
    near.write(b"hello?")
    wire.run(1.0)

    wire.machines.off.clear()
    wire.network.machine_on("n2")
    wire.run(2 * RETRANSMIT_SECONDS_MAX)
    assert isinstance(near.events[-1], ConnectionResetError)
    assert far.got == b""


def lose_power(wire: Wire) -> None:
    wire.machines.loops["n2"].kill()
    wire.machines.off.add("n2")
    wire.network.process_gone("n2", with_machine=True)


# Weather.


def writes_through(weather: Weather) -> list[int]:
    """The numbers of those of a hundred writes that arrive, in their order."""
    wire = Wire()
    wire.listen()
    near, far = wire.dial()
    wire.there.weather = weather
    for number in range(100):
        near.write(b"%d," % number)
        wire.run(0.001)
    wire.run(1.0)
    return [int(number) for number in far.got.split(b",")[:-1]]


def test_writes_are_lost() -> None:
    arrived = writes_through(Weather(lost=0.3))

    assert arrived == sorted(set(arrived))
    assert 40 < len(arrived) < 95


def test_writes_are_doubled() -> None:
    arrived = writes_through(Weather(doubled=0.3))

    assert set(arrived) == set(range(100))
    assert 105 < len(arrived) < 160


def test_writes_are_overtaken() -> None:
    arrived = writes_through(Weather(overtaken=0.3))

    assert sorted(arrived) == list(range(100))
    assert arrived != sorted(arrived)


def test_the_end_is_never_lost() -> None:
    """A connection that is over at one end only would be so for ever."""
    wire = Wire()
    wire.listen()
    near, far = wire.dial()
    wire.there.weather = Weather(lost=1.0)

    assert near.end is not None
    near.write(b"lost")
    near.end.close()
    wire.run()
    assert far.events == ["made", None]


def test_a_write_takes_as_long_as_the_weather_says(wire: Wire) -> None:
    near, far = wire.dial()
    wire.there.weather = Weather(latency_seconds=2.0, jitter_seconds=0.5)
    began = wire.machines.scheduler.now

    near.write(b"slow")
    wire.run(5.0)
    assert 2.0 <= far.times[-1] - began <= 3.001
