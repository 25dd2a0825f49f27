"""Trains the dictionary of a compaction on some of the blocks that go into it."""

from collections.abc import Sequence

from engine.dictionary import Dictionary
from engine.options import Options
from engine.sstable import SSTableReader

# Twice as many bytes of samples save 1 % more, and cost twice the time.
_SAMPLE_BYTES = 512 << 10
_SAMPLES_MIN = 32
# What saves less is not worth its place in memory and the time to unpack with it.
_SHARE_MIN = 1 / 16


def train_dictionary(tables: Sequence[SSTableReader], options: Options) -> Dictionary | None:
    """A dictionary for the tables that these will be merged into; None if it would not pay.

    Cost: reads at most 512 KiB of blocks, and works on them for 50 ms.
    Raises: CorruptionError, StorageError.
    """
    samples = _samples(tables, _SAMPLE_BYTES // options.block_bytes)
    if len(samples) < _SAMPLES_MIN:
        return None
    trained = Dictionary.train(samples, options.dictionary_bytes, options.zstd_compression_level)
    if trained is None:
        return None
    dictionary, share = trained
    input_bytes = sum(table.table.byte_size for table in tables)
    outputs = input_bytes // options.table_bytes_max + 1
    pays = share >= _SHARE_MIN and share * input_bytes > outputs * len(dictionary.content)
    return dictionary if pays else None


def _samples(tables: Sequence[SSTableReader], count: int) -> list[bytes]:
    """About so many blocks, at even distances, so that no part of the keys is left out."""
    blocks = sum(len(table.index().last_keys) for table in tables)
    distance = max(blocks // max(count, 1), 1)
    samples: list[bytes] = []
    at = 0
    for table in tables:
        of_table = len(table.index().last_keys)
        samples += [table.read_block(number).raw for number in range(at, of_table, distance)]
        at = (at - of_table) % distance
    return samples
