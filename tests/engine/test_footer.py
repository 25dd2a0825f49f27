"""The footer of a table says what was written into it, or that it is damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.coding import DecodeError
from engine.footer import FOOTER_BYTES, Footer

numbers = st.integers(0, (1 << 64) - 1)


@given(st.lists(numbers, min_size=3, max_size=3).map(sorted), numbers, numbers, numbers, st.integers(0, (1 << 32) - 1))
def test_a_footer_is_decoded_as_it_was_encoded(
    starts: list[int], records: int, tombstones: int, sequence: int, level: int
) -> None:
    footer = Footer(starts[0], starts[1], starts[2], records, tombstones, sequence, level)

    data = footer.encode()

    assert len(data) == FOOTER_BYTES
    assert Footer.decode(data) == footer


def test_every_flipped_bit_is_found() -> None:
    whole = Footer(100, 100, 200, 30, 4, 5, 6).encode()
    for position in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << (position % 8)
        with pytest.raises(DecodeError):
            Footer.decode(bytes(damaged))


def test_another_version_is_named() -> None:
    """Also where its checksum covers something else."""
    data = bytearray(Footer(100, 100, 200, 30, 4, 5, 6).encode())
    data[-16] = 99

    with pytest.raises(DecodeError, match="format version 99 is not known here"):
        Footer.decode(bytes(data))


@pytest.mark.parametrize("starts", [(2, 1, 3), (1, 3, 2)])
def test_parts_in_another_order_are_refused(starts: tuple[int, int, int]) -> None:
    with pytest.raises(DecodeError, match="out of order"):
        Footer.decode(Footer(*starts, 1, 0, 1, 0).encode())


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        Footer.decode(data)
