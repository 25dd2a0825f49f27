"""Prints an SSTable for a human."""

from collections import Counter
from collections.abc import Iterator

from engine.bloom import KEY_BITS, BloomFilter
from engine.files import ReadableFileSystem
from engine.footer import FORMAT_VERSION
from engine.listing import Listing, Wish, show_record
from engine.record import Expiring
from engine.section import CODECS
from engine.show import count, show
from engine.survey import Hole, TableSurvey, WholeBlock
from engine.version import LEVELS

_ROW = "{:>7}  {:>13}  {:>9}  {:>9}  {:<9}  {:>7}  {:>7}  {:>8}  {}".format


def inspect_table(file_system: ReadableFileSystem, path: str, wish: Wish) -> Iterator[str]:
    """What is in a table, as far as it is whole. Raises: StorageError, if it cannot be opened."""
    survey = TableSurvey(file_system, path)
    yield f"{path}: SSTable, {count(survey.byte_size, 'byte')}"
    yield from _parts(survey)
    for hole in survey.holes:
        yield _damage(hole)
    yield ""
    yield _ROW("BLOCK", "AT", "BYTES", "UNPACKED", "CODEC", "RECORDS", "DELETED", "EXPIRING", "KEYS")
    rows, keys = Listing("block", wish), Listing("key", wish)
    total: Counter[str] = Counter()
    for part in survey.blocks():
        if isinstance(part, Hole):
            total["holes"] += 1
            yield _damage(part)
            continue
        if rows.may_show():
            yield _row(total["blocks"], part)
        if wish.keys:
            for key, value in zip(part.keys, part.values, strict=True):
                if keys.may_show():
                    yield show_record(key, value, wish)
        _add(total, part)
    yield from rows.left_out()
    yield from keys.left_out()
    yield ""
    yield from _sum(total)


def _parts(survey: TableSurvey) -> Iterator[str]:
    footer = survey.footer
    if footer is not None:
        level = f"level {footer.level}" if footer.level < LEVELS else "a level not known then"
        age = f"every write up to {footer.sequence}" if footer.sequence else "writes of an age not told"
        yield f"footer      format {FORMAT_VERSION}; for {level}, with {age}"
        yield f"records     {footer.records:,}, {footer.tombstones:,} of them deletions"
    if survey.dictionary is not None:
        yield f"dictionary  {count(len(survey.dictionary.content), 'byte')}"
    if survey.bloom is not None:
        yield f"filter      {_filter(survey.bloom, footer.records if footer else 0)}"
    if survey.index is not None:
        yield f"index       {count(len(survey.index.last_keys), 'block')}, up to {show(survey.index.last_keys[-1])}"


def _filter(bloom: BloomFilter, records: int) -> str:
    used = [1 - word.bit_count() / 64 for word in bloom.words]
    # Each of a key's bits must be among those used in its word.
    passing = sum(share**KEY_BITS for share in used) / len(used)
    each = f", {64 * len(used) / records:.1f} bits a key" if records else ""
    fill = f"{sum(used) / len(used):.1%} of them used"
    return f"{count(8 * len(used), 'byte')}{each}, {fill}; lets about {passing:.1%} of absent keys through"


def _row(number: int, part: WholeBlock) -> str:
    keys = f"{show(part.keys[0])} to {show(part.keys[-1])}"
    deleted, expiring = part.values.count(None), sum(isinstance(value, Expiring) for value in part.values)
    sizes = f"{part.start:,}", f"{part.end - part.start:,}", f"{part.unpacked:,}"
    return _ROW(number, *sizes, part.codec, len(part.keys), deleted, expiring, keys)


def _damage(hole: Hole) -> str:
    lost = f"; lost: {hole.keys}" if hole.keys is not None else ""
    return f"damaged     bytes {hole.start:,} to {hole.end:,}: {hole.reason}{lost}"


def _add(total: Counter[str], part: WholeBlock) -> None:
    total["blocks"] += 1
    total["bytes"] += part.end - part.start
    total["unpacked"] += part.unpacked
    total["records"] += len(part.keys)
    total["deleted"] += part.values.count(None)
    total[part.codec] += 1


def _sum(total: Counter[str]) -> Iterator[str]:
    unpacked = f"{total['unpacked']:,} unpacked"
    ratio = f", {unpacked}: {total['unpacked'] / total['bytes']:.2f} to 1" if total["bytes"] else ""
    yield f"whole       {count(total['blocks'], 'block')}, {count(total['bytes'], 'byte')}{ratio}"
    yield f"            {count(total['records'], 'record')}, {total['deleted']:,} of them deletions"
    codecs = [f"{name} {total[name]:,}" for name in CODECS if total[name]]
    if codecs:
        yield f"            {', '.join(codecs)}"
    if total["holes"]:
        yield f"damaged     {count(total['holes'], 'place')} where blocks were"
