"""The last line of an export, and what it says of the lines before it."""

import json

import pytest

from app.exportend import End, EndCheck, decode_end, encode_end


def line(**members: object) -> bytes:
    return json.dumps({"key": "k", "value": "v", **members}).encode()


@pytest.mark.parametrize("end", [End(True, 3), End(False, 0, {"status": 503})])
def test_an_end_is_known_by_its_form(end: End) -> None:
    assert decode_end(encode_end(end)) == end


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{}", b'{"complete":1}', b'{"complete":true}', b'{"complete":\xff', line()),
        b'{"complete":true,"count":1,"error":{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}}",
        b'{"complete":true,"other":' + b"[" * 30_000,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_end(text: bytes) -> None:
    assert decode_end(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"complete": true, "count": 3}',
        b' { "count":3 ,"complete":true } ',
        b'{"made_at":"yesterday","complete":true,"count":3}\r',
    ],
)
def test_an_end_may_be_spelled_otherwise(text: bytes) -> None:
    assert decode_end(text) == End(True, 3)


def missing(*lines: bytes) -> str | None:
    check = EndCheck()
    for each in lines:
        check.look(each)
    return check.missing


WHOLE = b'{"complete": true, "count": 2}'


def test_what_ends_as_it_says_is_whole() -> None:
    assert missing(line(), line(), WHOLE) is None
    assert missing(line(), b"", line(), WHOLE, b"") is None
    assert missing(line(), line(), WHOLE, line(), line(), WHOLE) is None, "two exports, one after the other"
    assert missing(encode_end(End(True, 0))) is None
    assert missing(line(value='{"complete":true,"count":9}'), line(), WHOLE) is None, "a value is no end"


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ([], "cut off after 0 entries"),
        ([line(), line()], "cut off after 2 entries"),
        ([line(), line(), WHOLE, line()], "cut off after 1 entries"),
        ([line(), WHOLE], "it had 2 entries when it was made, and 1 are there"),
        ([line(), WHOLE, line(), line(), WHOLE], "it had 2 entries when it was made, and 1 are there"),
        ([line(), b'{"complete":false,"count":1,"error":{"detail":"no quorum"}}'], "not complete: no quorum"),
    ],
)
def test_what_is_missing_is_said(lines: list[bytes], what: str) -> None:
    assert what in str(missing(*lines))
