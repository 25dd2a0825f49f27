"""PySyncObj as it is shipped, on links and a clock that a test moves by hand.

Nothing of it is overridden. Links are first in, first out, and lose what is in flight when they
break, as TCP connections do; nothing is duplicated or reordered.
"""

import pickle
from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

import pytest
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node
from pysyncobj.transport import Transport

SUCCESS = FAIL_REASON.SUCCESS
HEARTBEAT_SECONDS = 0.101
"""Just longer than stock's appendEntriesPeriod: the timer of a leader strikes."""

JOURNAL_WARNS = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
"""For tests that restart a node: stock leaves its journal's second file open."""

Message = dict[str, Any]


class _HandTransport(Transport):  # type: ignore[misc]  # pysyncobj has no types
    def __init__(self, wire: "StockWire", name: str) -> None:
        super().__init__(None, Node(name), [])
        self._wire = wire
        self._name = name

    def addNode(self, node: Node) -> None:  # noqa: N802  # pysyncobj's name
        pass

    def dropNode(self, node: Node) -> None:  # noqa: N802  # pysyncobj's name
        pass

    def send(self, node: Node, message: Message) -> bool:
        return self._wire.send(self._name, node.id, message)

    def linked(self, other: str) -> None:
        self._onNodeConnected(Node(other))

    def unlinked(self, other: str) -> None:
        self._onNodeDisconnected(Node(other))

    def received(self, other: str, message: Message) -> None:
        self._onMessageReceived(Node(other), message)


class StockNode(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """A replicated dict and counter."""

    def __init__(self, wire: "StockWire", name: str, others: Iterable[str], **conf: object) -> None:
        # Before the constructor, which looks at every property; what is set after it counts as replicated state.
        self.name = name
        self.hand = _HandTransport(wire, name)
        super().__init__(
            Node(name),
            [Node(other) for other in others],
            SyncObjConf(autoTick=False, useFork=False, **conf),
            nodeClass=Node,
            transport=self.hand,
        )
        self.data: dict[str, Any] = {}
        self.count = 0

    @replicated  # type: ignore[untyped-decorator]
    def put(self, key: str, value: Any) -> None:
        self.data[key] = value

    @replicated  # type: ignore[untyped-decorator]
    def increment(self) -> int:
        self.count += 1
        return self.count

    @property
    def log(self) -> list[tuple[int, int]]:
        """(index, term) of every entry."""
        return [(index, term) for _, index, term in self._SyncObj__raftLog[:]]

    @property
    def next_index(self) -> dict[str, int]:
        return {node.id: index for node, index in self._SyncObj__raftNextIndex.items()}

    @property
    def term(self) -> int:
        return int(self.raftCurrentTerm)

    @property
    def members(self) -> set[str]:
        return {self.name, *(node.id for node in self.otherNodes)}

    def compact(self) -> None:
        """Take a snapshot, and forget the log before it."""
        self.forceLogCompaction()
        for _ in range(2):
            self.doTick()

    @property
    def is_leader(self) -> bool:
        return bool(self._isLeader())

    def postpone_election(self, until: float) -> None:
        self._SyncObj__raftElectionDeadline = until


class StockMaker(Protocol):
    """Makes a stock cluster whose clock is the test's."""

    def __call__(self, names: str, **conf: object) -> "StockWire": ...


class StockWire:
    """A cluster of stock nodes. `acknowledged` are the keys whose writer was told SUCCESS."""

    def __init__(self, names: str, **conf: object) -> None:
        self.now = 1000.0
        self.links: dict[tuple[str, str], deque[bytes]] = {}
        self.acknowledged: set[str] = set()
        self._linked: set[frozenset[str]] = set()
        self._conf = conf
        self.nodes = {name: StockNode(self, name, names.replace(name, ""), **conf) for name in names}
        for a in names:
            for b in names:
                self.link(a, b)

    def __getitem__(self, name: str) -> StockNode:
        return self.nodes[name]

    @staticmethod
    def node(name: str) -> Node:
        """What the library calls somebody."""
        return Node(name)

    def start(self, name: str, others: str, **conf: object) -> StockNode:
        """Start a node, or start it again."""
        self.nodes[name] = StockNode(self, name, others, **(self._conf | conf))
        return self.nodes[name]

    def put(self, name: str, key: str, value: object = 1) -> None:
        def told(result: object, error: int) -> None:
            if error == SUCCESS:
                self.acknowledged.add(key)

        self.nodes[name].put(key, value, callback=told)

    # Links.

    def send(self, a: str, b: str, message: Message) -> bool:
        if frozenset((a, b)) not in self._linked:
            return False
        self.links.setdefault((a, b), deque()).append(pickle.dumps(message))
        return True

    def link(self, a: str, b: str) -> None:
        if a != b and frozenset((a, b)) not in self._linked:
            self._linked.add(frozenset((a, b)))
            self.nodes[a].hand.linked(b)
            self.nodes[b].hand.linked(a)

    def cut(self, a: str, others: str = "") -> None:
        for b in others or list(self.nodes):
            if frozenset((a, b)) in self._linked:
                self._linked.remove(frozenset((a, b)))
                for pair in ((a, b), (b, a)):
                    self.links.pop(pair, None)
                    self.nodes[pair[0]].hand.unlinked(pair[1])

    def kill(self, name: str) -> None:
        self.cut(name)
        self.nodes.pop(name).destroy()

    def close(self) -> None:
        for name in list(self.nodes):
            self.kill(name)

    def deliver(self, a: str, b: str, count: int | None = None) -> list[Message]:
        link = self.links.get((a, b), deque())
        delivered = []
        for _ in range(len(link) if count is None else min(count, len(link))):
            message = pickle.loads(link.popleft())
            delivered.append(message)
            self.nodes[b].hand.received(a, message)
        return delivered

    def in_flight(self, a: str, b: str) -> list[Message]:
        return [pickle.loads(data) for data in self.links.get((a, b), ())]

    # Time.

    def heartbeat(self, name: str) -> None:
        """The leader's timer strikes, and nobody's election timer does."""
        self.now += HEARTBEAT_SECONDS
        for node in self.nodes.values():
            node.postpone_election(self.now + 1e6)
        self.nodes[name].doTick()

    def elect(self, name: str, voters: str) -> StockNode:
        """The election timer of one node strikes, and these voters answer."""
        node = self.nodes[name]
        node.postpone_election(self.now - 1)
        node.doTick()
        for voter in voters:
            self.deliver(name, voter)
        for voter in voters:
            self.deliver(voter, name)
        assert node.is_leader, f"{name} was not elected"
        return node

    def lead(self, name: str, voters: str) -> StockNode:
        """Elect a node, and let it settle in."""
        node = self.elect(name, voters)
        self.settle(name, voters)
        return node

    def settle(self, leader: str, followers: str, rounds: int = 6) -> None:
        """Some calm heartbeats between these."""
        for _ in range(rounds):
            self.heartbeat(leader)
            for follower in followers:
                self.deliver(leader, follower)
                self.deliver(follower, leader)
            for follower in followers:
                self.nodes[follower].doTick()
            self.nodes[leader].doTick()
