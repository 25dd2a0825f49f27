"""Dictionaries are kept where they help, once each."""

import gc
import random

import pytest

from engine.coding import DecodeError
from engine.dictionary import Dictionary, _known
from engine.zstd import Compressor
from tests.engine.contents import documents


def blocks(count: int) -> list[bytes]:
    return [b"".join(documents(20, seed)) for seed in range(count)]


def test_what_is_alike_makes_a_dictionary() -> None:
    trained = Dictionary.train(blocks(40), 2048, 1)
    assert trained is not None
    dictionary, share = trained

    unseen = documents(20, seed=99)
    plain = sum(len(Compressor(1).compress(value)) for value in unseen)
    frames = [Compressor(1, dictionary.content).compress(value) for value in unseen]

    assert len(dictionary.content) <= 2048
    assert 0.05 < share < 0.5
    assert sum(map(len, frames)) < plain / 2
    assert list(map(dictionary.decompressor.decompress, frames)) == unseen


def test_noise_is_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take as long as anything else, and come to nothing."""
    rng = random.Random(1)
    monkeypatch.setattr("engine.dictionary.train", lambda *_: pytest.fail("it was"))

    assert Dictionary.train([rng.randbytes(2000) for _ in range(40)], 2048, 1) is None


def test_what_has_nothing_in_common_makes_none() -> None:
    """Each can be packed, but one says nothing about the next."""
    rng = random.Random(1)

    assert Dictionary.train([rng.randbytes(40) * 50 for _ in range(40)], 2048, 1) is None
    assert Dictionary.train([], 2048, 1) is None


def test_short_contents_may_have_more_in_common_than_in_themselves() -> None:
    trained = Dictionary.train(documents(600), 2048, 1)

    assert trained is not None
    assert trained[1] > 0.3


def test_tables_share_a_dictionary_as_long_as_one_needs_it() -> None:
    trained = Dictionary.train(blocks(40), 1024, 1)
    assert trained is not None
    dictionary, _ = trained
    content = bytes(bytearray(dictionary.content))
    del trained

    assert Dictionary.of(content) is dictionary
    del dictionary
    gc.collect()
    assert content not in _known


def test_damage_is_no_dictionary() -> None:
    with pytest.raises(DecodeError):
        Dictionary.of(b"damaged")
