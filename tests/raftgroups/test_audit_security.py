"""Who may say what to a node: to PySyncObj as shipped anybody anything, to ours its peers alone; audit.py has the list.

The stock nodes listen on loopback, and a stranger is a plain socket. That ours refuses whoever lacks
the secret, and whatever is no frame or message, stands in test_link.py.
"""

import ast
import asyncio
import pickle
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.node import TCPNode
from pysyncobj.tcp_connection import TcpConnection

import raftgroups
from raftgroups.command import decode_entry
from raftgroups.errors import RaftGroupError
from tests.raftgroups.bench import Bench
from tests.raftgroups.peers import LinkOwner, RawPeer, listening
from tests.raftgroups.stock import StockWire

ME, PEER, BOGUS = (f"127.0.0.1:{port}" for port in (1, 2, 3))
TICKS_MAX = 500
EXECUTED: list[str] = []


def execute(what: str) -> None:
    EXECUTED.append(what)


class Exploit:
    """Has whoever unpickles it call what its sender likes."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return execute, ("code of a stranger",)


@pytest.fixture(autouse=True)
def _nothing_executed() -> None:
    EXECUTED.clear()


def stock_frame(message: object) -> bytes:
    data = zlib.compress(pickle.dumps(message))
    return struct.pack("i", len(data)) + data


class StockServer(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """A stock node on loopback, at a port that the system chose."""

    def __init__(self, *others: str) -> None:
        conf = SyncObjConf(autoTick=False, bindAddress="127.0.0.1:0", dynamicMembershipChange=True)
        super().__init__(ME, list(others), conf)
        self.data: dict[str, str] = {}

    @replicated  # type: ignore[untyped-decorator]
    def put(self, key: str, value: str) -> None:
        self.data[key] = value

    def dial(self) -> socket.socket:
        server = self._SyncObj__transport._server
        stranger = socket.create_connection(server._TcpServer__socket.getsockname())
        stranger.settimeout(5.0)
        return stranger

    def strike_at(self, deadline: float) -> None:
        """Set the election timer."""
        self._SyncObj__raftElectionDeadline = deadline

    def lead(self) -> None:
        self.strike_at(0)
        self.until(self._isLeader)

    def until(self, condition: Callable[[], object]) -> None:
        """Tick, and wait for the sockets in between."""
        for _ in range(TICKS_MAX):
            if condition():
                return
            self.doTick(0.01)
        raise AssertionError("it never comes")


@pytest.fixture
def stock_server() -> Iterator[Callable[..., StockServer]]:
    made: list[StockServer] = []

    def make(*others: str) -> StockServer:
        made.append(StockServer(*others))
        return made[-1]

    yield make
    for server in made:
        server.destroy()


StockMaker = Callable[..., StockServer]


# X1: the first bytes of any connection are unpickled.


def test_x1_stock_runs_the_code_of_whoever_can_connect(stock_server: StockMaker) -> None:
    server = stock_server()
    with server.dial() as stranger:
        stranger.sendall(stock_frame(Exploit()))
        server.until(lambda: EXECUTED)

    assert EXECUTED == ["code of a stranger"]


@pytest.mark.parametrize("has_shaken_hands", [False, True])
@pytest.mark.parametrize("is_framed", [False, True])
def test_x1_ours_runs_nothing_and_hangs_up(has_shaken_hands: bool, is_framed: bool) -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            peer = await RawPeer.dial(port)
            if has_shaken_hands:
                await peer.shake_hands()
            peer.write(peer.frame(pickle.dumps(Exploit())) if is_framed else stock_frame(Exploit()))
            assert await peer.is_hung_up_on()
            await peer.close()
        assert owner.received == []

    asyncio.run(scenario())

    assert EXECUTED == []


# X2: what a peer has in its log is unpickled too.


def test_x2_stock_runs_the_code_that_an_entry_holds(stock: StockWire) -> None:
    stock.lead("a", "bc")
    index, term = stock["b"].log[-1]
    append = {"type": "append_entries", "term": term, "prevLogIdx": index, "prevLogTerm": term}
    entry = (b"\x00" + pickle.dumps(Exploit()), index + 1, term)

    stock["b"].hand.received("a", append | {"entries": [entry], "commit_index": index + 1})
    with pytest.raises(KeyError):
        stock["b"].doTick()

    assert EXECUTED == ["code of a stranger"]


def test_x2_ours_knows_two_commands_and_runs_neither() -> None:
    bench = Bench().lead()
    with pytest.raises(Exception, match="Expected"):
        decode_entry(pickle.dumps(Exploit()))

    outcomes: list[object] = []
    bench.group.propose(pickle.dumps([Exploit(), b"x" * 70_000]), 1000.0, outcomes.append)

    assert isinstance(outcomes[0], RaftGroupError)
    assert EXECUTED == []


def test_x2_nothing_of_ours_unpickles_or_inflates() -> None:
    forbidden = {"pickle", "marshal", "shelve", "dill", "zlib", "gzip", "bz2", "lzma"}
    imported = set()
    for path in Path(raftgroups.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])

    assert imported & forbidden == set()
    assert "msgspec" in imported


# X3: who somebody is, and what they may do, is for them to say.


def test_x3_stock_adds_a_member_that_a_stranger_names(stock_server: StockMaker) -> None:
    server = stock_server()
    server.lead()
    server.until(lambda: server.raftLastApplied == server._SyncObj__noopIDx)
    with server.dial() as stranger:
        stranger.sendall(stock_frame(["add", BOGUS]))
        server.until(lambda: server.otherNodes)

    assert {node.id for node in server.otherNodes} == {BOGUS}, "a voter from now on"


def test_x3_stock_takes_a_stranger_for_who_it_says_it_is(stock_server: StockMaker) -> None:
    server = stock_server(PEER)
    with server.dial() as stranger:
        stranger.sendall(stock_frame(PEER))
        server.until(lambda: server.isNodeConnected(TCPNode(PEER)))
        server.strike_at(0)
        server.doTick()
        server.strike_at(float("inf"))
        stranger.sendall(stock_frame({"type": "response_vote", "term": server.raftCurrentTerm}))
        server.until(server._isLeader)

    assert server._isLeader(), "by the vote of a stranger"


def test_x3_stock_sends_all_data_to_whoever_asks(stock_server: StockMaker) -> None:
    server = stock_server()
    server.lead()
    server.put("password", "hunter2")
    server.until(lambda: server.data)
    with server.dial() as stranger:
        stranger.sendall(stock_frame("readonly"))
        server.until(lambda: server._SyncObj__readonlyNodes)
        server._SyncObj__raftNextIndex = dict.fromkeys(server._SyncObj__readonlyNodes, 2)
        server._SyncObj__sendAppendEntries()
        (length,) = struct.unpack("i", stranger.recv(4, socket.MSG_WAITALL))
        message = pickle.loads(zlib.decompress(stranger.recv(length, socket.MSG_WAITALL)))

    assert any(b"hunter2" in command for command, _, _ in message["entries"])


# X5: a frame may claim any length, and grow to any size.


def test_x5_stock_inflates_what_a_stranger_sends(stock_server: StockMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of memory for each kilobyte that came, and no bound to either."""
    inflated: list[int] = []

    def decompress(data: bytes) -> bytes:
        inflated.append(len(zlib_decompress(data)) // len(data))
        return zlib_decompress(data)

    zlib_decompress = zlib.decompress
    monkeypatch.setattr(zlib, "decompress", decompress)
    server = stock_server()
    with server.dial() as stranger:
        stranger.sendall(stock_frame(bytes(8 << 20)))
        server.until(lambda: inflated)

    assert inflated[0] > 900


def test_x5_stock_gathers_a_frame_of_any_length(stock_server: StockMaker) -> None:
    server = stock_server()
    with server.dial() as stranger:
        stranger.sendall(struct.pack("i", (1 << 31) - 1) + bytes(1 << 20))
        (connection,) = wait_for_stranger(server)
        server.until(lambda: len(connection._TcpConnection__readBuffer) > 1 << 20)

        assert connection in server._SyncObj__transport._unknownConnections, "it goes on reading"


def wait_for_stranger(server: StockServer) -> set[TcpConnection]:
    unknown: set[TcpConnection] = server._SyncObj__transport._unknownConnections
    server.until(lambda: unknown)
    return unknown


# L14: a member that was dropped counts as connected.


def test_l14_stock_counts_the_link_of_who_was_removed(stock_server: StockMaker) -> None:
    """Ours: test_audit_liveness.py."""
    server = stock_server(PEER)
    with server.dial() as peer:
        peer.sendall(stock_frame(PEER))
        server.until(lambda: server.isNodeConnected(TCPNode(PEER)))
        server._SyncObj__doChangeCluster(("rem", PEER))
        assert peer.recv(1) == b"", "the connection is closed"

    assert server.otherNodes == set()
    assert server.isNodeConnected(TCPNode(PEER))
