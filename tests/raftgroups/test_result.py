import msgspec
import pytest

from raftgroups.item import Item
from raftgroups.result import (
    Changed,
    Decided,
    Found,
    Missing,
    Reason,
    Rejected,
    Result,
    Reused,
    Unmet,
    Written,
    decode_result,
    encode_result,
)

RESULTS: list[tuple[Result, bytes | None]] = [
    (Written(7), b"\x92\x01\x07"),
    (Changed(7, b"v", "t", 9, 5), b"\x96\x02\x07\xc4\x01v\xa1t\x09\x05"),
    (Unmet(0), b"\x92\x03\x00"),
    (Missing(), b"\x91\x04"),
    (Rejected(Reason.OVERFLOW, "x"), b"\x93\x05\xa8overflow\xa1x"),
    (Found(None), b"\x92\x06\xc0"),
    (Decided(True, [Written(7), Found(Item(7, b"v"))], 7, 5), None),
    (Reused(), b"\x91\x08"),
]


@pytest.mark.parametrize(("result", "encoded"), RESULTS, ids=lambda value: type(value).__name__)
def test_a_result_survives_its_encoding_which_never_changes(result: Result, encoded: bytes | None) -> None:
    assert decode_result(encode_result(result)) == result
    assert encoded is None or encode_result(result) == encoded


def test_what_an_earlier_version_kept_under_a_token_is_read() -> None:
    assert decode_result(b"\x95\x02\x07\xc4\x01v\xa1t\x09") == Changed(7, b"v", "t", 9)
    assert decode_result(b"\x94\x07\xc3\x90\x07") == Decided(True, [], 7)


def test_garbage_is_a_decode_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_result(b"\x91\x63")
