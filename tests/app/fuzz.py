"""The fuzzer: requests mutated in every way, as raw bytes, against a gateway that really listens.

    python -m tests.app.fuzz [--seconds 60] [--seed N]

A conversation is some requests, made from good ones, cut in pieces, and an end: the client closes its side, leaves or
stays. Whatever it was, every answer is one that the contract knows, the connection ends within a deadline, the next
request of somebody else is served, nothing is logged, no task is left, and no memory.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import random
import re
import socket
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, Self

import hypothesis
import msgspec
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from tests.app.bad_input import BODIES, CURSOR, GOOD, MSGPACK_BODIES, PARAMETERS, SESSION, WATCH_ID, Good
from tests.app.fake_coordinator import FakeCoordinator
from tests.app.running import Running, eventually, put, running, settings_with

SETTINGS = settings_with(
    head_seconds=0.5, body_seconds=0.5, import_pause_seconds=0.5, keep_alive_seconds=0.5, linger_seconds=0.1
)
DEADLINE_SECONDS = 5.0
STAYING_SECONDS = 10.0
ROUND_EXAMPLES = 500

# After a warm-up, the same conversations again may leave this much: what Python itself keeps here and there.
GROWTH_BYTES_MAX = 48 << 10
REPLAYS = 3
CORPUS = 40

KNOWN = frozenset((100, 200, 204, 304, 307, 400, 404, 405, 408, 409, 410, 412, 413, 414, 422, 431))
# The store is a dict that never fails: of all failures only these can be.
KNOWN_FAILURES = frozenset(("INCOMPLETE_IMPORT", "OVERLOADED"))

# What goes into requests, beside what the table of bad input has.
_METHODS = (
    "GET",
    "HEAD",
    "PUT",
    "POST",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    "",
    "A B",
)
_TARGETS = (
    *("*", "/", "", "//", "/v1/kv/", "/v1/kv/%00", "/v1/kv/" + "k" * 1_025, "/v1/kv/%", "/v1/locate/%FF", "/docs"),
    *("/static/docs.js", "/static/%2e%2e/x", "/openapi.json", "/nowhere", "http://x/v1/kv/k", "http://", "http://[/k"),
    *("x:1", "?", "/?", "/v1/kv?prefix=%FF", "/v1/watch?key=k&wait=3", "/v1/watch?prefix=&after=" + WATCH_ID, "/%zz"),
    *(f"/v1/kv?cursor={CURSOR}", "/v1/partitions/%2F/leader", "/v1/partitions/1_0/replicas", "/v1/kv/{a}b{", "/\xff"),
)
_HEADERS = (
    *("Accept: text/event-stream", "Accept: application/msgpack", "Accept: */*;q=0.x, application/json;q=", "Host: ["),
    *("Host: x", "Host:", "Connection: close", "Connection: keep-alive, Upgrade", "Upgrade: websocket", "Upgrade: h2c"),
    *(
        "Expect: 100-continue",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked,",
    ),
    *("Content-Length: 0", "Content-Length: 5", "Content-Length: 20000", "Content-Length: x", "Content-Length: +1"),
    *("Content-Type: application/json", "Content-Type: application/msgpack", "Content-Type: text/plain;;", "Range: x"),
    *("Content-Encoding: gzip", "Content-Range: bytes 0-1/2", f"KV-Session: {SESSION}", 'If-Match: "7"', "If-Match: *"),
    *("If-None-Match: *", 'If-None-Match: W/"7", "8"', "Idempotency-Key: abc", "KV-Timeout-Ms: 100", "no colon", ": x"),
    *(f"Last-Event-ID: {WATCH_ID}", " folded: x", "X: " + "x" * 9_000, "Cookie: \xff\xfe", "X\x00: y", "X: \x7f\x01"),
)
_NASTY = sorted(
    {bad.value for rows in PARAMETERS.values() for bad in rows if len(bad.value) < 500} | {"\xc3\xa4", "\x00"}
)
# Those that get past the parser, as a part of a target.
_SPELLED = [value for value in _NASTY if re.fullmatch('[!-"$-~]*', value)]
_TOKENS = (
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\x00",
        b"\xff",
        b"%",
        b"%00",
        b"?",
        b"&",
        b"=",
        b"#",
        b":",
        b",",
        b'"',
    ),
    *(
        b"HTTP/1.0",
        b"HTTP/0.9",
        b"HTTP/2.0",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"-1\r\n",
        b";a=b",
        b"{",
        b"[",
        b"\xc1",
    ),
)
_BODIES = (
    *(body for body in (*BODIES.values(), *MSGPACK_BODIES.values()) if len(body) < 5_000),
    b"[" * 3_000,
    b"x" * 10_300,
)


def _documents() -> list[Good]:
    """Richer bodies than the table's."""
    operations: list[dict[str, Any]] = [
        {"op": "put", "key": "k", "value": "v", "content_type": "text/x", "ttl": 5.5, "if_match": [1, 2]},
        {"op": "get", "key": "AP8=", "encoding": "base64"},
        {"op": "incr", "key": "n", "by": -5},
        {"op": "append", "key": "k", "value": "more", "if_none_match": "*"},
        {"op": "touch", "key": "k", "ttl": 1e3},
        {"op": "persist", "key": "k"},
        {"op": "delete", "key": "k", "if_match": "*"},
    ]
    steps = {
        "if": [{"key": "k", "revision": 7, "is": "ge"}],
        "then": operations[:1],
        "else": [{"op": "get", "key": "k"}],
    }
    del operations[0]["if_match"]
    found = []
    for path, document in (("/v1/batch", {"ops": operations}), ("/v1/txn", steps)):
        for kind, encode in (("json", msgspec.json.encode), ("msgpack", msgspec.msgpack.encode)):
            found.append(Good("POST", path, headers={"Content-Type": f"application/{kind}"}, body=encode(document)))
    return found


SEEDS: Sequence[Good] = (
    *GOOD.values(),
    *_documents(),
    Good("GET", "/v1/kv/k", {"consistency": "bounded", "max_staleness": "5"}, {"If-None-Match": '"7"'}),
    Good("GET", "/v1/kv/k", {"consistency": "session"}, {"KV-Session": SESSION, "KV-Timeout-Ms": "500"}),
    Good("PUT", "/v1/kv/%7Ba%7Db", {"ttl": "5.5"}, {"If-None-Match": "*", "Content-Type": "a/b"}, b"value"),
    Good("POST", "/v1/kv/k", {"op": "append"}, {"Idempotency-Key": "abc", "If-Match": '"1"'}, b"value"),
    Good("POST", "/v1/kv/k", {"op": "touch", "ttl": "60"}),
    Good("GET", "/v1/kv", {"prefix": "a", "start": "b", "end": "c", "reverse": "true", "limit": "5", "max_bytes": "9"}),
    Good("GET", "/v1/kv", {"cursor": CURSOR, "keys_only": "true"}, {"KV-Session": SESSION}),
    Good("GET", "/v1/watch", {"prefix": "k"}, {"Accept": "text/event-stream", "Last-Event-ID": WATCH_ID}),
    Good("GET", "/v1/watch", {"key": "k", "wait": "7", "after": WATCH_ID}),
    Good("POST", "/v1/import", body=b'{"key":"a","value":"1","expires_in":5}\n\n{"complete":true,"count":1}\n'),
    Good("GET", "/readyz", {"verbose": ""}),
    Good("OPTIONS", "/v1/kv/k"),
)


class End(Enum):
    """How the client ends it."""

    CLOSES_ITS_SIDE = "closes its side"
    LEAVES = "leaves"
    STAYS = "stays"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is sent, piece by piece, and how it ends."""

    pieces: tuple[bytes, ...]
    end: End


# How they are made.


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request, of which some things have been changed."""
    good = draw(st.sampled_from(SEEDS))
    method, query, body = good.method, [*good.query.items()], good.body
    target, version = good.path, "HTTP/1.1"
    lines = ["Host: x", *(f"{name}: {value}" for name, value in good.headers.items())]
    length = True
    for change in draw(st.lists(st.integers(0, 11), max_size=5)):
        if change == 0:
            method = draw(st.sampled_from(_METHODS))
        elif change == 1:
            target, query = draw(st.sampled_from(_TARGETS)), []
        elif change == 2:
            query.append((draw(st.sampled_from(_NAMES)), draw(st.sampled_from(_SPELLED))))
        elif change == 3 and query:
            place = draw(st.integers(0, len(query) - 1))
            query[place] = (query[place][0], draw(st.sampled_from(_SPELLED)))
        elif change == 4:
            lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(_HEADERS)))
        elif change == 5:
            lines.append(f"{draw(st.sampled_from(_FIELDS))}: {draw(st.sampled_from(_NASTY))}")
        elif change == 6 and lines:
            del lines[draw(st.integers(0, len(lines) - 1))]
        elif change == 7:
            lines += [draw(st.sampled_from(_HEADERS))] * draw(st.sampled_from((2, 101)))
        elif change == 8:
            body = draw(st.sampled_from(_BODIES) | st.binary(max_size=40))
        elif change == 9:
            body = _edited(draw, body)
        elif change == 10:
            lines.append("Transfer-Encoding: chunked")
            length = False
            size = draw(st.integers(1, 100))
            chunks = (body[at : at + size] for at in range(0, len(body), size))
            body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        else:
            length = draw(st.booleans())
            version = draw(st.sampled_from(("HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "")))
    if length and (body or method in {"POST", "PUT"}):
        lines.append(f"Content-Length: {len(body)}")
    text = "&".join(f"{name}={value}" for name, value in query)
    head = (
        f"{method} {target}{'?' * bool(text)}{text} {version}\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
    )
    sent = head.encode("latin-1", "replace") + body
    return _edited(draw, sent) if draw(st.integers(0, 3)) == 0 else sent


_NAMES = sorted({name for place, name in PARAMETERS if place == "query"})
_FIELDS = sorted({name for place, name in PARAMETERS if place == "header"})


def _edited(draw: st.DrawFn, data: bytes) -> bytes:
    """A few bytes put in, taken away or said twice."""
    edited = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(edited)))
        length = draw(st.integers(0, 8))
        edited[at : at + length] = draw(st.sampled_from(_TOKENS) | st.binary(max_size=6))
    return bytes(edited)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Some requests at once, in pieces."""
    sent = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=3)))
    if draw(st.integers(0, 7)) == 0 and cuts:
        sent = sent[: cuts.pop()]
    bounds = [0, *cuts, len(sent)]
    pieces = tuple(sent[start:end] for start, end in pairwise(bounds) if start < end)
    end = draw(st.sampled_from([End.CLOSES_ITS_SIDE] * 14 + [End.LEAVES, End.STAYS]))
    return Conversation(pieces or (b"\r\n",), end)


# How they are judged.


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a connection; None for a body that the end of the connection has cut."""

    status: int
    headers: dict[str, str]
    body: bytes | None


_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [^\r\n]*\r\n")


def read_answers(received: bytes) -> list[Answer]:
    """All answers, as far as they came. Whether one is to a HEAD is seen by what follows it."""
    answers = []
    while received:
        head, blank, received = received.partition(b"\r\n\r\n")
        if not blank:
            break
        start = _STATUS.match(head + b"\r\n")
        assert start is not None, f"no answer begins like this: {head[:100]!r}"
        headers = {}
        for line in head.split(b"\r\n")[1:]:
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon and name.lower() not in headers, f"a header that is none, or is there twice: {line!r}"
            headers[name.lower()] = value.strip()
        status = int(start[1])
        body: bytes | None = b""
        if status not in {100, 204, 304} and received and not _STATUS.match(received):
            body, received = _take_body(headers, received)
        answers.append(Answer(status, headers, body))
    return answers


def _take_body(headers: dict[str, str], received: bytes) -> tuple[bytes | None, bytes]:
    if headers.get("transfer-encoding") != "chunked":
        size = int(headers["content-length"])
        return (received[:size], received[size:]) if len(received) >= size else (None, b"")
    body = b""
    while True:
        digits, line, rest = received.partition(b"\r\n")
        assert not line or re.fullmatch(b"[0-9a-f]+", digits), f"a chunk cannot be so long: {digits!r}"
        if not line or len(rest) < int(digits, 16) + 2:
            return None, b""
        size = int(digits, 16)
        chunk, received = rest[:size], rest[size + 2 :]
        body += chunk
        if not chunk:
            return body, received


class Log(logging.Handler):
    """Keeps what is logged as going wrong, but for what uvicorn as shipped says when it is left."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if not _IS_LEFT.search(text):
            self.texts.append(text)

    def check(self) -> None:
        """Raises: AssertionError, once, if there is something."""
        texts, self.texts = self.texts, []
        assert not texts, texts[0]


# What uvicorn as shipped says to what it cannot parse: at once, even in the middle of another answer.
_REFUSAL = re.compile(rb"HTTP/1\.1 400 Bad Request\r\n(?:[^\r\n]+\r\n)*\r\nInvalid HTTP request received\.")

# It answers on a connection whose other side is closed, which it has closed itself.
_IS_LEFT = re.compile(r"httptools_impl\.py.*the handler is closed", re.DOTALL)


class Fuzzer:
    """Has conversations with one gateway, and looks at what becomes of it.

    statuses   of the answers so far, by how often
    """

    def __init__(self, gateway: Running, *, is_fast: bool = True) -> None:
        self.statuses: Counter[int] = Counter()
        self.gateway = gateway
        self._is_fast = is_fast
        self._staying: list[tuple[Conversation, socket.socket]] = []
        # The parser that comes with uvicorn says of every malformed request that it was one.
        self._log = Log(logging.WARNING if is_fast else logging.ERROR)
        self._count = 0

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self._log)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._log)
        for staying in self._staying:
            staying[1].close()

    def converse(self, conversation: Conversation) -> None:
        """Raises: AssertionError, if anything is not as it must be."""
        client = socket.create_connection(("127.0.0.1", self.gateway.port), timeout=DEADLINE_SECONDS)
        with contextlib.suppress(ConnectionError):
            for piece in conversation.pieces:
                client.sendall(piece)
        if conversation.end is End.STAYS and self._is_fast:
            self._staying.append((conversation, client))
        else:
            with client:
                if conversation.end is not End.LEAVES:
                    self._judge(conversation, _rest_of(client, DEADLINE_SECONDS, closes=True))
        self._check_others()
        self._log.check()

    def settle(self) -> None:
        """Everybody goes; what is left must be what was there in the beginning. Raises: AssertionError."""
        for conversation, client in self._staying:
            with client:
                self._judge(conversation, _rest_of(client, STAYING_SECONDS, closes=False))
        self._staying.clear()
        gateway = self.gateway.app.state.gateway
        eventually(lambda: not gateway.imports_open and not gateway.exports_open, DEADLINE_SECONDS)
        eventually(lambda: not self.gateway.fake.feeds.seats, DEADLINE_SECONDS)
        eventually(lambda: self._tasks() <= 1, DEADLINE_SECONDS)
        eventually(lambda: not gateway.patrol._open, DEADLINE_SECONDS)
        gc.collect()
        self._log.check()

    def growth(self, corpus: Sequence[Conversation]) -> int:
        """What the last of some replays left, in bytes."""
        sizes = []
        tracemalloc.start()
        try:
            for _ in range(1 + REPLAYS):
                for conversation in corpus:
                    self.converse(conversation)
                self.settle()
                self._forget()
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        return min(after - before for before, after in pairwise(sizes[1:]))

    def _judge(self, conversation: Conversation, received: bytes | None) -> None:
        assert received is not None, f"neither answered to its end nor closed in time: {conversation}"
        if not self._is_fast and (refusal := _REFUSAL.search(received)):
            received = received[: refusal.start()]
            self.statuses[400] += 1
        try:
            answers = read_answers(received)
            for answer in answers:
                self.statuses[answer.status] += 1
                _check(answer)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{conversation}\n{received[-2_000:]!r}") from error

    def _check_others(self) -> None:
        """Whoever else comes is served."""
        self._count += 1
        value = b"%d" % self._count
        with self.gateway.connect() as client:
            client.send(put("other", value))
            assert client.read_answer().status == 204
            client.send(b"GET /v1/kv/other HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.read_answer().body == value
        if self._count % 64 == 0:
            self._forget()

    def _forget(self) -> None:
        """What the fake store remembers is no leak of the gateway."""
        fake = self.gateway.fake

        def forget() -> None:
            new = FakeCoordinator()
            for kept in (fake.items, fake.deadlines, fake.bulks, fake.spans, fake.others, fake.targets):
                kept.clear()
            fake.leaders = new.leaders
            fake.feeds.history.clear()

        self.gateway.do(forget)

    def _tasks(self) -> int:
        return len(asyncio.all_tasks(self.gateway.loop))


def _check(answer: Answer) -> None:
    """Raises: AssertionError, if the contract knows no such answer."""
    failure = answer.headers.get("content-type") == "application/problem+json"
    document = json.loads(answer.body) if failure and answer.body else {}
    if answer.status not in KNOWN:
        assert document.get("code") in KNOWN_FAILURES, f"answered with {answer.status}"
    if document:
        assert document["status"] == answer.status and document["detail"], document
        assert document["outcome"] == "not_applied" or answer.status >= 500, document


def _rest_of(client: socket.socket, seconds: float, *, closes: bool) -> bytes | None:
    """All that comes, until the other side ends it; None, if it does not. A stream of events is left after a while."""
    received = b""
    deadline = time.monotonic() + seconds
    try:
        if closes:
            client.shutdown(socket.SHUT_WR)
        while True:
            client.settimeout(max(0.001, deadline - time.monotonic()))
            data = client.recv(1 << 20)
            if not data:
                return received
            received += data
            if not closes and b"text/event-stream" in received:
                return received
    except TimeoutError:
        return None
    except OSError:  # it was reset, as it may be
        return received


# How it is run.


def fuzz(fuzzer: Fuzzer, *, examples: int, seed: int | None = None, shrinks: bool = True) -> list[Conversation]:
    """Have so many conversations; without a seed the same ones each time. Returns some of them.

    Raises: AssertionError, with the conversation that does so; the least one, if it `shrinks`.
    """
    corpus: list[Conversation] = []

    def one(conversation: Conversation) -> None:
        if len(corpus) < CORPUS and conversation.end is not End.STAYS:
            corpus.append(conversation)
        fuzzer.converse(conversation)

    run: Callable[[], None] = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=seed is None,
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )(hypothesis.given(conversations())(one))
    if seed is not None:
        run = hypothesis.seed(seed)(run)
    run()
    fuzzer.settle()
    return corpus


@contextlib.contextmanager
def fuzzing(*, is_fast: bool = True) -> Iterator[Fuzzer]:
    """A fuzzer of a gateway of its own; without `is_fast`, of uvicorn as shipped before the same routes."""
    with running(SETTINGS, is_fast=is_fast) as gateway, Fuzzer(gateway, is_fast=is_fast) as fuzzer:
        # With a request behind a stream, uvicorn as shipped notices by a heartbeat alone that its client is gone.
        gateway.app.state.gateway.watches.heartbeat_seconds = 1.0
        yield fuzzer


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fuzz the HTTP interface; it says what it found, if anything.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    end = time.monotonic() + options.seconds
    count = 0
    statuses: Counter[int] = Counter()
    print(f"seed {seed}")
    while time.monotonic() < end:
        is_fast = count % 4 < 3
        with fuzzing(is_fast=is_fast) as fuzzer:
            corpus = fuzz(fuzzer, examples=ROUND_EXAMPLES, seed=seed + count)
            grown = fuzzer.growth(corpus)
            assert grown <= GROWTH_BYTES_MAX, f"{grown} bytes were left by conversations that had been before"
            statuses += fuzzer.statuses
        count += 1
        door = "the fast door" if is_fast else "stock uvicorn"
        print(f"round {count} (seed {seed + count - 1}, {door}): {ROUND_EXAMPLES} conversations, {grown} bytes left")
    print(f"nothing found in {count * ROUND_EXAMPLES} conversations; answers: {dict(sorted(statuses.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
