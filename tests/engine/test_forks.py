"""In a process that was forked off nothing works that is the parent's, and nothing of the parent's is harmed."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMON = """
import gc, os, signal, sys, time, threading
from engine import *
from engine.process import SHARED
from tests.engine.test_process import is_running

path = sys.argv[1]

def open_(path=path, **others):
    return Engine.open(path, Options(memtable_bytes_max=1 << 21, **others))

def in_child(act):
    child = os.fork()
    if not child:
        try:
            act()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child

def wait(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

def refused(act):
    try:
        found = act()
    except ClosedError as error:
        assert "fork" in str(error), error
    else:
        raise AssertionError(f"it was not refused, but gave {found!r}")

def check(path=path):
    assert verify_engine(path) == [], verify_engine(path)
"""

BOTH_WRITE = """
engine = open_()
engine.put(b"before", b"1")

def act():
    for number in range(500):
        refused(lambda: engine.put(b"child %d" % number, b"1"))
    engine.close()

child = in_child(act)
for number in range(1000):
    engine.put(b"parent %d" % number, b"1")
wait(child)
for number in range(1000, 1100):
    engine.put(b"parent %d" % number, b"1")
engine.flush()
engine.close()
check()
with open_() as engine:
    assert len(list(engine.scan())) == 1101
"""

EVERY_USE = """
for own_log in (True, False):
    engine = Engine.open(f"{path}{own_log}", Options(own_log=own_log))
    batch = WriteBatch({b"a": b"1"})
    sequence = None if own_log else SequenceNumber(1)
    engine.write(batch, sequence=sequence)
    engine.flush()
    engine.write(WriteBatch({b"b": b"1"}), sequence=None if own_log else SequenceNumber(2))
    snapshot, scan, get, held = engine.snapshot(), engine.scan(), engine.get, engine.scan(b"b")
    assert next(held)

    def act():
        uses = [
            lambda: get(b"b"),
            lambda: engine.get(b"a", wait=False),
            lambda: engine.multi_get([]),
            lambda: engine.multi_get([b"a"]),
            engine.scan,
            engine.snapshot,
            lambda: engine.write(batch, sequence=sequence),
            lambda: engine.put(b"a", b"1"),
            lambda: engine.ingest([(b"a", b"1")]),
            lambda: engine.ingest([]),
            lambda: engine.clock_ms,
            lambda: engine.advance_clock(10**15),
            lambda: engine.applied_sequence,
            lambda: engine.flushed_sequence,
            lambda: engine.is_stalled,
            lambda: engine.stall_reason,
            lambda: engine.is_full,
            engine.retry,
            engine.request_flush,
            engine.flush,
            engine.compact,
            engine.stats,
            lambda: engine.checkpoint(path + "copy"),
            lambda: snapshot.get(b"b"),
            lambda: snapshot.multi_get([b"b"]),
            snapshot.scan,
            lambda: list(scan),
        ]
        for use in uses:
            refused(use)
        snapshot.close()
        engine.close()
        engine.close()
        for use in uses[:-4]:
            refused(use)
        assert not os.path.exists(path + "copy")

    wait(in_child(act))
    assert engine.get(b"a") == snapshot.get(b"b") == b"1" and len(list(scan)) == 2
    engine.write(WriteBatch({b"c": b"1"}), sequence=None if own_log else SequenceNumber(3))
    snapshot.close()
    engine.close()
    check(f"{path}{own_log}")
"""

IDLE_CHILD = """
engine = open_()
engine.put(b"a", b"1")
there, here = os.pipe()
ready, told = os.pipe()
child = in_child(lambda: (os.close(here), os.write(told, b"."), os.read(there, 1)))
os.read(ready, 1)
engine.put(b"b", b"1")
engine.close()
with open_() as engine:
    assert len(list(engine.scan())) == 2
names = [os.readlink(f"/proc/{child}/fd/{number}") for number in os.listdir(f"/proc/{child}/fd")]
assert not [name for name in names if name.startswith(path)], names
os.close(here)
wait(child)
"""

PARENT_KILLED = """
there, here = os.pipe()
parent = os.fork()
if not parent:
    engine = open_()
    engine.put(b"a", b"1")
    if not os.fork():
        os.write(here, b"%d\\n" % os.getpid())
    signal.pause()
idle = int(os.read(there, 20))
os.kill(parent, signal.SIGKILL)
os.waitpid(parent, 0)
assert is_running(idle)
with open_() as engine:
    assert engine.get(b"a") == b"1"
os.kill(idle, signal.SIGKILL)
"""

OWN_STORE = """
engine = open_()
for number in range(20_000):
    engine.put(b"%05d" % number, b"v" * 100, sync=False)
engine.flush()
worker = SHARED.pid
assert worker
cache = BlockCache(1 << 20)

def act():
    assert SHARED.pid is None
    with Engine.open(path + "2", Options(memtable_bytes_max=1 << 21), cache=cache) as own:
        for number in range(40_000):
            own.put(b"%05d" % number, b"v" * 100, sync=False)
        own.flush()
        assert SHARED.pid not in (None, worker)
        mine = SHARED.pid
        engine.close()
        assert is_running(mine)
        assert own.get(b"00001")
    assert not is_running(mine)
    check(path + "2")
    try:
        open_()
    except LockedError:
        pass
    else:
        raise AssertionError("the parent has it")

wait(in_child(act))
assert SHARED.pid == worker and is_running(worker)
engine.compact()
engine.close()
assert not is_running(worker)
check()
"""

LOCKS_HELD = """
# Threads that read, write, flush and sync hold locks at every moment.
engine = open_()
stop = threading.Event()

def work(number):
    count = 0
    while not stop.is_set():
        engine.put(b"%d %d" % (number, count), b"v" * 5000, sync=count % 50 == 0)
        engine.get(b"%d %d" % (number, count // 2))
        with engine.snapshot() as snapshot:
            next(snapshot.scan())
        count += 1

threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()

def act():
    signal.alarm(20)
    refused(lambda: engine.put(b"a", b"1"))
    refused(lambda: engine.get(b"a"))
    refused(lambda: engine.flush())
    engine.close()
    with Engine.open(f"{path}-{os.getpid()}") as own:
        own.put(b"a", b"1")
        own.flush()
        assert own.get(b"a") == b"1"

for _ in range(25):
    wait(in_child(act))
stop.set()
for thread in threads:
    thread.join()
engine.close()
check()
"""

WITHIN_A_CALL = """
# The child is made by what an ingest takes its pairs from, and unwinds through it.
engine = open_()
children = []

def pairs():
    for number in range(5000):
        if number == 2500:
            child = os.fork()
            if not child:
                raise SystemExit
            children.append(child)
        yield b"%05d" % number, b"v" * 100

try:
    engine.ingest(pairs())
except BaseException as error:
    engine.close()
    del engine
    gc.collect()
    os._exit(0)
wait(children[0])
assert len(list(engine.scan())) == 5000
engine.close()
check()
"""

COLLECTED = """
engine = open_()
engine.put(b"a", b"1")

def act():
    global engine
    del engine
    gc.collect()

wait(in_child(act))
engine.put(b"b", b"1")
try:
    open_()
except LockedError:
    pass
else:
    raise AssertionError("the child gave the lock back")
engine.close()
check()
"""

FILES_OF_A_NODE = """
from raftgroups.directory import DataDirectory
from raftgroups.host import HostOptions
from raftgroups.nodelog import Entries, NodeLog

directory = DataDirectory.open(OsFileSystem(), HostOptions("n1", path, "127.0.0.1:9001", "127.0.0.1:8001"))
log = NodeLog(directory.file_system, directory.log_path)
log.add(Entries(0, 1, [(1, b"before")]))
log.commit()
there, here = os.pipe()

def act():
    os.close(here)
    log.add(Entries(0, 2, [(1, b"child")]))
    refused(log.commit)
    refused(log.close)
    refused(directory.held)
    directory.close()
    os.read(there, 1)

child = in_child(act)
log.add(Entries(0, 2, [(1, b"parent")]))
log.commit()
log.close()
directory.close()
directory = DataDirectory.open(OsFileSystem(), HostOptions("n1", path, "127.0.0.1:9001", "127.0.0.1:8001"))
log = NodeLog(directory.file_system, directory.log_path)
assert [payload for _, payload in log.remains[0].entries] == [b"before", b"parent"]
os.close(here)
wait(child)
"""


@pytest.mark.parametrize(
    "code",
    [
        BOTH_WRITE,
        EVERY_USE,
        IDLE_CHILD,
        PARENT_KILLED,
        OWN_STORE,
        LOCKS_HELD,
        WITHIN_A_CALL,
        COLLECTED,
        FILES_OF_A_NODE,
    ],
    ids=[
        "both write",
        "every use but close is refused",
        "an idle child holds nothing",
        "nor does one whose parent was killed",
        "a child has stores and a worker of its own",
        "whatever locks are held",
        "within a call",
        "a child that collects the engine",
        "the files of a node",
    ],
)
def test_a_fork(tmp_path: Path, code: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", COMMON + code, str(tmp_path / "db")]

    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, ""), done.stderr
