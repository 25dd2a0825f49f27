"""The line of a connection: order, and what may run side by side."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.line import LineProtocol
from tests.app.running import GET, Running, eventually, put


def test_pipelined_answers_keep_the_order_of_their_requests(gateway: Running) -> None:
    gateway.fake.is_patient = True
    with gateway.connect() as client:
        client.send(b"".join(put(f"order{number}", b"%d" % number) for number in range(20)))
        eventually(lambda: len(gateway.fake.waiting) == 20)
        gateway.fake.waiting.reverse()
        gateway.do(gateway.fake.release)
        revisions = [int(client.read_answer().headers["etag"].strip('"')) for _ in range(20)]

    gateway.fake.is_patient = False
    assert revisions == sorted(revisions, reverse=True)


def test_slow_routes_and_fast_ones_share_a_line(gateway: Running) -> None:
    """An ASGI answer takes several turns; whoever came after it waits."""
    with gateway.connect() as client:
        client.send(
            put("mixed", b"one")
            + b"GET /v1/limits HTTP/1.1\r\nHost: x\r\n\r\n"
            + b"GET /v1/kv/mixed HTTP/1.1\r\nHost: x\r\n\r\n"
            + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
            + b"HEAD /v1/kv/mixed HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        answers = [client.read_answer(is_head=number == 5) for number in range(6)]

    assert [answer.status for answer in answers] == [204, 200, 200, 200, 404, 200]
    assert json.loads(answers[1].body)["key_bytes_max"] == 1024
    assert answers[2].body == b"one"
    assert json.loads(answers[3].body) == {"status": "ok"}


def test_requests_for_one_key_run_one_after_the_other(gateway: Running) -> None:
    """However the key is spelled; a reader of one connection sees what the same connection wrote before."""
    gateway.fake.is_patient = True
    with gateway.connect() as client:
        client.send(put("a%2Fb") + b"GET /v1/kv/a/b HTTP/1.1\r\nHost: x\r\n\r\n" + put("other"))
        eventually(lambda: len(gateway.fake.waiting) == 1)
        gateway.do(gateway.fake.release)
        eventually(lambda: len(gateway.fake.waiting) == 2)
        gateway.do(gateway.fake.release)
        answers = [client.read_answer() for _ in range(3)]

    gateway.fake.is_patient = False
    assert [answer.status for answer in answers] == [204, 200, 204]
    assert answers[1].body == b"v"


def test_ten_thousand_pipelined_requests_are_all_answered(gateway: Running) -> None:
    gateway.do(lambda: gateway.fake.items.clear())
    with gateway.connect() as client, gateway.connect() as sender:
        client.ask(put("k"))
        client.send(GET * 10_000)
        assert {client.read_answer().status for _ in range(10_000)} == {200}
        assert sender.ask(GET).status == 200


def test_answers_of_one_turn_are_written_at_once(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they are there at once, or come together later."""
    written: list[int] = []
    flush: Callable[[Any], None] = LineProtocol._flush

    def counted(line: LineProtocol) -> None:
        if line._out:
            written.append(len(line._out))
        flush(line)

    monkeypatch.setattr(LineProtocol, "_flush", counted)
    requests = b"".join(put(f"turn{number}") for number in range(30))
    with gateway.connect() as client:
        client.send(requests)
        assert {client.read_answer().status for _ in range(30)} == {204}
        gateway.fake.is_patient = True
        client.send(requests)
        eventually(lambda: len(gateway.fake.waiting) == 30)
        gateway.do(gateway.fake.release)
        gateway.fake.is_patient = False
        assert {client.read_answer().status for _ in range(30)} == {204}

    assert sum(written) == 60
    assert len(written) <= 4  # the kernel may hand over the requests in two pieces
