"""Answers on the wire and as ASGI."""

import pytest

from app.answers import Answer, encode_answer, encode_starts, header_pairs

OK = encode_starts([(b"a", b"b")])[200]


def test_an_answer_is_framed_by_its_length() -> None:
    answer = Answer(200, b'etag: "7"\r\n', b"value")

    assert encode_answer(answer, OK, False, True) == (
        b'HTTP/1.1 200 OK\r\nx-content-type-options: nosniff\r\na: b\r\netag: "7"\r\ncontent-length: 5\r\n\r\nvalue'
    )


def test_a_head_has_the_length_and_no_body() -> None:
    answer = Answer(200, b"", b"value")

    assert encode_answer(answer, b"", True, False) == (b"content-length: 5\r\nconnection: close\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_no_content_has_no_length(status: int) -> None:
    wire = encode_answer(Answer(status, b"a: b\r\n"), b"", False, True)

    assert wire == b"a: b\r\n\r\n"
    assert header_pairs(Answer(status, b"a: b\r\n")) == [(b"a", b"b")]


def test_asgi_gets_the_same_headers() -> None:
    answer = Answer(404, b"a: b\r\nc: d: e\r\n", b"12")

    assert header_pairs(answer) == [(b"a", b"b"), (b"c", b"d: e"), (b"content-length", b"2")]
