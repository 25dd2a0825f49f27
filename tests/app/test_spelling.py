"""Bytes inside JSON: what is spelled comes back, and what spells nothing is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.spelling import spell, spell_base64, spell_together, unspell


@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
def test_what_is_spelled_comes_back(data: bytes) -> None:
    text, encoding = spell(data)

    assert unspell(text, encoding) == data
    assert unspell(spell_base64(data), "base64") == data


def test_base64_is_for_what_is_not_text() -> None:
    assert spell("ä".encode()) == ("ä", "utf8")
    assert spell(b"\xff") == ("/w==", "base64")
    assert spell_together(b"a", b"\xff") == (["YQ==", "/w=="], "base64")
    assert spell_together(b"a", b"b") == (["a", "b"], "utf8")


@pytest.mark.parametrize("text", ["/w=", "/w", "/w===", "_w==", "/w==\n", " /w==", "/w==/w==", "ä", "="])
def test_base64_is_strict(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is not base64$"):
        unspell(text, "base64")


def test_half_of_a_surrogate_pair_is_no_utf8() -> None:
    with pytest.raises(ValueError, match=r"^is not UTF-8$"):
        unspell("\ud800", "utf8")
