"""Exchanges: what may run side by side on one connection."""

import pytest

from app.answers import Answer
from app.exchange import Exchange
from app.metrics import Metrics


class Line:
    """A connection that only counts."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.count = 0

    def answered(self) -> None:
        self.count += 1


def exchange(method: str, target: str) -> Exchange:
    return Exchange(Line(), method.encode(), target.encode(), True)


@pytest.mark.parametrize(
    ("first", "second", "may"),
    [
        (("GET", "/v1/kv/a"), ("GET", "/v1/kv/a"), True),
        (("GET", "/v1/kv/a"), ("HEAD", "/v1/kv/a?x"), True),
        (("PUT", "/v1/kv/a"), ("PUT", "/v1/kv/b"), True),
        (("PUT", "/v1/kv/a"), ("GET", "/v1/kv/a"), False),
        (("GET", "/v1/kv/a"), ("PUT", "/v1/kv/a"), False),
        (("PUT", "/v1/kv/a"), ("PUT", "/v1/kv/%61?x=y"), False),
        (("DELETE", "/v1/kv/a/b"), ("GET", "/v1/kv/a%2fb"), False),
        (("PUT", "/v1/kv/%zz"), ("PUT", "/v1/kv/%zz"), False),
    ],
)
def test_one_key_s_requests_keep_their_order(first: tuple[str, str], second: tuple[str, str], may: bool) -> None:
    assert exchange(*second).may_join(exchange(*first)) is may


def test_an_answer_is_counted_and_told_to_the_line() -> None:
    line = Line()
    one = Exchange(line, b"GET", b"/v1/kv/a", True)

    one.reply(Answer(200, b""))

    assert line.count == 1
    assert line.metrics.count(b"GET", 200) == 1
    assert one.answer is not None
