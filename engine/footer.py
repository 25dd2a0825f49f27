"""Footer: the end of a table, from which all of it is found.

    footer  := dictionary_start:u64 filter_start:u64 index_start:u64 records:u64 tombstones:u64
               sequence:u64 level:u32 version:u32 crc:u32 magic:u8[8]

The CRC32C covers what is before it. Integers are little-endian.

The engine asks the manifest for a table's level and age. Where the manifest is lost, `level` and
`sequence` tell which of two tables has the newer records (ages.py).
"""

import struct
from dataclasses import dataclass

from engine.coding import DecodeError, crc32c

FORMAT_VERSION = 3
FOOTER_BYTES = 68
_CHECKED_BYTES = 56

_MAGIC = b"ringkvst"
_footer = struct.Struct("<QQQQQQIII8s")


@dataclass(frozen=True, slots=True)
class Footer:
    """What a table says about itself.

    dictionary_start   where the blocks end; there is a dictionary unless the filter starts there, too
    records            tombstones included
    sequence           every write up to it is in this table, or in tables there were when it was written;
                       0: only the level is known, as it is its own predecessor, less what had expired
    level              for which it was written, it may have been moved below since; one more than there are
                       if that was not known, as of what is ingested
    """

    dictionary_start: int
    filter_start: int
    index_start: int
    records: int
    tombstones: int
    sequence: int
    level: int

    def encode(self) -> bytes:
        fields = (
            *(self.dictionary_start, self.filter_start, self.index_start),
            *(self.records, self.tombstones, self.sequence, self.level),
            FORMAT_VERSION,
        )
        crc = crc32c(_footer.pack(*fields, 0, _MAGIC)[:_CHECKED_BYTES])
        return _footer.pack(*fields, crc, _MAGIC)

    @classmethod
    def decode(cls, data: bytes) -> "Footer":
        """Raises: DecodeError."""
        if len(data) != FOOTER_BYTES:
            raise DecodeError("the footer is cut off")
        *fields, version, crc, magic = _footer.unpack(data)
        if magic != _MAGIC:
            raise DecodeError("the footer is not a table's, or damaged")
        if version != FORMAT_VERSION:
            # Another version may have another checksum.
            raise DecodeError(f"format version {version} is not known here, or the footer is damaged")
        if crc32c(data[:_CHECKED_BYTES]) != crc:
            raise DecodeError("the checksum of the footer does not match")
        footer = cls(*fields)
        if not footer.dictionary_start <= footer.filter_start <= footer.index_start:
            raise DecodeError("the parts of a table are out of order")
        return footer


def is_footer(data: bytes) -> bool:
    """Whether it ends as a footer does, of whatever version."""
    return data.endswith(_MAGIC)
