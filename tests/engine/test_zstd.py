"""Frames are unpacked as they were packed, by whoever asks, and damage asks for no memory."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from engine.coding import DecodeError
from engine.zstd import RATIO_MAX, Compressor, Decompressor, train
from tests.engine.contents import documents

TRAINED = train([b"".join(documents(20, seed)) for seed in range(40)], 1024)


def test_there_is_something_to_train_with() -> None:
    assert TRAINED is not None and len(TRAINED) == 1024


@pytest.mark.parametrize("dictionary", [None, TRAINED], ids=["plain", "dictionary"])
@pytest.mark.parametrize("level", [-7, -1, 1, 3, 19])
def test_a_frame_is_unpacked_as_it_was_packed(dictionary: bytes | None, level: int) -> None:
    compressor, decompressor = Compressor(level, dictionary), Decompressor(dictionary)

    for content in (b"a", *documents(5), b"".join(documents(2000))):
        assert decompressor.decompress(compressor.compress(content)) == content


def test_a_dictionary_makes_small_frames_smaller() -> None:
    content = documents(1, seed=99)[0]

    assert len(Compressor(-1, TRAINED).compress(content)) < len(Compressor(-1).compress(content)) * 0.8


@pytest.mark.parametrize("dictionary", [None, TRAINED], ids=["plain", "dictionary"])
def test_many_threads_unpack_at_once(dictionary: bytes | None) -> None:
    """A context of zstd serves one thread alone: two in one mix up their contents, or crash."""
    decompressor = Decompressor(dictionary)
    contents = [b"".join(documents(300, seed)) for seed in range(50)]
    frames = list(map(Compressor(1, dictionary).compress, contents))

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(decompressor.decompress, frames * 8))

    assert found == contents * 8


@pytest.mark.parametrize("dictionary", [None, TRAINED], ids=["plain", "dictionary"])
def test_a_flipped_bit_asks_for_no_memory(dictionary: bytes | None) -> None:
    """Without a checksum a wrong content may come out, but never one beyond the bound."""
    decompressor = Decompressor(dictionary)
    frame = Compressor(-1, dictionary).compress(b"".join(documents(3)))
    refused = 0
    for position in range(len(frame) * 8):
        damaged = bytearray(frame)
        damaged[position // 8] ^= 1 << (position % 8)
        try:
            assert len(decompressor.decompress(bytes(damaged))) <= RATIO_MAX * len(frame)
        except DecodeError:
            refused += 1

    assert refused > 32


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_frame_or_refused(data: bytes) -> None:
    try:
        assert len(Decompressor().decompress(data)) <= RATIO_MAX * len(data)
    except DecodeError:
        pass


def test_a_frame_of_an_impossible_size_is_refused() -> None:
    """1 TiB of zeros is a matter of 32 MiB; a content is refused long before that."""
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 20))
    of_unknown_size = zstandard.ZstdCompressor(write_content_size=False).compress(b"a")

    for frame in (bomb, of_unknown_size, b"", bomb[:4]):
        with pytest.raises(DecodeError):
            Decompressor().decompress(frame)


def test_a_cut_frame_gets_no_window() -> None:
    """Whole frames need none; one that is cut off would get as much as it asks for."""
    parameters = zstandard.ZstdCompressionParameters(window_log=23, write_content_size=1)
    content = random.Random(1).randbytes(9 << 20)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compress(content)
    assert zstandard.get_frame_parameters(frame).window_size == 1 << 23

    assert Decompressor().decompress(frame) == content
    with pytest.raises(DecodeError) as caught:
        Decompressor().decompress(frame[:-1])
    assert "too much memory" in str(caught.value.__cause__)


def test_what_is_no_dictionary_is_refused() -> None:
    assert TRAINED is not None
    for damaged in (b"", b"none", TRAINED[:50], TRAINED[:8] + bytes(1000)):
        with pytest.raises(DecodeError):
            Decompressor(damaged)


def test_too_little_to_learn_from_makes_no_dictionary() -> None:
    assert train([], 1024) is None
    assert train([b"a"], 1024) is None
