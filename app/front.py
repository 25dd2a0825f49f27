"""The front of a node: uvicorn's protocol, bounded, with a fast door for the hot routes.

httptools parses. A request for /v1/kv/… goes straight to its handler; every other becomes an ASGI request of
uvicorn's. Both wait in one line per connection, so that pipelined answers leave in the order of their requests.
What a request may take is bounded before it is taken: its head in bytes, fields and seconds, its body in bytes
(counted, whatever was announced) and seconds; one coarse timer per process looks after all deadlines.

The body of an import has no bound. It is started as soon as its head is in and its turn has come, and is read no
faster than its handler takes it; the handler minds the time. Answered early, the connection ends as for a refusal.

A refused request keeps its connection where its end can be found within `drain_bytes_max`. Otherwise the answer says
`Connection: close`, and what still comes in is thrown away for a moment, so that no reset overtakes the answer.
"""

import asyncio
import re
from time import monotonic
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from app.answers import Answer, encode_answer, encode_starts
from app.batch import PATH as BATCH
from app.exchange import Exchange
from app.fields import read_fields
from app.kv import ALLOW, PREFIX
from app.line import LineProtocol
from app.patrol import Patrol
from app.problems import (
    BAD_HEADER,
    BAD_REQUEST,
    BODY_TOO_LARGE,
    DRAINING,
    HEAD_TOO_LARGE,
    INTERNAL,
    TOO_MANY_CONNECTIONS,
    TOO_SLOW,
    Problem,
    problem_of,
)
from app.txn import PATH as TXN
from app.upgrade import new_parser, without_upgrade
from raftgroups import OutcomeUnknownError

_IDLE, _HEAD, _BODY = range(3)
_NEVER = float("inf")
_STOPPED = "the node stopped before it was known what became of the request"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# A chunk of one byte takes six on the wire; beyond this the sender is padding, not sending.
_CHUNK_OVERHEAD = 8

_STREAMED = frozenset(((b"POST", b"/v1/import"),))
_UNBOUNDED = 1 << 62
_AHEAD_BYTES_MAX = 65_536

# Header fields that most requests lack: of these each is looked at.
_UNCOMMON = frozenset((b"connection", b"expect", b"origin", b"sec-fetch-site", b"transfer-encoding"))
_BATCHES = frozenset((BATCH, TXN))
_AUTHORITY = re.compile(rb"[^/?#]*")


class _StopParsingError(Exception):
    """Makes httptools give up a request that has been refused."""


def front_protocol(patrol: Patrol) -> type["FrontProtocol"]:
    """The protocol class to give to uvicorn as `http=`, for connections that `patrol` looks after."""
    return type("BoundFrontProtocol", (FrontProtocol,), {"patrol": patrol, "__slots__": ()})


class FrontProtocol(LineProtocol):
    """The bounding half of a connection: a request passes through _HEAD and _BODY, then joins the line."""

    __slots__ = (
        *("_body_bytes", "_body_bytes_max", "_deadline", "_deaf", "_held", "_hosts", "_incoming", "_phase"),
        *(
            "_is_leaving",
            "_made_at",
            "_origins",
            "_owes_continue",
            "_phase_bytes",
            "_phase_is_new",
            "_pieces",
            "_plain_head",
            "_slice_bytes",
            "_streaming",
            "_timed",
            "_unfinished",
            "_unread_since",
        ),
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._origins = self.patrol.origins
        self._hosts = self._origins.known
        self._slice_bytes = self._limits.head_bytes_max
        self._deaf = False  # what comes in from now on is not a request
        self._unfinished = False  # the client is still sending what was refused
        self._owes_continue = False
        self._held = b""  # came in while the line was full
        self._incoming: Exchange | None = None
        self._streaming: Exchange | None = None  # in the line already, though its body is still coming in
        self._pieces: list[bytes] = []
        self._plain_head = b""  # of a request that asked for an upgrade, without it, until it is read again
        self._body_bytes = 0
        self._body_bytes_max = 0
        self._is_leaving = False
        self._made_at = 0.0
        self._phase = _IDLE
        self._phase_is_new = False  # it began in the data being fed
        self._phase_bytes = 0  # taken in by it since
        self._timed = _IDLE  # the phase that the deadline is for
        self._deadline = _NEVER
        self._unread_since = _NEVER

    # The transport's side.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        # A new connection has as long for its first byte as a request has for its head.
        self._made_at = monotonic()
        self._idle_since = self._made_at - self._limits.keep_alive_seconds + self._limits.head_seconds
        if not self.patrol.add(self, self.loop):
            self._deaf = True
            self.metrics.refused[TOO_MANY_CONNECTIONS.code] += 1
            limit = self._limits.connections_max
            problem = Problem(TOO_MANY_CONNECTIONS, f"{limit} connections are open already", {"limit": limit})
            start = encode_starts(self.server_state.default_headers)[TOO_MANY_CONNECTIONS.status]
            transport.write(encode_answer(problem.answer(), start, False, False))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.patrol.discard(self)
        self._forget()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # uvicorn never keeps a half-closed connection
        if not self._line or self._phase != _IDLE:
            return None
        self._deaf = True
        self._close_after_line()
        for exchange in self._line:  # more may wait behind who would answer without end
            if exchange.cycle is not None:
                # For that one, which looks whenever something is received.
                exchange.cycle.scope["state"]["is_leaving"] = True
                exchange.cycle.message_event.set()
        return True

    def rested_at(self) -> float:
        return _NEVER if self._line or self._phase else max(self._idle_since, self._made_at)

    def drain(self) -> None:
        if self._line and not self._waits_behind(1):
            cycle = self._line[0].cycle
            if cycle is not None and not cycle.response_started:
                cycle.keep_alive = False

    @property
    def is_answering(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._line)

    def shutdown(self) -> None:
        """Close, once what has come in is answered; a body that has not come in whole by now is not waited for."""
        self._is_leaving = True
        if self._line or self._unfinished:
            return
        if self._phase != _BODY:
            self._deaf = True
            self.transport.close()
        else:
            self._refuse(Problem(DRAINING, "the node is shutting down, and the request has not come in whole"))

    def give_up(self) -> None:
        """Wait for no answer any longer: who asked is told that it is not known what becomes of it."""
        self._running = len(self._line)
        for exchange in list(self._line):
            if exchange.answer is None and exchange.cycle is None:
                exchange.reply(problem_of(OutcomeUnknownError(_STOPPED), writes=exchange.is_write).answer())
        if not self._unfinished:
            self.transport.close()

    def pause_writing(self) -> None:
        self._unread_since = monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = _NEVER
        super().resume_writing()
        self._release()

    def look(self, now: float) -> None:
        """Act on whatever is overdue at `now`; called about once a second."""
        limits = self._limits
        if now - self._unread_since > limits.send_seconds or (self._unfinished and now >= self._deadline):
            self.transport.abort()
        elif now >= self._deadline:
            part, seconds = ("head", limits.head_seconds) if self._phase == _HEAD else ("body", limits.body_seconds)
            too_slow = Problem(TOO_SLOW, f"the {part} of the request took longer than {seconds:g} s")
            self._refuse(None if self._incoming is not None and self._incoming.prepared else too_slow)
        elif self._phase == _IDLE and not self._line and now - self._idle_since > limits.keep_alive_seconds:
            self.transport.close()

    # What comes in.

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._held or self.flow.write_paused:
            self._held += data
            self._pause()
        elif len(data) <= self._slice_bytes:
            self._feed(data)
            if len(self._line) >= self._limits.pipeline_max:
                self._pause()
        else:
            self._feed_slices(data)

    def _feed_slices(self, data: bytes) -> None:
        """Feed so little at a time that neither a head nor the line can outgrow its bound unseen."""
        step = self._slice_bytes
        view = memoryview(data)
        for start in range(0, len(data), step):
            if self._deaf:
                return
            if len(self._line) >= self._limits.pipeline_max or self.flow.write_paused:
                self._held = bytes(view[start:])
                self._pause()
                return
            self._feed(view[start : start + step])

    def _feed(self, data: bytes | memoryview) -> None:
        self._feeding = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._feed_plain(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if not self._deaf:
                self._refuse(self._unparsed(error))
        self._feeding = False
        if self._out:
            self._flush()
        if self._line and not self._patrol.keeps_alive:
            self.answered()
        if self._phase:
            self._bound(len(data))

    def _feed_plain(self, data: bytes | memoryview) -> None:
        """Go on where the parser stopped for an upgrade, which is ignored, and so with each that follows."""
        while self._plain_head:
            head, self._plain_head = self._plain_head, b""
            self.parser = new_parser(self)
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                if not self._deaf:
                    self._refuse(self._unparsed(error))

    def _unparsed(self, error: httptools.HttpParserError) -> Problem:
        if isinstance(error, httptools.HttpParserCallbackError):
            self.logger.error("a request could not be taken in", exc_info=error)
            return Problem(INTERNAL, "the node failed unexpectedly; its log says more")
        if isinstance(error, httptools.HttpParserInvalidMethodError) or "PRI" in str(error):
            detail = f"not HTTP/1.1, which is all that is spoken here, without TLS and without HTTP/2: {error}"
            return Problem(BAD_REQUEST, detail)
        return Problem(BAD_REQUEST, f"not HTTP/1.1: {error}")

    def _bound(self, size: int) -> None:
        """Bound a request that has not come in whole: its seconds, and the bytes that no callback has counted."""
        limits = self._limits
        if self._timed != self._phase:
            self._timed = self._phase
            seconds = limits.head_seconds if self._phase == _HEAD else limits.body_seconds
            self._deadline = monotonic() + seconds
        if self._phase_is_new:
            self._phase_is_new = False
            self._phase_bytes = 0
            return
        self._phase_bytes += size
        if self._phase == _HEAD:
            if self._phase_bytes > limits.head_bytes_max:
                self._refuse(self._head_too_large())
        elif self._phase_bytes > _CHUNK_OVERHEAD * self._body_bytes_max:
            self._refuse(Problem(BODY_TOO_LARGE, "the body is mostly chunk headers"))

    def _release(self) -> None:
        """Go on with what was held back, once there is room in the line again."""
        if self.flow.write_paused or len(self._line) >= self._limits.pipeline_max or self.transport.is_closing():
            return
        held, self._held = self._held, b""
        if held and not self._deaf:
            self._feed_slices(held)
        if not self._held and len(self._line) < self._limits.pipeline_max:
            self.flow.resume_reading()

    def _pause(self) -> None:
        if not self.transport.is_closing():
            self.flow.pause_reading()

    # The parser's side.

    def on_message_begin(self) -> None:
        if self._deaf:
            raise _StopParsingError
        self._phase = _HEAD
        self._phase_is_new = True
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        whole = self._phase_is_new
        if self.parser.should_upgrade():
            self._read_over_upgrade(whole)
            return
        self._phase = _BODY
        self._phase_is_new = True
        self._body_bytes = 0
        limits = self._limits
        headers = self.headers
        parser = self.parser
        exchange = Exchange(self, parser.get_method(), self.url, parser.should_keep_alive())
        self._incoming = exchange
        fields = read_fields(headers)
        if len(headers) > limits.headers_max or not (whole or _head_bytes(self.url, headers) <= limits.head_bytes_max):
            self._decline(self._head_too_large())
        elif isinstance(fields, Problem):
            self._decline(fields)
        else:
            exchange.fields = fields
            if exchange.target.startswith(PREFIX) and b"#" not in exchange.target:
                self._body_bytes_max = limits.pair_bytes_max
            else:
                self._route(exchange, headers)
            if fields.get(b"host") not in self._hosts or not exchange.keep_alive or not _UNCOMMON.isdisjoint(fields):
                self._check_uncommon(exchange, fields)
            length = fields.get(b"content-length")
            if length is not None and int(length) > self._body_bytes_max:
                self._too_large(exchange, int(length))
            if self._body_bytes_max == _UNBOUNDED:
                self._begin_stream(exchange)
            elif self._owes_continue and not self._line:
                self._continue()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        exchange = self._incoming
        assert exchange is not None, "a body without a head"
        if self._streaming is not None:
            self._pass_on(body)
        elif self._body_bytes > self._body_bytes_max:
            self._too_large(exchange, self._body_bytes)
        elif exchange.prepared is None:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        exchange = self._incoming
        if self._plain_head:
            return  # it has not ended for us, who are about to read it without its upgrade
        assert exchange is not None, "a request ends that never began"
        if self._streaming is not None:
            self._end_stream(exchange)
            return
        self._incoming = None
        self._owes_continue = False
        self._phase = self._timed = _IDLE
        self._deadline = _NEVER
        pieces = self._pieces
        if pieces:
            exchange.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._pieces = []
        if not exchange.keep_alive:
            self._deaf = True
        self._enter(exchange)

    def _read_over_upgrade(self, whole: bool) -> None:
        """Have the request read again, as one that wants no other protocol; a CONNECT, which is one, is refused."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._stop(Problem(BAD_REQUEST, "CONNECT is for proxies, and this is none: ask for a path of this node"))
        if not whole and _head_bytes(self.url, self.headers) > self._limits.head_bytes_max:
            self._stop(self._head_too_large())
        self._plain_head = without_upgrade(method, self.url, self.parser.get_http_version(), self.headers)

    def _route(self, exchange: Exchange, headers: list[tuple[bytes, bytes]]) -> None:
        """Choose the door, and with it the bound of the body."""
        target = _origin_form(exchange.target)
        misdirected = None
        if target is not exchange.target:
            misdirected = self._origins.host_refusal(_authority(exchange.target))
            exchange.target = target
        if misdirected is not None:
            self._decline(misdirected)
        elif b"#" in target:
            self._decline(Problem(BAD_REQUEST, "a '#' in the request target must be sent as %23"))
        elif target.startswith(PREFIX):
            self._body_bytes_max = self._limits.pair_bytes_max
        elif target.startswith(b"/"):
            self._body_bytes_max = self._bytes_max(exchange.method, target.partition(b"?")[0])
            self._make_cycle(exchange, headers)
        elif target == b"*" and exchange.method == b"OPTIONS":
            self._body_bytes_max = self._limits.drain_bytes_max
            exchange.prepared = Answer(204, ALLOW)
        else:
            self._decline(Problem(BAD_REQUEST, "the request target is not a path"))

    def _bytes_max(self, method: bytes, path: bytes) -> int:
        """Of a body on this path."""
        if (method, path) in _STREAMED:
            return _UNBOUNDED
        return self._limits.batch_bytes_max if path in _BATCHES else self._limits.body_bytes_max

    def _make_cycle(self, exchange: Exchange, headers: list[tuple[bytes, bytes]]) -> None:
        """Let uvicorn make its ASGI request of this one; it is started when its turn comes."""
        running = self.cycle
        super().on_message_begin()
        self.url = exchange.target
        self.headers.extend(headers)
        self.cycle = None  # type: ignore[assignment]  # else uvicorn would queue it behind the running one
        try:
            super().on_headers_complete()
            exchange.cycle = self.cycle
            self.cycle.more_body = False  # it is started with its whole body
        except httptools.HttpParserInvalidURLError:
            self._decline(Problem(BAD_REQUEST, "the request target is not a path"))
        self.cycle = running
        self.headers = headers

    def _should_upgrade(self) -> bool:
        return False

    def _check_uncommon(self, exchange: Exchange, fields: dict[bytes, bytes]) -> None:
        """Look at what most requests lack: another version or host, an origin, an expectation, a transfer coding."""
        version = self.parser.get_http_version()
        coding = fields.get(b"transfer-encoding")
        self.headers = []  # trailers may come, and are nobody's
        expectation = fields.get(b"expect")
        exchange.grant = self._origins.grant(fields)
        if version not in {"1.0", "1.1"}:
            self._stop(Problem(BAD_REQUEST, f"HTTP/{version} is not spoken here"))
        if coding is not None and (coding.strip().lower() != b"chunked" or version == "1.0"):
            self._stop(Problem(BAD_REQUEST, "no transfer coding but chunked is understood"))
        refused = self._origins.refusal(exchange.method, fields)
        if version == "1.0":
            exchange.keep_alive = False
        elif b"host" not in fields:
            refused = Problem(BAD_REQUEST, "header Host is missing", {"header": "Host"})
        elif expectation is not None and expectation.lower() != b"100-continue":
            refused = Problem(BAD_HEADER, "header Expect may ask for 100-continue only", {"header": "Expect"})
        if refused is not None:
            self._decline(refused)
        elif exchange.prepared is None:
            exchange.prepared = self._origins.preflight(exchange.method, fields)
        if expectation is not None and version != "1.0":
            if exchange.prepared is not None:
                self._refuse(None)  # told so now, the client may never send the body that it announced
                raise _StopParsingError
            self._owes_continue = True

    def _too_large(self, exchange: Exchange, size: int) -> None:
        """Refuse a body of `size` bytes, announced or counted so far, and read to its end where that is near."""
        enough = self._body_bytes_max + self._limits.drain_bytes_max
        is_near = exchange.prepared is None and not self._owes_continue and size <= enough
        if exchange.prepared is None:
            limit = self._body_bytes_max
            detail = f"{size} bytes were sent; a body may have {limit}"
            problem = (
                self._kv.too_large(size)
                if exchange.cycle is None
                else Problem(BODY_TOO_LARGE, detail, {"limit": limit, "size": size})
            )
            self._decline(problem)
        if not is_near:
            self._refuse(None)
            raise _StopParsingError
        self._pieces.clear()
        self._body_bytes_max = enough

    def _head_too_large(self) -> Problem:
        limits = self._limits
        detail = f"a head may have {limits.head_bytes_max} bytes and {limits.headers_max} fields"
        return Problem(HEAD_TOO_LARGE, detail, {"limit": limits.head_bytes_max, "fields": limits.headers_max})

    def _decline(self, problem: Problem) -> None:
        """Answer the incoming request with `problem`; what comes of its body is thrown away."""
        assert self._incoming is not None, "nothing to decline"
        self.metrics.refused[problem.kind.code] += 1
        self._incoming.grant = self._incoming.grant or self._origins.grant(dict(self.headers))
        self._incoming.prepared = problem.answer()
        self._body_bytes_max = self._limits.drain_bytes_max

    def _stop(self, problem: Problem) -> None:
        """From inside the parser: refuse, and parse no further."""
        self._refuse(problem)
        raise _StopParsingError

    # A body that is passed on while it comes.

    def _begin_stream(self, exchange: Exchange) -> None:
        cycle = exchange.cycle
        assert cycle is not None, "what is streamed is an ASGI request"
        cycle.more_body = True
        cycle.waiting_for_100_continue, self._owes_continue = self._owes_continue, False
        self._streaming = exchange
        self._timed = _BODY
        self._deadline = _NEVER
        self._enter(exchange)

    def _pass_on(self, body: bytes) -> None:
        assert self._streaming is not None and self._streaming.cycle is not None, "there is somebody to pass it to"
        cycle = self._streaming.cycle
        cycle.body += body
        cycle.message_event.set()
        if len(cycle.body) > _AHEAD_BYTES_MAX:
            self._pause()  # until the handler asks for more

    def _end_stream(self, exchange: Exchange) -> None:
        assert exchange.cycle is not None, "what is streamed is an ASGI request"
        self._incoming = self._streaming = None
        self._phase = self._timed = _IDLE
        exchange.cycle.more_body = False
        exchange.cycle.message_event.set()
        if not exchange.keep_alive:
            self._deaf = True

    def on_response_complete(self) -> None:
        is_early = self._streaming is not None and self._line[0] is self._streaming
        super().on_response_complete()
        if self._is_leaving:
            self.shutdown()
        if is_early and not self.transport.is_closing():
            self._unfinished = True
            self._end()

    def _refuse(self, problem: Problem | None) -> None:
        """Answer with `problem`, or with what was prepared, in turn, and close: where the request ends is unknown."""
        if self._streaming is not None:
            self.transport.abort()  # its handler may have begun to answer
            self._forget()
            return
        if self._incoming is None:
            # Once there is a target, the method is known: to a HEAD, no answer has a body.
            method = self.parser.get_method() if self._phase == _HEAD and self.url else b""
            self._incoming = Exchange(self, method, b"", False)
        exchange = self._incoming
        if problem is not None:
            self._decline(problem)
        self._incoming = None
        self._pieces.clear()
        self._deaf = self._unfinished = True
        self._owes_continue = exchange.keep_alive = False
        self._phase = self._timed = _IDLE
        self._deadline = _NEVER
        self._enter(exchange)

    # The line's side.

    def _waits_behind(self, count: int) -> bool:
        is_coming = self._phase != _IDLE and self._streaming is None
        return is_coming or bool(self._held) or super()._waits_behind(count)

    def _some_left(self) -> None:
        if self._owes_continue and not self._line:
            self._continue()
        if self._held or self.flow.read_paused:
            self._release()

    def _continue(self) -> None:
        self._owes_continue = False
        self._flush()
        self.transport.write(_CONTINUE)

    def _end(self) -> None:
        """Close, now or once the client had time to read why."""
        if not self._unfinished:
            super()._end()
            return
        self._flush()
        self._forget()
        self.transport.write_eof()
        self._deadline = monotonic() + self._limits.linger_seconds
        self.flow.resume_reading()

    def _forget(self) -> None:
        super()._forget()
        self._deaf = True
        self._held = b""
        self._incoming = self._streaming = None
        self._pieces.clear()


def _head_bytes(target: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(target) + sum(len(name) + len(value) + 4 for name, value in headers)


def _origin_form(target: bytes) -> bytes:
    """The path and query of an absolute target; any other target as it is (RFC 9112, section 3.2.2)."""
    scheme, mark, rest = target.partition(b"://")
    if not mark or scheme.lower() not in {b"http", b"https"}:
        return target
    path = rest[len(_authority(target)) :]
    return path if path.startswith(b"/") else b"/" + path


def _authority(target: bytes) -> bytes:
    """The host and port of an absolute target."""
    found = _AUTHORITY.match(target.partition(b"://")[2])
    assert found is not None, "it matches anything"
    return found.group()
