"""Trains the dictionary of a compaction on some of the blocks that go into it."""

from collections.abc import Sequence

from engine.dictionary import Dictionary
from engine.options import Options
from engine.sstable import SSTableReader

_SAMPLES_MIN = 32
# Twice as many samples save 1 % more, and take twice the time: up to these bounds.
_SAMPLED_OF = 64
_SAMPLE_BYTES_MAX = 512 << 10
# What saves less is not worth its place in memory, nor the time to unpack with it.
_SHARE_MIN = 1 / 16


def train_dictionary(tables: Sequence[SSTableReader], options: Options) -> Dictionary | None:
    """A dictionary for the tables that these will be merged into; None if it would not pay.

    Cost: reads one block in 64, at least 32, at most 512 KiB of them; takes 0.1 us for each of their
    bytes. Raises: CorruptionError, StorageError.
    """
    samples = _samples(tables, _SAMPLE_BYTES_MAX // options.block_bytes)
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


def _samples(tables: Sequence[SSTableReader], count_max: int) -> list[bytes]:
    """Some blocks, at even distances, so that no part of the keys is left out."""
    blocks = sum(len(table.index().last_keys) for table in tables)
    distance = _distance(blocks, count_max)
    samples: list[bytes] = []
    at = 0
    for table in tables:
        of_table = len(table.index().last_keys)
        samples += [table.read_block(number).raw for number in range(at, of_table, distance)]
        at = (at - of_table) % distance
    return samples


def _distance(blocks: int, count_max: int) -> int:
    """From one sample to the next: few where there are few, and where there are too many."""
    at_least_few = min(_SAMPLED_OF, blocks // _SAMPLES_MIN)
    return max(at_least_few, -(-blocks // count_max), 1)
