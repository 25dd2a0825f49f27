"""The line of a connection: exchanges leave in the order in which they came (RFC 9112, section 9.3.2).

The first `_running` of them have been started. Several may run side by side, as `Exchange.may_join` says; the answer
of one that is done early waits. An ASGI exchange runs alone, because uvicorn writes its answer as it comes.
"""

import asyncio
import itertools
from collections import deque
from time import monotonic
from typing import Any, ClassVar

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.answers import encode_answer
from app.exchange import Exchange
from app.patrol import Patrol
from app.problems import problem_of

# The ASGI extension with a `push` that needs no turn of the event loop.
PUSH = "ringkv.push"


class LineProtocol(HttpToolsProtocol):
    """The answering half of a connection; the other half puts exchanges in."""

    # Slots, not the instance's dict: uvicorn's own attributes fill the part of it that is quick to reach.
    __slots__ = (
        *("_feeding", "_idle_since", "_kv", "_limits", "_line", "_out", "_patrol", "_pumping", "_running", "metrics"),
    )

    patrol: ClassVar[Patrol]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._patrol = self.patrol
        self._limits = self.patrol.limits
        self._kv = self.patrol.kv
        self.metrics = self.patrol.metrics
        self._line: deque[Exchange] = deque()
        self._running = 0
        self._pumping = False
        self._feeding = False  # more requests may follow in the same data: their answers can leave together
        self._out: list[bytes] = []
        self._idle_since = 0.0

    def _enter(self, exchange: Exchange) -> None:
        """Join the line; an exchange that is alone in it starts at once."""
        exchange.received = monotonic()
        self._line.append(exchange)
        if len(self._line) == 1 and (self._patrol.keeps_alive or not self._feeding):
            self._running = 1
            self._start(exchange)
        else:
            self.answered()

    def answered(self) -> None:
        """Let the answers at the front of the line leave, and start whatever may start now."""
        if self._pumping or (self._feeding and not self._patrol.keeps_alive):
            return  # of a node that drains: only once all that came is in the line does one know which is the last
        line = self._line
        self._pumping = True
        try:
            while line:
                if line[0].answer is not None:
                    self._send(line.popleft())
                elif self._running < len(line) and self._may_start():
                    self._running += 1
                    self._start(line[self._running - 1])
                else:
                    break
        finally:
            self._pumping = False
        if not line:
            self._idle_since = monotonic()
        self._some_left()

    def _may_start(self) -> bool:
        candidate = self._line[self._running]
        return all(candidate.may_join(other) for other in itertools.islice(self._line, self._running))

    def _start(self, exchange: Exchange) -> None:
        cycle = exchange.cycle
        if exchange.prepared is not None:
            exchange.reply(exchange.prepared)
        elif cycle is None:
            try:
                self._kv.handle(exchange)
            except Exception as error:  # the other requests of this connection, and its parser, must go on
                self.logger.exception("a request failed")
                exchange.reply(problem_of(error).answer())
        else:
            self._flush()
            self.cycle = cycle
            cycle.keep_alive = exchange.keep_alive and (self._patrol.keeps_alive or self._waits_behind(1))
            cycle.body += exchange.body
            cycle.message_event.set()
            cycle.scope["extensions"] = {PUSH: {"push": self.push}}
            super()._start_asgi_task(cycle, self.app)

    def push(self, data: bytes) -> bool:
        """Send more of the body whose ASGI exchange has begun to answer; False, if it must wait for its `send`."""
        cycle = self._line[0].cycle if self._line else None
        if cycle is None or not cycle.response_started or cycle.response_complete:
            return False
        if self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if cycle.chunked_encoding else data)
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Keep the cycle that uvicorn has just made from starting before its turn."""

    def _send(self, exchange: Exchange) -> None:
        answer = exchange.answer
        assert answer is not None, "it leaves before it is answered"
        self._running -= 1
        patrol = self._patrol
        keep_alive = exchange.keep_alive and (patrol.keeps_alive or self._waits_behind(0))
        if patrol.headers is not self.server_state.default_headers:
            patrol.renew(self.server_state.default_headers)
        wire = encode_answer(answer, patrol.starts[answer.status], exchange.method == b"HEAD", keep_alive)
        if self._feeding or self._out:
            self._out.append(wire)
        elif self._line:
            self._out.append(wire)
            self.loop.call_soon(self._flush)
        else:
            self.transport.write(wire)
        if not keep_alive:
            self._end()

    def _flush(self) -> None:
        """Write all answers of this turn at once."""
        out = self._out
        if out:
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    def on_response_complete(self) -> None:
        """Called by uvicorn when the ASGI exchange at the front of the line has its whole answer out."""
        self.server_state.total_requests += 1
        if not self._line:  # it was given up meanwhile, and the connection is about to be lost
            return
        self._line.popleft()
        self._running -= 1
        self.cycle = None  # type: ignore[assignment]  # as in the beginning
        if self.transport.is_closing():
            self._forget()
        else:
            self.answered()

    def _waits_behind(self, count: int) -> bool:
        """Whether anything has come in behind the first `count` of the line."""
        return len(self._line) > count

    def _close_after_line(self) -> None:
        """Let the last of the line be the last of the connection."""
        exchange = self._line[-1]
        exchange.keep_alive = False
        if exchange.cycle is not None:
            exchange.cycle.keep_alive = False

    def _forget(self) -> None:
        """Nobody waits for these answers any more."""
        self._line.clear()
        self._running = 0
        self._out.clear()

    def _some_left(self) -> None:
        """There may be room in the line again."""

    def _end(self) -> None:
        """The last answer is out."""
        self._flush()
        self._forget()
        self.transport.close()
