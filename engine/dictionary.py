"""Dictionary: what the blocks of some tables have in common, for zstd to refer to.

A block of small records is too short to learn from: names of fields, say, cost their bytes again in
each of them. A dictionary has them once for all blocks of a table. It is made for one compaction, so
that its tables share it, in memory as well: a decompressor for it takes 100 KiB.
"""

from weakref import WeakValueDictionary

from engine.zstd import Compressor, Decompressor, train

_MAGIC = bytes.fromhex("37a430ec")  # RFC 8878, section 5
# One sample in so many is held back to see what the dictionary saves.
_HELD_BACK = 4
_NOISE = 7 / 8


class Dictionary:
    """A dictionary, ready to be used by any thread.

    content        as it stands in a table
    decompressor   of frames that were packed with it
    """

    __slots__ = ("__weakref__", "content", "decompressor")

    def __init__(self, content: bytes) -> None:
        """Use `of`. Raises: DecodeError."""
        self.content = content
        self.decompressor = Decompressor(content)

    @classmethod
    def of(cls, content: bytes) -> "Dictionary":
        """The one with this content. Raises: DecodeError."""
        known = _known.get(content)
        if known is None:
            known = _known[content] = cls(content)
        return known

    @classmethod
    def train(cls, samples: list[bytes], byte_size: int, level: int) -> tuple["Dictionary", float] | None:
        """A dictionary for contents like these, and the share that it saves; None if it saves nothing."""
        plain = Compressor(level).compress
        unseen = samples[::_HELD_BACK]
        joined = b"".join(unseen)
        # Noise has nothing in common, and need not be searched for it.
        if len(plain(joined)) > len(joined) * _NOISE:
            return None
        content = train([sample for number, sample in enumerate(samples) if number % _HELD_BACK], byte_size)
        if content is None:
            return None
        helped = Compressor(level, content).compress
        before = sum(len(plain(sample)) for sample in unseen)
        after = sum(len(helped(sample)) for sample in unseen)
        return (cls.of(content), 1 - after / before) if after < before else None


def is_dictionary(content: bytes) -> bool:
    """Whether it begins as one does."""
    return content.startswith(_MAGIC)


# Two threads may make the same one at once; then both are kept as long as they are used.
_known: "WeakValueDictionary[bytes, Dictionary]" = WeakValueDictionary()
