"""The front against any way the bytes may come: in pieces, mutated, or not HTTP at all."""

import asyncio
import contextlib
import itertools
from typing import Any, cast

import httptools
import uvicorn
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from app.front import FrontProtocol, front_protocol
from app.server import create_app
from tests.app.fake_coordinator import FakeCoordinator
from tests.app.running import SETTINGS, put


class Transport:
    """Keeps what is written, and what it was told."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.is_closed = False
        self.is_half_closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def write(self, data: bytes) -> None:
        assert not self.is_closed and not self.is_half_closed
        self.written += data

    def write_eof(self) -> None:
        self.is_half_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Answers:
    """Reads what a connection wrote, as a client would."""

    def __init__(self, written: bytes) -> None:
        self.statuses: list[int] = []
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(written)

    def on_message_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())


def talk(pieces: list[bytes]) -> tuple[bytes, Transport, FakeCoordinator]:
    """What one connection answers to `pieces`, with time for slow routes after each."""
    fake = FakeCoordinator()
    transport = Transport()

    async def run() -> None:
        app = create_app(SETTINGS, fake)  # type: ignore[arg-type]  # has the methods that are used
        protocol_type = front_protocol(app.state.gateway.patrol)
        config = uvicorn.Config(app, http=protocol_type, lifespan="off", log_config=None, access_log=False)
        protocol = protocol_type(config, ServerState(), {}, asyncio.get_running_loop())
        protocol.connection_made(cast(Any, transport))
        for piece in pieces:
            if not transport.is_closed:
                protocol.data_received(piece)
            await settled(protocol)
        protocol.connection_lost(ConnectionResetError())

    uvloop.run(run())
    return bytes(transport.written), transport, fake


async def settled(protocol: FrontProtocol) -> None:
    """Until every request that came in has its answer out; a slow route takes a few turns of the loop."""
    for _ in range(1_000):
        if not protocol._line:
            break
        await asyncio.sleep(0)
    assert not protocol._line, "a request is never answered"
    await asyncio.sleep(0)


REQUESTS = [
    put("a", b"first"),
    b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PUT /v1/kv/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"PUT /v1/kv/b HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /livez HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    b"GET /v1/kv/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    put("large", b"v" * 10_300),
    b"""POST /v1/partitions/0/leader HTTP/1.1\r
Host: x\r
Content-Type: application/json\r
Content-Length: 13\r
\r
{"node":"n2"}""",
    b"DELETE /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /nowhere HTTP/1.0\r\n\r\n",
]
STATUSES = [204, 200, 204, 204, 200, 400, 413, 200, 204]


@given(st.lists(st.integers(0, sum(map(len, REQUESTS))), max_size=12))
def test_it_does_not_matter_how_the_bytes_are_cut(cuts: list[int]) -> None:
    sent = b"".join(REQUESTS)
    bounds = [0, *sorted(set(cuts)), len(sent)]

    written, transport, fake = talk([sent[a:b] for a, b in itertools.pairwise(bounds) if a < b])

    # The last answer is to a HEAD: a client that does not know that reads no further.
    whole, _, head = written.rpartition(b"HTTP/1.1 404")
    assert Answers(whole).statuses == STATUSES
    assert b"connection: close" in head
    assert transport.is_closed
    assert {key: item.value for key, item in fake.items.items()} == {b"b": b"abc"}


@given(
    st.sampled_from(REQUESTS),
    st.lists(st.tuples(st.integers(0, 120), st.binary(max_size=4), st.integers(0, 4)), min_size=1, max_size=4),
    st.integers(1, 200),
)
def test_mutated_requests_get_an_answer_or_wait_for_more(
    request: bytes, edits: list[tuple[int, bytes, int]], piece: int
) -> None:
    sent = bytearray(request)
    for place, inserted, dropped in edits:
        sent[place : place + dropped] = inserted

    written, transport, _ = talk([bytes(sent[at : at + piece]) for at in range(0, len(sent), piece)])

    if request.startswith(b"HEAD") or b"HEAD" in bytes(sent):
        return
    with contextlib.suppress(httptools.HttpParserUpgrade):
        statuses = Answers(written).statuses
        assert 500 not in statuses
        assert statuses or not (transport.is_closed or transport.is_half_closed)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6))
def test_noise_is_answered_once(pieces: list[bytes]) -> None:
    written, _, fake = talk(pieces)

    assert set(Answers(written).statuses) <= {400, 404, 405, 431}
    assert not fake.items
