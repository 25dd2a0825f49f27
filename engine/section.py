"""Section: a part of a table, packed where that pays, with its checksum behind it.

    section    := body codec:u8 crc:u32
    body       := content                 codec 0
                | size:u32 block          codec 1: an LZ4 block, and the size of its content
                | frame                   codec 2: of zstd                               engine/zstd.py
                | frame                   codec 3: of zstd, with the table's dictionary  engine/dictionary.py

The CRC32C starts from the section's position in its file (modulo 2^32) and covers body and codec, so
that a section in another place is damage, too. Integers are little-endian.

A content is at most 255 times as long as its body. That is checked before memory is taken for it.
"""

import struct
from collections.abc import Callable

import lz4.block

from engine.coding import DecodeError, crc32c
from engine.dictionary import Dictionary
from engine.zstd import RATIO_MAX, Compressor, Decompressor

_STORED, _LZ4, _ZSTD, _ZSTD_WITH_DICTIONARY = b"\0", b"\1", b"\2", b"\3"
SEAL_BYTES = 5
CODECS = ("stored", "lz4", "zstd", "zstd+dict")
_U32_MAX = (1 << 32) - 1
# A section with its checksum behind it has this checksum, whatever it started from.
RESIDUE = 0x48674BC7
_crc = struct.Struct("<I")
_size = struct.Struct("<I")
# Once so many contents in a row were not worth packing, ...
_MISSES = 8
# ... only one in so many is tried, until one is.
_TRIED_OF = 16
_decompressor = Decompressor()
_unpack_lz4: Callable[[bytes], bytes] = lz4.block.decompress


class NoDictionaryError(DecodeError):
    """The section is whole, but its content is packed with a dictionary that was not given."""


class Packer:
    """Packs contents for one table, in one thread: with LZ4, or with zstd where a level of it is given."""

    __slots__ = ("_codec", "_misses", "_pack")

    def __init__(self, zstd_level: int | None = None, dictionary: Dictionary | None = None) -> None:
        self._codec = _LZ4
        self._pack: Callable[[bytes], bytes] = lz4.block.compress
        if zstd_level is not None:
            self._codec = _ZSTD if dictionary is None else _ZSTD_WITH_DICTIONARY
            self._pack = Compressor(zstd_level, dictionary.content if dictionary else None).compress
        self._misses = 0

    def pack(self, content: bytes) -> bytes:
        """Body and codec."""
        if self._misses > _MISSES and self._misses % _TRIED_OF:
            self._misses += 1
            return content + _STORED
        codec, body = self._codec, self._pack(content)
        if RATIO_MAX * len(body) < len(content):
            codec, body = _LZ4, lz4.block.compress(content)
        # Less than an eighth saved is not worth unpacking.
        if len(body) >= len(content) - len(content) // 8:
            self._misses += 1
            return content + _STORED
        self._misses = 0
        return body + codec


def seal(content: bytes, position: int, packer: Packer | None = None) -> bytes:
    """The content as a section to be written at `position`; without a packer it is stored."""
    sealed = packer.pack(content) if packer else content + _STORED
    return sealed + _crc.pack(crc32c(sealed, position & _U32_MAX))


def unseal(section: bytes, position: int, dictionary: Dictionary | None = None) -> bytes:
    """The content of a section read at `position`. Raises: DecodeError."""
    if len(section) < SEAL_BYTES:
        raise DecodeError("a section is cut off")
    if crc32c(section, position & _U32_MAX) != RESIDUE:
        raise DecodeError("the checksum of a section does not match")
    codec, body = section[-SEAL_BYTES], section[:-SEAL_BYTES]
    if codec == 1:
        # Most are of this kind, so there is no call for them: that saves a tenth.
        if len(body) < _size.size or _size.unpack_from(body)[0] > RATIO_MAX * len(body):
            raise DecodeError("a section says that it has an impossible size")
        try:
            return _unpack_lz4(body)
        except (lz4.block.LZ4BlockError, ValueError, MemoryError) as error:
            raise DecodeError("a section cannot be unpacked") from error
    if codec == 0:
        return body
    if codec == 2:
        return _decompressor.decompress(body)
    if codec == 3:
        if dictionary is None:
            raise NoDictionaryError("a section cannot be unpacked without its table's dictionary")
        return dictionary.decompressor.decompress(body)
    raise DecodeError(f"a section has the codec {codec}, which is not known here")


def codec_of(section: bytes) -> str:
    """The name of the codec of a section that is whole."""
    return CODECS[section[-SEAL_BYTES]]
