"""What the worker process does, without the process: on a disk in memory, at the other end of a socket."""

import socket
import threading
from collections.abc import Iterator

import pytest

from engine import BlockCache, CorruptionError, Fault, MemoryFileSystem, Options, StorageFullError, worker
from engine.compaction import Compaction
from engine.files import table_name, unfinished_name
from engine.jobs import flush
from engine.orders import (
    COMPACTION,
    FAILED,
    FLUSH,
    MADE,
    RECORDS,
    RECORDS_END,
    STOP,
    STOPPED,
    Task,
    decode_failure,
    decode_made,
    encode_compaction,
    encode_flush,
    encode_message,
    encode_records,
    read_message,
)
from engine.sstable import SSTableReader
from engine.worker import Priority, Worker
from tests.engine.test_engine import FULL
from tests.engine.test_jobs import content, leveled, make_workshop, memtable

TOKEN = "0123456789abcdef"
OTHER_TOKEN = "fedcba9876543210"
Message = tuple[int, int, bytes]


class Owner:
    """The engine's side of a worker that is a thread."""

    def __init__(self, disk: MemoryFileSystem) -> None:
        self.disk = disk
        self.options = Options(block_bytes=256)
        self._socket, theirs = socket.socketpair()
        self._stream = self._socket.makefile("rb")

        def work() -> None:
            with theirs:
                Worker(theirs, disk).serve()

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def send(self, job: int, kind: int, payload: bytes = b"") -> None:
        self._socket.sendall(encode_message(job, kind, payload))

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self) -> Message:
        message = read_message(self._stream)
        assert message is not None
        return message

    def task(self, token: str = TOKEN) -> bytes:
        return Task(token, "/db", self.options).encode()

    def open(self, payload: bytes) -> list[SSTableReader]:
        return [
            SSTableReader(self.disk, f"/db/{unfinished_name(TOKEN, table.number)}", table, BlockCache(0))
            for table in decode_made(payload)
        ]

    def close(self) -> None:
        if self._stream.closed:
            return
        self._socket.shutdown(socket.SHUT_WR)
        self._thread.join()
        self._stream.close()
        self._socket.close()


@pytest.fixture
def owner() -> Iterator[Owner]:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    owner = Owner(disk)
    yield owner
    owner.close()


def send_flush(owner: Owner, job: int, records: dict[bytes, bytes | None]) -> None:
    flushed = memtable(records)
    owner.send(job, FLUSH, owner.task() + encode_flush(flushed))
    for piece in encode_records(flushed):
        owner.send(job, RECORDS, piece)
    owner.send(job, RECORDS_END)


def compaction_order(owner: Owner, token: str = TOKEN) -> bytes:
    """Two tables that overlap, to be merged."""
    workshop = make_workshop(owner.disk)
    tables = [
        *flush(workshop, memtable({b"a": b"1", b"b": b"1"})),
        *flush(workshop, memtable({b"b": None, b"c": b"2"})),
    ]
    version = leveled({0: tables})
    return owner.task(token) + encode_compaction(Compaction(0, version.levels[0], ()), version)


def test_a_flush_makes_a_table_of_the_records_that_were_sent(owner: Owner) -> None:
    records: dict[bytes, bytes | None] = {b"%05d" % n: None if n % 9 == 0 else b"v" * 50 for n in range(5000)}

    send_flush(owner, 7, records)
    job, kind, payload = owner.answer()

    assert (job, kind) == (7, MADE)
    owner.disk.restart()
    assert content(owner.open(payload)) == records


def test_a_compaction_merges_the_tables_that_were_named(owner: Owner) -> None:
    owner.send(1, COMPACTION, compaction_order(owner))
    _, kind, payload = owner.answer()

    assert kind == MADE
    assert content(owner.open(payload)) == {b"a": b"1", b"c": b"2"}


def test_two_jobs_are_told_apart(owner: Owner) -> None:
    """The records of a flush may come while a compaction runs."""
    owner.send(1, FLUSH, owner.task() + encode_flush(memtable({})))
    owner.send(2, COMPACTION, compaction_order(owner, OTHER_TOKEN))
    for piece in encode_records(memtable({b"x": b"1"})):
        owner.send(1, RECORDS, piece)
    owner.send(1, RECORDS_END)

    assert sorted([owner.answer()[:2], owner.answer()[:2]]) == [(1, MADE), (2, MADE)]


def unfinished(owner: Owner) -> list[str]:
    return [name for name in owner.disk.list_directory("/db") if name.endswith(".tmp")]


def test_a_full_disk_is_told(owner: Owner) -> None:
    owner.disk.faults.append(Fault("write", FULL, suffix=".tmp"))

    send_flush(owner, 1, {b"a": b"1"})
    _, kind, payload = owner.answer()

    assert kind == FAILED
    assert isinstance(decode_failure(payload), StorageFullError)
    assert unfinished(owner) == []


def test_a_damaged_table_is_told(owner: Owner) -> None:
    order = compaction_order(owner)
    path = f"/db/{table_name(1)}"
    damaged = bytearray(owner.disk.content(path))
    damaged[3] ^= 1
    owner.disk.replace(path, bytes(damaged))

    owner.send(1, COMPACTION, order)
    _, kind, payload = owner.answer()

    error = decode_failure(payload)
    assert (kind, type(error)) == (FAILED, CorruptionError)
    assert path in str(error)
    assert unfinished(owner) == []


def test_a_compaction_that_waits_for_its_pace_can_be_stopped(owner: Owner) -> None:
    owner.options = Options(compaction_bytes_per_second=1, block_bytes=256, table_bytes_max=4096)
    keys: dict[bytes, bytes | None] = {b"%06d" % n: b"v" * 100 for n in range(100)}
    workshop = make_workshop(owner.disk, block_bytes=256)
    version = leveled({0: [*flush(workshop, memtable(keys)), *flush(workshop, memtable(keys))]})

    owner.send(1, COMPACTION, owner.task() + encode_compaction(Compaction(0, version.levels[0], ()), version))
    owner.send(1, STOP)

    assert owner.answer()[:2] == (1, STOPPED)
    assert unfinished(owner) == []


def test_a_flush_can_be_stopped_while_its_records_come(owner: Owner) -> None:
    owner.send(1, FLUSH, owner.task() + encode_flush(memtable({})))
    (piece,) = encode_records(memtable({b"a": b"1"}))
    owner.send(1, RECORDS, piece)
    owner.send(1, STOP)
    owner.send(1, RECORDS, piece)
    owner.send(1, RECORDS_END)

    assert owner.answer()[:2] == (1, STOPPED)
    assert unfinished(owner) == []


def test_what_comes_late_for_a_job_is_nothing(owner: Owner) -> None:
    send_flush(owner, 1, {b"a": b"1"})
    first = owner.answer()
    owner.send(1, STOP)
    send_flush(owner, 2, {})

    assert (first[:2], owner.answer()[:2]) == ((1, MADE), (2, MADE))


def test_a_compaction_gives_way_to_a_flush(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer may wait for the flush; it goes first even if the compaction began before it."""
    synced: list[str] = []
    is_flushing, gives_way = threading.Event(), threading.Event()
    give_way = Priority.give_way

    def hold_up_the_flush(path: str) -> None:
        if path.endswith(".tmp"):
            if not is_flushing.is_set():
                is_flushing.set()
                gives_way.wait()
            synced.append(path)

    def tell(priority: Priority) -> None:
        gives_way.set()
        give_way(priority)

    monkeypatch.setattr(worker, "GIVE_WAY_SECONDS", 60)
    monkeypatch.setattr(Priority, "give_way", tell)
    order = compaction_order(owner, OTHER_TOKEN)
    owner.disk.on_sync = hold_up_the_flush
    send_flush(owner, 1, {b"x": b"1"})
    is_flushing.wait()
    owner.send(2, COMPACTION, order)

    assert sorted([owner.answer()[:2], owner.answer()[:2]]) == [(1, MADE), (2, MADE)]
    assert synced == [f"/db/{unfinished_name(token, 1)}" for token in (TOKEN, OTHER_TOKEN)]


def test_a_compaction_does_not_give_way_for_ever(owner: Owner) -> None:
    """Flushes may follow one another without a pause."""
    owner.send(1, FLUSH, owner.task() + encode_flush(memtable({})))
    owner.send(2, COMPACTION, compaction_order(owner, OTHER_TOKEN))

    assert owner.answer()[:2] == (2, MADE)


def test_the_end_of_the_other_side_is_the_end(owner: Owner) -> None:
    """Even in the middle of a message, and with a flush that never gets all its records."""
    owner.send(1, FLUSH, owner.task() + encode_flush(memtable({})))
    owner.send_raw(encode_message(1, RECORDS, bytes(100))[:50])

    owner.close()


def test_an_owner_that_is_killed_with_an_answer_unread_is_the_end_too() -> None:
    """The kernel resets the connection then, which is nothing to be told of."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"an answer that nobody reads")
        ours.close()

        Worker(theirs, MemoryFileSystem()).serve()
