"""zstd: contents packed into frames, and unpacked by any number of threads.

A frame tells the size of its content. It has no checksum of its own and does not say which dictionary
it needs: both are known where it stands. A content is at most RATIO_MAX times as long as its frame,
and anything else is refused before memory is taken for it.

Source: RFC 8878.
"""

from collections.abc import Sequence

import zstandard

from engine.coding import DecodeError

# LZ4 does not reach more, either.
RATIO_MAX = 255
# A whole frame is unpacked straight into its content; only one that is cut off would ask for a window.
_WINDOW_BYTES_MAX = 1 << 17
# Of the trainer: what it looks for is so long at most, and it counts strings of eight bytes.
_SEGMENT_BYTES = 200
_COUNTED_BYTES = 8


class Compressor:
    """Makes frames, for one thread."""

    __slots__ = ("compress",)

    def __init__(self, level: int, dictionary: bytes | None = None) -> None:
        data = None if dictionary is None else zstandard.ZstdCompressionDict(dictionary)
        self.compress = zstandard.ZstdCompressor(level=level, dict_data=data, write_dict_id=False).compress


class Decompressor:
    """Unpacks frames, for any number of threads.

    Invariant: a context serves one thread at a time; `_idle` has those that serve none.
    """

    __slots__ = ("_dictionary", "_idle")

    def __init__(self, dictionary: bytes | None = None) -> None:
        """Raises: DecodeError, if the dictionary is not one."""
        try:
            self._dictionary = None if dictionary is None else _as_trained(dictionary)
            # The first context prepares the dictionary, which no two threads may do at once.
            self._idle = [self._new_context()]
        except zstandard.ZstdError as error:
            raise DecodeError("a dictionary is damaged") from error

    def _new_context(self) -> zstandard.ZstdDecompressor:
        return zstandard.ZstdDecompressor(dict_data=self._dictionary, max_window_size=_WINDOW_BYTES_MAX)

    def decompress(self, frame: bytes) -> bytes:
        """Raises: DecodeError."""
        try:
            if not 0 < zstandard.frame_content_size(frame) <= RATIO_MAX * len(frame):
                raise DecodeError("a frame says that it has an impossible size")
            try:
                context = self._idle.pop()
            except IndexError:
                context = self._new_context()
            content = context.decompress(frame)
        except (zstandard.ZstdError, MemoryError) as error:
            raise DecodeError("a frame cannot be unpacked") from error
        self._idle.append(context)
        return content


def _as_trained(dictionary: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_FULLDICT)


def train(samples: Sequence[bytes], byte_size: int) -> bytes | None:
    """A dictionary of at most that size for contents like these; None if they have nothing in common.

    Cost: 0.1 us for each byte of the samples, without the interpreter lock; for as long, their size
    and 6 MiB of memory.
    """
    try:
        return zstandard.train_dictionary(byte_size, [*samples], k=_SEGMENT_BYTES, d=_COUNTED_BYTES).as_bytes()
    except zstandard.ZstdError:
        return None
