"""A small load balancer: health checks, and a pool of keep-alive connections to each node that passes them."""

import contextlib
import http.client
import select
import threading
from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.cluster.nodes import Node

CHECK_SECONDS = 0.1


class Balancer:
    """Sends each request to a node that was ready a moment ago, over a connection that it had before, if it can.

    failures  of requests, at the socket
    closes    answers that said that they were the last of their connection
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._ready: list[Node] = list(nodes)
        self._pools: defaultdict[str, list[http.client.HTTPConnection]] = defaultdict(list)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._turn = 0
        self.failures: list[str] = []
        self.closes = 0

    def __enter__(self) -> Self:
        self._checker = threading.Thread(target=self._check)
        self._checker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._checker.join()
        for pool in self._pools.values():
            for connection in pool:
                connection.close()

    def ready(self) -> list[str]:
        """The nodes that get requests."""
        return [node.name for node in self._ready]

    def ask(self, method: str, target: str, body: bytes | None = None) -> int:
        """The status; 0, if it failed at the socket, which is never repeated."""
        node, connection = self._take()
        try:
            connection.request(method, target, body)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(f"{node.name}: {error!r}")
            connection.close()
            return 0
        if answer.will_close:
            self.closes += 1
            connection.close()
        else:
            with self._lock:
                self._pools[node.name].append(connection)
        return answer.status

    def _take(self) -> tuple[Node, http.client.HTTPConnection]:
        with self._lock:
            self._turn += 1
            node = self._ready[self._turn % len(self._ready)]
            pool = self._pools[node.name]
            while pool:
                connection = pool.pop(0)
                # One that the node has closed while nobody used it is no failure: it can be read.
                if connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]:
                    return node, connection
                connection.close()
        return node, http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=20)

    def _check(self) -> None:
        while not self._stopped.wait(CHECK_SECONDS):
            ready = [node for node in self._nodes if node.is_ready()]
            with self._lock, contextlib.suppress(IndexError):
                self._ready = ready or self._ready
