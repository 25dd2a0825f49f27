"""Prints a commit log, or a manifest, for a human."""

from collections import Counter
from collections.abc import Callable, Iterator

from engine.coding import DecodeError
from engine.commitlog import CommitLogReader, Frame, Gap
from engine.files import ReadableFileSystem
from engine.listing import Listing, Wish, show_record
from engine.manifest import read_edits
from engine.patient import PatientFileSystem
from engine.record import WriteBatch, decode_batch
from engine.show import count, show
from engine.version import InvalidEditError, Table, Version, VersionEdit

# The lines that say what a payload is; None if it is something else.
Describe = Callable[[bytes], list[str] | None]

_ROW = "{:>13}  {:>11}  {:>13}  {}".format


def inspect_log(file_system: ReadableFileSystem, path: str, wish: Wish, describe: Describe) -> Iterator[str]:
    """What is in a commit log of an engine, or of somebody who can describe it. Raises: StorageError."""
    disk = PatientFileSystem(file_system)
    log = CommitLogReader(disk, path)
    rows, keys = Listing("frame", wish), Listing("key", wish)
    total: Counter[str] = Counter()
    try:
        yield f"{path}: commit log, {count(disk.size(path), 'byte')}"
        yield ""
        yield _ROW("AT", "BYTES", "SYNCED TO", "CONTENT")
        for part in log.parts():
            if isinstance(part, Gap):
                total["damaged part"] += 1
                yield _damage(disk, path, part)
                continue
            lines, batch = _content(part.payload, describe)
            total["frame" if part.payload else "mark"] += 1
            if rows.may_show():
                yield _row(part, lines[0])
                yield from lines[1:]
            if batch is not None:
                _add(total, batch)
                if wish.keys:
                    for key, value in batch.items():
                        if keys.may_show():
                            yield show_record(key, value, wish)
    finally:
        log.close()
    yield from rows.left_out()
    yield from keys.left_out()
    yield ""
    yield "whole       " + ", ".join(count(total[noun], noun) for noun in ("frame", "mark"))
    if total["put"] or total["deletion"] or total["deleted range"]:
        yield "            " + ", ".join(count(total[noun], noun) for noun in ("put", "deletion", "deleted range"))
    if total["damaged part"]:
        yield f"damaged     {count(total['damaged part'], 'part')}"


def _content(payload: bytes, describe: Describe) -> tuple[list[str], WriteBatch | None]:
    """What a frame holds, and the writes if it holds any."""
    if not payload:
        return ["mark"], None
    try:
        sequence, batch = decode_batch(payload)
    except DecodeError as error:
        return describe(payload) or [f"not a batch: {error}"], None
    tally: Counter[str] = Counter()
    _add(tally, batch)
    parts = [count(tally[noun], noun) for noun in ("put", "deletion", "deleted range") if tally[noun]]
    ranges = [f"    {show(start)} to {'the end' if end is None else show(end)} deleted" for start, end in batch.ranges]
    return [f"write {sequence}: {', '.join(parts) or 'nothing'}", *ranges], batch


def _add(total: Counter[str], batch: WriteBatch) -> None:
    deleted = list(batch.records.values()).count(None)
    total["deletion"] += deleted
    total["put"] += len(batch) - deleted
    total["deleted range"] += len(batch.ranges)


def _row(frame: Frame, content: str) -> str:
    return _ROW(f"{frame.start:,}", f"{frame.end - frame.start:,}", f"{max(frame.synced, 0):,}", content)


def _damage(disk: PatientFileSystem, path: str, gap: Gap) -> str:
    reason = disk.refusal(path, gap.start, gap.end) or gap.reason
    known = "nothing behind it testifies that it was on disk" if gap.is_torn else "it was on disk"
    return f"damaged     bytes {gap.start:,} to {gap.end:,}: {reason}; {known}"


def inspect_manifest(file_system: ReadableFileSystem, path: str, wish: Wish) -> Iterator[str]:
    """What the edits of a manifest say, each and all together. Raises: StorageError."""
    disk = PatientFileSystem(file_system)
    rows = Listing("edit", wish)
    version = Version()
    edits = 0
    problem = ""
    yield f"{path}: manifest, {count(disk.size(path), 'byte')}"
    yield ""
    yield _ROW("AT", "BYTES", "SYNCED TO", "EDIT")
    for part in read_edits(disk, path):
        if isinstance(part, Gap):
            yield _damage(disk, path, part)
            problem = problem or f"up to the damage at byte {part.start:,}"
            continue
        frame, edit = part
        edits += edit is not None
        if rows.may_show():
            yield _row(frame, "mark" if edit is None else f"edit {edits}: {_numbers(edit)}")
            yield from _changes(edit) if edit else ()
        if edit is not None and not problem:
            try:
                version = version.apply(edit)
            except InvalidEditError as error:
                problem = f"up to the edit at byte {frame.start:,}, which does not fit: {error}"
    yield from rows.left_out()
    yield ""
    yield f"in sum      {problem or count(edits, 'edit')}"
    yield from _levels(version, wish)


def _numbers(edit: VersionEdit) -> str:
    numbers = {
        "flushed": edit.flushed_sequence,
        "oldest log": edit.oldest_log,
        "next number": edit.next_number,
        "clock": edit.clock_ms,
    }
    return ", ".join(f"{name} {number}" for name, number in numbers.items() if number is not None) or "tables"


def _changes(edit: VersionEdit) -> Iterator[str]:
    for level, number in edit.removed:
        yield f"    - level {level}, table {number}"
    for level, table in edit.added:
        yield f"    + level {level}, table {table.number}: {_table(table)}"


def _table(table: Table) -> str:
    expiry = f", half expired at {table.expiry_ms}" if table.expiry_ms else ""
    records = f"{count(table.records, 'record')}, {table.tombstones:,} of them deletions"
    keys = f"{show(table.smallest)} to {show(table.largest)}"
    return f"{count(table.byte_size, 'byte')}, {records}{expiry}, {keys}"


def _levels(version: Version, wish: Wish) -> Iterator[str]:
    log = f"oldest log {version.oldest_log}" if version.oldest_log else "no log of its own"
    yield f"            flushed {version.flushed_sequence}, {log}, next number {version.next_number}"
    if version.clock_ms:
        yield f"            clock {version.clock_ms}"
    rows = Listing("table", wish)
    for level, tables in enumerate(version.levels):
        if not tables:
            continue
        records = sum(table.records for table in tables)
        sizes = f"{count(version.level_bytes(level), 'byte')}, {count(records, 'record')}"
        yield f"level {level}     {count(len(tables), 'table')}, {sizes}"
        for table in tables:
            if rows.may_show():
                yield f"    table {table.number}: {_table(table)}"
    yield from rows.left_out()
