"""`ringkv load`: streams the records of a file into the store, and reads them back to compare.

    lines   one record a line: its key is a field of the line, its value the whole line
    tsv     one record a line: its key is a field of the line, its value the line without that field
    jsonl   one record a line: its key is a member of the line's JSON object (a string, or an integer in decimal),
            its value the whole line

A line ends with LF or CR LF, which belong to no value; the last may end with the file. Fields are counted from 1 and
split at the delimiter, nothing is quoted or escaped. An empty line is no record, nor is a UTF-8 byte order mark before
the first. All is bytes: a file in any encoding comes back as it was.

Of several records with one key the last wins. A key always goes to the same worker, so two of its records are never
on their way at once; for the same reason putting one of them again, when nobody knows whether it was applied, is
harmless as long as nobody else writes the key.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO

from app.client import AsyncClient, ClientError

LINE_BYTES_MAX = 1 << 20
QUEUE_RECORDS_MAX = 4
PROBLEMS_MAX = 10


class Format(StrEnum):
    """How a line becomes a record."""

    LINES = "lines"
    TSV = "tsv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the key of a line is.

    key         number of the field, from 1; for jsonl the name of the member
    delimiter   what splits the fields; jsonl has none
    """

    format: Format
    key: str
    delimiter: bytes = b"\t"

    def __post_init__(self) -> None:
        if self.format is not Format.JSONL:
            if not self.key.isascii() or not self.key.isdigit() or int(self.key) < 1:
                raise ValueError(f"the key of {self.format} is the number of a field, from 1, not {self.key!r}")
            if not self.delimiter:
                raise ValueError("the delimiter is empty")

    @property
    def content_type(self) -> str:
        return "application/json" if self.format is Format.JSONL else "text/plain"


@dataclass(frozen=True, slots=True)
class Record:
    """One line as it goes into the store."""

    number: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no record, and why."""

    number: int
    reason: str


@dataclass(slots=True)
class Tally:
    """What came of the records of one pass over the file.

    verb        what was done
    done        how many records it was done to; a verified record is one that was read back equal
    failed      lines that are no record, and records that were refused
    problems    what to tell the user, line by line: the first few of each kind
    different   keys whose last record is not what the store holds
    gave_up     why the pass ended before the file did
    """

    verb: str
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    different: set[bytes] = field(default_factory=set)
    gave_up: str | None = None

    @property
    def is_clean(self) -> bool:
        return not self.failed and not self.different and self.gave_up is None

    def fail(self, number: int, reason: str) -> None:
        self.failed += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"line {number}: {reason}")

    def close(self, seconds: float) -> None:
        """Ends the pass: what is said about it is final."""
        self.seconds = seconds
        more = self.failed - len(self.problems)
        if more:
            self.problems.append(f"and {more} more")
        for key in sorted(self.different)[:PROBLEMS_MAX]:
            self.problems.append(f"key {key!r}: the store holds something else")
        if len(self.different) > PROBLEMS_MAX:
            self.problems.append(f"and {len(self.different) - PROBLEMS_MAX} more keys")
        if self.gave_up is not None:
            self.problems.append(self.gave_up)

    @property
    def summary(self) -> str:
        """The counts, in one line."""
        different = f", different {len(self.different)}" if self.verb == "verified" else ""
        per_second = self.done / self.seconds if self.seconds > 0 else 0.0
        return f"{self.verb} {self.done}, failed {self.failed}{different}, {per_second:.0f} per second"


def decode_line(number: int, line: bytes, layout: Layout) -> Record | BadLine:
    """One line, without its end, as a record."""
    if layout.format is Format.JSONL:
        return _decode_json(number, line, layout.key)
    fields = line.split(layout.delimiter)
    position = int(layout.key) - 1
    if position >= len(fields):
        return BadLine(number, f"has {len(fields)} field(s), so no field {layout.key}")
    key = fields[position]
    if not key:
        return BadLine(number, f"field {layout.key}, the key, is empty")
    if layout.format is Format.LINES:
        return Record(number, key, line)
    if len(fields) == 1:
        return BadLine(number, "has a key but no value: the delimiter is not in it")
    return Record(number, key, layout.delimiter.join(fields[:position] + fields[position + 1 :]))


def read_records(file: BinaryIO, layout: Layout) -> Iterator[Record | BadLine]:
    """Every record of a file, and every line that is none, in order and one at a time."""
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            while line and not line.endswith(b"\n"):
                line = file.readline(LINE_BYTES_MAX)
            yield BadLine(number, f"is longer than {LINE_BYTES_MAX} bytes")
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        line = line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")
        if line:
            yield decode_line(number, line, layout)


Action = Callable[[Iterator[Record | BadLine], AsyncClient, int, Callable[[], None]], Awaitable[Tally]]


async def load(
    records: Iterator[Record | BadLine],
    client: AsyncClient,
    concurrency: int,
    progress: Callable[[], None],
    content_type: str,
) -> Tally:
    """Puts every record; the client must be the only writer of these keys (`sole_writer`)."""
    tally = Tally("loaded")

    async def put(record: Record) -> None:
        await client.put(record.key, record.value, content_type=content_type)
        tally.done += 1

    await _each(records, put, tally, concurrency, progress)
    return tally


async def verify(
    records: Iterator[Record | BadLine],
    client: AsyncClient,
    concurrency: int,
    progress: Callable[[], None],
) -> Tally:
    """Reads every key, linearizably, and compares it with its last record, byte for byte.

    A record that a later one of the same key replaced differs at first; the later one, being compared after it by the
    same worker, settles it.
    """
    tally = Tally("verified")

    async def compare(record: Record) -> None:
        found = await client.get(record.key, consistency="linearizable")
        if found is not None and found.value == record.value:
            tally.done += 1
            tally.different.discard(record.key)
        else:
            tally.different.add(record.key)

    await _each(records, compare, tally, concurrency, progress)
    return tally


async def _each(
    records: Iterator[Record | BadLine],
    act: Callable[[Record], Awaitable[None]],
    tally: Tally,
    concurrency: int,
    progress: Callable[[], None],
) -> None:
    """Acts on every record, many at once, those of one key in order.

    A refused record fails alone; when one cannot be brought to an end in all the time the client has, the rest is
    given up too: the cluster is gone.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    queues = [asyncio.Queue[Record | None](QUEUE_RECORDS_MAX) for _ in range(concurrency)]

    async def work(queue: asyncio.Queue[Record | None]) -> None:
        while (record := await queue.get()) is not None:
            if tally.gave_up is None:
                try:
                    await act(record)
                except ClientError as error:
                    tally.fail(record.number, str(error))
                    if error.is_lasting:
                        tally.gave_up = f"gave up at line {record.number}: {error}"
            progress()

    async with asyncio.TaskGroup() as workers:
        for queue in queues:
            workers.create_task(work(queue))
        for record in records:
            if tally.gave_up is not None:
                break
            if isinstance(record, BadLine):
                tally.fail(record.number, record.reason)
            else:
                await queues[hash(record.key) % concurrency].put(record)
        for queue in queues:
            await queue.put(None)
    tally.close(loop.time() - started)


def _decode_json(number: int, line: bytes, member: str) -> Record | BadLine:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadLine(number, f"is not JSON: {error}")
    if not isinstance(fields, dict):
        return BadLine(number, "is not a JSON object")
    if member not in fields:
        return BadLine(number, f"has no member {member!r}")
    key = fields[member]
    if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
        return BadLine(number, f"member {member!r} is neither an integer nor a string with anything in it")
    try:
        return Record(number, str(key).encode(), line)
    except UnicodeEncodeError:
        return BadLine(number, f"member {member!r} holds half of a surrogate pair")
