"""A short run of the fuzzer at both doors, and that it finds what is there to be found."""

import asyncio
import re
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from app.kv import KvHandler, Request
from tests.app.fuzz import (
    GROWTH_BYTES_MAX,
    Answer,
    Conversation,
    End,
    fuzz,
    fuzzing,
    read_answers,
)
from tests.app.running import GET

EXAMPLES = 120


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "asgi"])
def test_no_conversation_does_harm(is_fast: bool) -> None:
    with fuzzing(is_fast=is_fast) as fuzzer:
        corpus = fuzz(fuzzer, examples=EXAMPLES)

        assert fuzzer.growth(corpus) <= GROWTH_BYTES_MAX
        assert {200, 204, 400} <= set(fuzzer.statuses)


# Defects, planted where a plain request does not go.

Handle = Callable[[KvHandler, Request], None]


def fails(handle: Handle, handler: KvHandler, request: Request) -> None:
    if b"=" in request.target.partition(b"?")[2]:
        raise RuntimeError("a defect")
    handle(handler, request)


def says_nothing(handle: Handle, handler: KvHandler, request: Request) -> None:
    if b"kv-session" not in request.fields:
        handle(handler, request)


def loses_a_task(handle: Handle, handler: KvHandler, request: Request) -> None:
    async def fail() -> None:
        raise RuntimeError("a defect")

    if b"if-match" in request.fields:
        asyncio.get_running_loop().create_task(fail())
    handle(handler, request)


@pytest.mark.parametrize(
    ("defect", "told"),
    [
        (fails, "a request failed|answered with 500"),
        (says_nothing, "nor closed in time|timed out"),
        (loses_a_task, "never retrieved"),
    ],
)
def test_a_planted_defect_is_found(monkeypatch: pytest.MonkeyPatch, defect: Any, told: str) -> None:
    handle = KvHandler.handle
    if defect is says_nothing:
        monkeypatch.setattr("tests.app.fuzz.DEADLINE_SECONDS", 0.5)
    with fuzzing() as fuzzer:
        monkeypatch.setattr(KvHandler, "handle", lambda handler, request: defect(handle, handler, request))

        with pytest.raises((AssertionError, ExceptionGroup)) as found:
            fuzz(fuzzer, examples=2_000, shrinks=False)

        monkeypatch.setattr(KvHandler, "handle", handle)
    assert re.search(told, "".join(traceback.format_exception(found.value)))


def test_a_task_that_is_left_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = KvHandler.handle
    left: list[asyncio.Task[Any]] = []

    def leaves(handler: KvHandler, request: Request) -> None:
        left.append(asyncio.get_running_loop().create_task(asyncio.Event().wait()))
        handle(handler, request)

    with fuzzing() as fuzzer:
        monkeypatch.setattr(KvHandler, "handle", leaves)
        fuzzer.converse(Conversation((GET,), End.CLOSES_ITS_SIDE))
        monkeypatch.setattr("tests.app.fuzz.DEADLINE_SECONDS", 0.2)

        with pytest.raises(AssertionError, match="it does not happen"):
            fuzzer.settle()

        fuzzer.gateway.do(lambda: [task.cancel() for task in left])


def test_what_is_kept_of_each_request_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = KvHandler.handle
    kept: list[bytes] = []

    def keeps(handler: KvHandler, request: Request) -> None:
        kept.append(bytes(request.target) + b"x" * 4_000)
        handle(handler, request)

    with fuzzing() as fuzzer:
        monkeypatch.setattr(KvHandler, "handle", keeps)

        assert fuzzer.growth([Conversation((GET,), End.CLOSES_ITS_SIDE)] * 10) > GROWTH_BYTES_MAX


def test_answers_are_told_apart() -> None:
    """One to a HEAD has no body, whatever its head says; the last may be cut."""
    received = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 50\r\n\r\nhalf"
    )

    answers = read_answers(received)

    assert [(answer.status, answer.body) for answer in answers] == [
        (200, b"hello"),
        (200, b""),
        (204, b""),
        (200, b"abc"),
        (404, None),
    ]
    assert answers[0] == Answer(200, {"content-length": "5"}, b"hello")


@pytest.mark.parametrize(
    "received",
    [
        b"HTTP/1.1 200\r\n\r\n",
        b"no\r\n\r\n",
        b"HTTP/1.1 204 X\r\nA: 1\r\nA: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_found(received: bytes) -> None:
    with pytest.raises(AssertionError):
        read_answers(received)
