"""`ringkv load`: streams the records of a file into the store, and reads them back to compare.

    lines   one record a line: its key is a field of the line, its value the whole line
    tsv     one record a line: its key is a field of the line, its value the line without that field
    jsonl   one record a line: its key is a member of the line's JSON object (a string, or an integer in decimal),
            its value the whole line

How lines end, lines.py says. Fields are counted from 1 and split at the delimiter, nothing is quoted or escaped. An
empty line is no record. All is bytes: a file in any encoding comes back as it was.

Of several records with one key the last wins. A key always goes to the same worker, so two of its records are never
on their way at once; for the same reason putting one of them again, when nobody knows whether it was applied, is
harmless as long as nobody else writes the key.
"""

import asyncio
import json
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from app.asyncclient import AsyncClient
from app.clienterrors import ClientError
from app.frontier import Frontier

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
    frontier    how far it came
    """

    verb: str
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    different: set[bytes] = field(default_factory=set)
    gave_up: str | None = None
    frontier: Frontier = field(default_factory=Frontier)

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


def read_records(
    batches: Iterable[list[bytes | None]], layout: Layout, from_line: int = 1
) -> Iterator[list[Record | BadLine]]:
    """Every record of a file's lines from one of them on, and every line that is none, in order."""
    number = 0
    for lines in batches:
        records: list[Record | BadLine] = []
        for line in lines:
            number += 1
            if number < from_line:
                continue
            if line is None:
                records.append(BadLine(number, f"is longer than {LINE_BYTES_MAX} bytes"))
            elif line:
                records.append(decode_line(number, line, layout))
        yield records


Records = AsyncIterable[list[Record | BadLine]]


@dataclass(slots=True)
class Loader:
    """Acts on every record of a file, many at once.

    concurrency   how many are on their way
    progress      is called after each
    """

    client: AsyncClient
    concurrency: int
    progress: Callable[[], None]

    async def load(self, records: Records, tally: Tally, content_type: str) -> None:
        """Puts every record; the client must be the only writer of these keys (`sole_writer`)."""

        async def put(record: Record) -> None:
            await self.client.put(record.key, record.value, content_type=content_type)
            tally.done += 1

        await self._each(records, put, tally)

    async def verify(self, records: Records, tally: Tally) -> None:
        """Reads every key, linearizably, and compares it with its last record, byte for byte.

        A record that a later one of the same key replaced differs at first; the later one, being compared after it by
        the same worker, settles it.
        """

        async def compare(record: Record) -> None:
            found = await self.client.get(record.key, consistency="linearizable")
            if found is not None and found.value == record.value:
                tally.done += 1
                tally.different.discard(record.key)
            else:
                tally.different.add(record.key)

        await self._each(records, compare, tally)

    async def _each(self, records: Records, act: Callable[[Record], Awaitable[None]], tally: Tally) -> None:
        """Acts on every record, those of one key in order.

        A refused record fails alone; when one cannot be brought to an end in all the time the client has, the rest is
        given up too: the cluster is gone. Raises: what reading raises, when all that was read before is stored.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        broken: Exception | None = None
        queues = [asyncio.Queue[Record | None](QUEUE_RECORDS_MAX) for _ in range(self.concurrency)]
        try:
            async with asyncio.TaskGroup() as workers:
                for queue in queues:
                    workers.create_task(self._work(queue, act, tally))
                try:
                    async for batch in records:
                        await self._hand_out(batch, queues, tally)
                        if tally.gave_up is not None:
                            break
                except Exception as error:  # noqa: BLE001  # raised when what was read before it is stored
                    broken = error
                for queue in queues:
                    await queue.put(None)
        finally:
            tally.close(loop.time() - started)
        if broken is not None:
            raise broken

    async def _hand_out(
        self, batch: list[Record | BadLine], queues: list[asyncio.Queue[Record | None]], tally: Tally
    ) -> None:
        for record in batch:
            if tally.gave_up is not None:
                return
            if isinstance(record, BadLine):
                tally.frontier.skip(record.number)
                tally.fail(record.number, record.reason)
            else:
                tally.frontier.begin(record.number)
                await queues[hash(record.key) % self.concurrency].put(record)

    async def _work(
        self, queue: asyncio.Queue[Record | None], act: Callable[[Record], Awaitable[None]], tally: Tally
    ) -> None:
        while (record := await queue.get()) is not None:
            if tally.gave_up is None:
                try:
                    await act(record)
                    tally.frontier.end(record.number)
                except ClientError as error:
                    tally.fail(record.number, str(error))
                    if error.is_lasting:
                        tally.gave_up = f"gave up at line {record.number}: {error}"
                    else:
                        tally.frontier.end(record.number)
            self.progress()


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
