"""Finds the sections of a table whose index is lost: each has its checksum behind it.

With the start known, the end is where the checksum of all bytes up to there has the residue. With
neither known, all pairs of start and end are compared at once. A CRC is linear: let A be what a zero
byte does to its register, an invertible map. Then the register at `end`, begun at `start` with the
seed r, is

    A^end (A^-start r  xor  D(start)  xor  D(end)),    D(i) = the xor of A^-k byte[k] over all k < i

and is the residue where A^-start r xor D(start) = A^-end residue xor D(end): each side depends on one
end of the section alone, and equal ones find each other in a dict.

Source: Peterson, Brown 1961, "Cyclic Codes for Error Detection"; the comparison is ours.
"""

from array import array
from collections.abc import Iterator
from functools import cache

from engine.coding import crc32c
from engine.section import RESIDUE, SEAL_BYTES

# What find_sections takes at most.
FIND_BYTES_MAX = 128 << 10

_POLYNOMIAL = 0x82F63B78
_U32_MAX = (1 << 32) - 1
_ONES = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]


def section_ends(data: bytes, position: int) -> Iterator[int]:
    """Where a section may end that begins with `data`, which stands at `position` in its table.

    Cost: 0.1 us a byte.
    """
    crc = position & _U32_MAX
    for end in range(1, len(data) + 1):
        crc = crc32c(data[end - 1 : end], crc)
        if crc == RESIDUE and end >= SEAL_BYTES:
            yield end


def find_sections(data: bytes, position: int) -> list[tuple[int, int]]:
    """Every start and end in `data`, which stands at `position`, between which the checksum of a section matches.

    By chance some do that are none, one in 2^32 pairs. Cost: 2 us and 200 bytes of memory a byte.
    """
    powers = _powers()
    starts: dict[int, list[int]] = {}
    found = []
    # A^-at of the seed, and of the residue; and D(at).
    seed, residue, passed = ~position & _U32_MAX, ~RESIDUE & _U32_MAX, 0
    for at, byte in enumerate(data):
        starts.setdefault(seed ^ passed, []).append(at)
        power = 8 * at
        # The next seed differs in its lowest bits.
        changed = (position + at) ^ (position + at + 1)
        while changed and power < 8 * at + 32:
            seed ^= powers[power]
            changed >>= 1
            power += 1
        for bit in _ONES[byte]:
            passed ^= powers[8 * at + bit]
        seed, residue = _step_back(seed), _step_back(residue)
        end = at + 1
        found += [(start, end) for start in starts.get(residue ^ passed, ()) if end - start >= SEAL_BYTES]
    return found


@cache
def _powers() -> "array[int]":
    """A^-i (1 << j) at 8 i + j: the inverse of as many steps of a single bit."""
    powers = array("I", [1])
    last = 1
    for _ in range(8 * FIND_BYTES_MAX + 32):
        # Such a step is x >> 1, and where a 1 fell out the polynomial is added: then the highest bit is 1.
        last = (last ^ _POLYNOMIAL) << 1 & _U32_MAX | 1 if last >> 31 else last << 1
        powers.append(last)
    return powers


def _step(register: int) -> int:
    """A of it."""
    for _ in range(8):
        register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
    return register


# A x is TABLE[x & 255] xor x >> 8; the highest byte of the former tells x & 255.
_TABLE = [_step(byte) for byte in range(256)]
_BY_HIGHEST = {entry >> 24: byte for byte, entry in enumerate(_TABLE)}


def _step_back(register: int) -> int:
    """A^-1 of it."""
    byte = _BY_HIGHEST[register >> 24]
    return (register ^ _TABLE[byte]) << 8 & _U32_MAX | byte
