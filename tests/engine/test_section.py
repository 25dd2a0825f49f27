"""Sections: what is sealed is unsealed the same, whatever packs it, and nothing else is."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.coding import DecodeError, crc32c
from engine.section import Packer, seal, unseal
from tests.engine.contents import dictionary, documents

CODECS = ["stored", "lz4", "zstd", "dictionary"]


def packer(codec: str) -> Packer | None:
    if codec == "stored":
        return None
    return {"lz4": Packer(), "zstd": Packer(1), "dictionary": Packer(1, dictionary())}[codec]


@pytest.mark.parametrize("codec", CODECS)
@given(content=st.binary(max_size=3000), position=st.integers(0, 1 << 40), copies=st.integers(1, 3))
def test_a_section_is_unsealed_as_it_was_sealed(codec: str, content: bytes, position: int, copies: int) -> None:
    section = seal(content * copies, position, packer(codec))

    assert unseal(section, position, dictionary()) == content * copies
    with pytest.raises(DecodeError):
        unseal(section, position + 1, dictionary())


@pytest.mark.parametrize("number", range(4))
def test_a_section_says_what_packed_it(number: int) -> None:
    section = seal(b"".join(documents(10)), 0, packer(CODECS[number]))

    assert section[-5] == number


@pytest.mark.parametrize("codec", CODECS)
def test_every_flipped_bit_is_found(codec: str) -> None:
    section = seal(b"".join(documents(4)), 7, packer(codec))
    for position in range(len(section) * 8):
        damaged = bytearray(section)
        damaged[position // 8] ^= 1 << (position % 8)
        with pytest.raises(DecodeError, match="checksum"):
            unseal(bytes(damaged), 7, dictionary())


@pytest.mark.parametrize("codec", CODECS)
def test_a_section_that_is_cut_off_is_refused(codec: str) -> None:
    section = seal(b"".join(documents(4)), 0, packer(codec))
    for length in range(len(section)):
        with pytest.raises(DecodeError):
            unseal(section[:length], 0, dictionary())


def checked(body: bytes, codec: int) -> bytes:
    """A section with a checksum that fits, whatever is in it."""
    sealed = body + bytes([codec])
    return sealed + struct.pack("<I", crc32c(sealed))


@given(st.binary(max_size=100), st.integers(0, 255))
def test_arbitrary_bytes_are_a_section_or_refused(body: bytes, codec: int) -> None:
    try:
        assert len(unseal(checked(body, codec), 0, dictionary())) <= 255 * len(body)
    except DecodeError:
        pass


@pytest.mark.parametrize("size", [1, 1000, (1 << 31) - 1, (1 << 32) - 1])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    """What follows it could never fill so much memory, or fills something else."""
    with pytest.raises(DecodeError):
        unseal(checked(struct.pack("<I", size) + b"\0", 1), 0)


def test_a_section_that_needs_a_dictionary_is_refused_without_one() -> None:
    section = seal(b"".join(documents(4)), 0, packer("dictionary"))

    with pytest.raises(DecodeError, match="without its table's dictionary"):
        unseal(section, 0)


@pytest.mark.parametrize("codec", ["lz4", "zstd", "dictionary"])
def test_what_can_be_packed_is(codec: str) -> None:
    assert len(seal(bytes(4096), 0, packer(codec))) < 100
    assert len(seal(random.Random(1).randbytes(4096), 0, packer(codec))) == 4096 + 5


@pytest.mark.parametrize("codec", ["zstd", "dictionary"])
def test_what_zstd_packs_too_well_is_left_to_lz4(codec: str) -> None:
    """A content is at most 255 times as long as its body: a reader refuses any other."""
    content = bytes(1 << 20)
    section = seal(content, 0, packer(codec))

    assert section[-5] == 1
    assert unseal(section, 0) == content


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_what_is_not_worth_packing_is_seldom_tried(codec: str) -> None:
    """After some misses only one content in 16 is tried; one that is worth it ends that."""
    rng = random.Random(1)
    used = packer(codec)
    assert used is not None
    for _ in range(40):
        assert len(used.pack(rng.randbytes(4096))) == 4097

    lengths = [len(used.pack(bytes(4096))) for _ in range(17)]

    assert 0 < lengths.count(4097) < 16
    assert max(lengths[lengths.count(4097) :]) < 100
