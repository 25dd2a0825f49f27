"""Every single bit of every file of a small store, flipped: the engine gives right answers or says what is damaged."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

import pytest

from engine import CorruptionError, Engine, InlineExecutor, MemoryFileSystem, Options, WriteBatch

OPTIONS = Options(block_bytes=100, reserve_bytes=0, cache_bytes_max=0, row_cache_bytes_max=0)
MEMORY_BYTES = 128 << 20
Content = dict[bytes, bytes]


@contextmanager
def little_memory() -> Iterator[None]:
    """Whoever asks for much more than there was gets a MemoryError."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def open_engine(disk: MemoryFileSystem) -> Engine:
    return Engine.open("/db", OPTIONS, file_system=disk, executor=InlineExecutor())


def made(*, closed: bool) -> tuple[MemoryFileSystem, list[Content]]:
    """A store with a table, a manifest of some edits and a log; and its content after each of the logged writes."""
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    batch = WriteBatch()
    for number in range(6):
        batch.put(b"key%d" % number, b"value%d" % number * 3)
    batch.delete(b"key3")
    batch.put(b"key4", b"soon gone", expires_ms=50)
    engine.write(batch)
    engine.flush()
    contents = [dict(engine.scan())]
    for number in range(2):
        batch = WriteBatch()
        batch.put(b"logged", b"%d" % number)
        batch.delete(b"key%d" % number)
        engine.write(batch)
        contents.append(dict(engine.scan()))
    if closed:
        engine.close()
    disk.restart()
    return disk, contents


def answers(disk: MemoryFileSystem, keys: set[bytes]) -> Iterator[Content | None]:
    """What the engine has in each way that it can be asked; None where it says that something is damaged."""
    try:
        engine = open_engine(disk)
    except CorruptionError:
        yield None
        return
    asked: list[Callable[[], Content]] = [
        lambda: {key: value for key in keys if (value := engine.get(key)) is not None},
        lambda: dict(islice(engine.scan(), 100)),
        lambda: dict(islice(engine.scan(reverse=True), 100)),
        lambda: compacted(engine),
    ]
    for ask in asked:
        try:
            yield ask()
        except CorruptionError:
            yield None
    engine.close()


def compacted(engine: Engine) -> Content:
    engine.compact()
    return dict(islice(engine.scan(), 100))


@pytest.mark.parametrize(
    ("suffix", "closed"),
    [
        (".sst", True),
        (".log", True),
        (".log", False),
        ("MANIFEST-000001", True),
        ("MANIFEST-000001", False),
        ("CURRENT", True),
    ],
)
def test_a_flipped_bit_is_detected_or_harmless(suffix: str, closed: bool) -> None:
    """Only where a log was not closed may its last write be taken for one that a crash has torn."""
    disk, contents = made(closed=closed)
    # The newest of the kind: a crash has brought back a log that was removed.
    path = [f"/db/{name}" for name in disk.list_directory("/db") if name.endswith(suffix)][-1]
    allowed = contents[-2:] if suffix == ".log" and not closed else contents[-1:]
    keys = {key for content in contents for key in content} | {b"absent"}
    whole = disk.content(path)
    detected = 0
    with little_memory():
        for bit in range(8 * len(whole)):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            twin = disk.clone()
            twin.replace(path, bytes(damaged))
            given = list(answers(twin, keys))
            wrong = [answer for answer in given if answer is not None and answer not in allowed]
            assert wrong == [], f"bit {bit} of {path}"
            assert all(answer in (None, given[0]) for answer in given), f"bit {bit} of {path}"
            detected += None in given

    # All but those of a mark at the end, which holds nothing, or of a last write as above.
    assert detected >= 8 * (len(whole) - 60)


def test_a_single_get_is_right_or_refused() -> None:
    """Also where the damage is in another part of the table."""
    disk, contents = made(closed=True)
    path = next(f"/db/{name}" for name in disk.list_directory("/db") if name.endswith(".sst"))
    whole = disk.content(path)
    answered = 0
    for position in range(len(whole)):
        twin = disk.clone()
        twin.replace(path, whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        engine = open_engine(twin)
        for key in (b"key0", b"key2", b"key5", b"logged"):
            try:
                assert engine.get(key) == contents[-1].get(key)
                answered += 1
            except CorruptionError:
                pass
        engine.close()
    assert answered > len(whole)
