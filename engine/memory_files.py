"""A disk in memory, which loses power, tears writes and fails when it is told to."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from engine.errors import LockedError, StorageError, StorageFullError
from engine.files import AppendableFile, DirectoryLock, ReadableFile, Space
from engine.forks import register
from engine.inode import Inode


class PowerLostError(Exception):
    """The machine is off: nothing reaches the disk until MemoryFileSystem.restart()."""


@dataclass(slots=True)
class Fault:
    """Let one kind of operation fail on paths that end in `suffix`.

    skip      how many such operations succeed before
    times     how many fail, None for ever
    keep      of a failing write, how much arrives: 0 to 1
    forgets   of a failing sync: whether what it was asked for never will be on disk, whatever is synced
              later, unless it is written again; a kernel may take pages it failed to write for written
    struck    how many have failed
    """

    operation: str
    error: Exception
    suffix: str = ""
    skip: int = 0
    times: int | None = 1
    keep: float = 0.5
    forgets: bool = False
    struck: int = field(default=0, init=False)

    def strikes(self, operation: str, path: str) -> bool:
        """Whether this operation is to fail; each is asked about once."""
        if operation != self.operation or not path.endswith(self.suffix) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.struck += 1
        return True


class MemoryFileSystem:
    """A disk that forgets what was not synced, tears writes, and fails on demand.

    faults          what goes wrong, and when
    changes         how many operations have changed the disk or synced it
    appending       how many files are open to be appended to
    power_lost_at   the change at which the machine goes off, half done; None for never
    capacity        bytes of all files that there is room for; None: of any number
    files_max       how many files there may be; None: any number
    nowait          whether reads without waiting find what they ask for
    on_sync         told the path before each sync of a file, outside of all locks
    on_change       told the operation and the path before each change
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.changes = 0
        self.appending = 0
        self.power_lost_at: int | None = None
        self.capacity: int | None = None
        self.files_max: int | None = None
        self.nowait = True
        self.on_sync: Callable[[str], object] | None = None
        self.on_change: Callable[[str, str], object] | None = None
        self._lock = threading.RLock()
        self._names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._pending: dict[str, list[tuple[str, Inode | None]]] = {}
        self._directories = {"", "/", "."}
        self._locks: dict[str, list[_MemoryLock]] = {}
        self.starts = 0
        register(self)

    # What a test does to the disk.

    def restart(self, rng: random.Random | None = None, *, names: bool = False, data: bool = False) -> None:
        """Lose power and come back.

        Without rng nothing that was not synced is left, but all changes of directories if `names`, and
        all that was written if `data`. With it any part may be: of each directory some of its changes,
        in their order or not, and of each file what a crash may leave of it.
        """
        with self._lock:
            for changes in self._pending.values():
                for path, node in changes if names else _some(changes, rng):
                    self._settle(path, node)
            self._pending.clear()
            nodes = {id(node): node for node in self._durable_names.values()}
            for node in nodes.values():
                node.crash(rng, keep=data)
            self._names = dict(self._durable_names)
            # A file whose removal was forgotten brings its directory back.
            self._directories |= {path.rpartition("/")[0] for path in self._names}
            self.kill()

    @property
    def paths(self) -> list[str]:
        """Every file that is there, in the order of their names."""
        return sorted(self._names)

    @property
    def room(self) -> int | None:
        """How many bytes still fit, None if any number does."""
        if self.capacity is None:
            return None
        nodes = {id(node): node for node in self._names.values()}
        return self.capacity - sum(len(node.data) for node in nodes.values())

    def kill(self) -> None:
        """End every process, as kill -9 does: locks are gone, what was written is there."""
        with self._lock:
            self._locks.clear()
            self.appending = 0
            self.power_lost_at = None
            self.starts += 1

    def content(self, path: str) -> bytes:
        return bytes(self._names[path].data)

    def replace(self, path: str, data: bytes) -> None:
        """Put other bytes into a file, on the disk as well."""
        node = self._names[path]
        node.data[:] = data
        node.sync()
        node.durable[:] = data

    def clone(self) -> "MemoryFileSystem":
        """A disk with the same files, all of it durable, in a machine of its own."""
        other = MemoryFileSystem()
        other._directories = set(self._directories)
        other._names = {path: Inode(node.data) for path, node in self._names.items()}
        other._durable_names = dict(other._names)
        return other

    def twin(self) -> "MemoryFileSystem":
        """The same disk, with all that it may still forget, in a machine of its own where nobody has it open."""
        other = MemoryFileSystem()
        with self._lock:
            entries = [entry for changes in self._pending.values() for entry in changes]
            known = [*self._names.values(), *self._durable_names.values(), *[node for _, node in entries if node]]
            copies = {id(node): node for node in known}
            copies = {number: node.copy() for number, node in copies.items()}
            other._directories = set(self._directories)
            other._names = {path: copies[id(node)] for path, node in self._names.items()}
            other._durable_names = {path: copies[id(node)] for path, node in self._durable_names.items()}
            other._pending = {
                directory: [(path, copies[id(node)] if node else None) for path, node in changes]
                for directory, changes in self._pending.items()
            }
        return other

    def fingerprint(self) -> int:
        """What is on the disk and what it may forget: two disks that have the same one will behave alike."""
        with self._lock:
            numbers: dict[int, int] = {}
            nodes: list[object] = []

            def number(node: Inode | None) -> int:
                if node is None:
                    return -1
                if id(node) not in numbers:
                    numbers[id(node)] = len(nodes)
                    nodes.append(node.fingerprint())
                return numbers[id(node)]

            names = [(path, number(node)) for path, node in sorted(self._names.items())]
            durable = [(path, number(node)) for path, node in sorted(self._durable_names.items())]
            pending = [
                (path, [(change, number(node)) for change, node in changes]) for path, changes in self._pending.items()
            ]
            return hash(repr((names, durable, pending, nodes, sorted(self._directories))))

    # What the engine sees.

    def open_append(self, path: str) -> AppendableFile:
        with self._lock:
            self._step("open_append", path)
            node = self._names.get(path)
            if node is None:
                self._step("create", path)
                if self.files_max is not None and len(self._names) >= self.files_max:
                    raise StorageFullError(path, 28, "no space left on device")
                self._change("create", path)
                self._missing_directory(path)
                node = Inode()
                self._enter(path, node)
            return _MemoryAppendableFile(self, path, node)

    def rewrite(self, path: str, start: int) -> None:
        with self._lock:
            self._step("rewrite", path)
            node = self._node(path)
            self._change("rewrite", path)
            node.rewrite(start)
        file = _MemoryAppendableFile(self, path, node)
        try:
            file.sync()
        finally:
            file.close()

    def open_read(self, path: str) -> ReadableFile:
        with self._lock:
            self._step("open_read", path)
            return _MemoryReadableFile(self, path, self._node(path))

    def exists(self, path: str) -> bool:
        with self._lock:
            return path in self._names or path in self._directories

    def size(self, path: str) -> int:
        with self._lock:
            self._step("size", path)
            return len(self._node(path).data)

    def list_directory(self, path: str) -> list[str]:
        with self._lock:
            self._step("list_directory", path)
            if path not in self._directories:
                raise StorageError(path, 2, "no such directory")
            names = [*self._names, *self._directories]
            return sorted({n[len(path) + 1 :].split("/")[0] for n in names if n.startswith(path + "/")} - {""})

    def create_directory(self, path: str) -> None:
        with self._lock:
            if path in self._directories:
                return
            self._step("create_directory", path)
            if path in self._names:
                raise StorageError(path, 17, "a file is in the way")
            self.create_directory(path.rpartition("/")[0])
            self._directories.add(path)

    def remove_directory(self, path: str) -> None:
        with self._lock:
            self._step("remove_directory", path)
            if path not in self._directories:
                raise StorageError(path, 2, "no such directory")
            if any(name.startswith(path + "/") for name in (*self._names, *self._directories)):
                raise StorageError(path, 39, "the directory is not empty")
            self._change("remove_directory", path)
            self._directories.discard(path)

    def rename(self, source: str, target: str) -> None:
        with self._lock:
            self._step("rename", target)
            node = self._node(source)
            self._change("rename", target)
            del self._names[source]
            self._names[target] = node
            # One step on the disk too, so one entry in the list of changes: see _settle.
            self._pending.setdefault(target.rpartition("/")[0], []).append((f"{source}\0{target}", node))

    def link(self, source: str, target: str) -> None:
        with self._lock:
            self._step("link", target)
            if target in self._names:
                raise StorageError(target, 17, "the file exists")
            self._change("link", target)
            self._missing_directory(target)
            self._enter(target, self._node(source))

    def remove(self, path: str) -> None:
        with self._lock:
            self._step("remove", path)
            self._node(path)
            self._change("remove", path)
            del self._names[path]
            self._pending.setdefault(path.rpartition("/")[0], []).append((path, None))

    def sync_directory(self, path: str) -> None:
        with self._lock:
            self._step("sync_directory", path)
            self._change("sync_directory", path)
            for name, node in self._pending.pop(path, []):
                self._settle(name, node)

    def space(self, path: str) -> Space | None:  # noqa: ARG002  # there is only one
        with self._lock:
            room = self.room
            if self.capacity is None or room is None:
                return None
            files = None if self.files_max is None else max(self.files_max - len(self._names), 0)
            return Space(self.capacity, max(room, 0), files)

    def lock(self, path: str, *, shared: bool = False) -> DirectoryLock:
        with self._lock:
            holders = self._locks.setdefault(path, [])
            if holders and not (shared and holders[0].shared):
                raise LockedError(path.rpartition("/")[0])
            held = _MemoryLock(holders, shared=shared)
            holders.append(held)
            return held

    def hold(self, path: str, *, create: bool = True, open_files_max: int = 0) -> tuple[Self, str]:  # noqa: ARG002
        """Nothing has another name here, and any number of files may be open."""
        if create:
            self.create_directory(path)
        return self, path

    def release(self) -> None:
        """Nothing was taken."""

    def forget(self) -> None:
        """The child of a fork has a copy of the disk, and of those who had it open nobody."""
        self._lock = threading.RLock()
        self.kill()

    def _enter(self, path: str, node: Inode) -> None:
        self._names[path] = node
        self._pending.setdefault(path.rpartition("/")[0], []).append((path, node))

    def _settle(self, path: str, node: Inode | None) -> None:
        source, _, target = path.partition("\0")
        if target:
            self._durable_names.pop(source, None)
        if node is None:
            self._durable_names.pop(source, None)
        else:
            self._durable_names[target or source] = node

    def _missing_directory(self, path: str) -> None:
        if path.rpartition("/")[0] not in self._directories:
            raise StorageError(path, 2, "no such directory")

    def _node(self, path: str) -> Inode:
        node = self._names.get(path)
        if node is None:
            raise StorageError(path, 2, "no such file")
        return node

    def _step(self, operation: str, path: str) -> None:
        fault = self._fault(operation, path)
        if fault is not None:
            raise fault.error

    def _fault(self, operation: str, path: str) -> Fault | None:
        """What lets the operation fail, None for nothing."""
        if self.power_lost_at is not None and self.changes > self.power_lost_at:
            raise PowerLostError(operation)
        for fault in self.faults:
            if fault.strikes(operation, path):
                return fault
        return None

    def _change(self, operation: str, path: str) -> None:
        if self.on_change is not None:
            self.on_change(operation, path)
        self.changes += 1
        if self.power_lost_at is not None and self.changes > self.power_lost_at:
            raise PowerLostError(f"{operation} {path}")


class _MemoryFile:
    def __init__(self, disk: MemoryFileSystem, path: str, node: Inode) -> None:
        self._disk = disk
        self._path = path
        self._node = node
        self._start = disk.starts
        self._is_closed = False

    def close(self) -> None:
        self._is_closed = True

    def _check(self) -> None:
        if self._start != self._disk.starts:
            raise PowerLostError(f"{self._path} was opened before the restart")
        assert not self._is_closed, f"{self._path} is used after it was closed"


class _MemoryAppendableFile(_MemoryFile):
    def __init__(self, disk: MemoryFileSystem, path: str, node: Inode) -> None:
        super().__init__(disk, path, node)
        disk.appending += 1

    def close(self) -> None:
        if not self._is_closed and self._start == self._disk.starts:
            self._disk.appending -= 1
        super().close()

    def write(self, data: bytes) -> None:
        disk = self._disk
        with disk._lock:
            self._check()
            fault = disk._fault("write", self._path)
            if fault is not None:
                self._node.append(data[: int(len(data) * fault.keep)])
                raise fault.error
            try:
                disk._change("write", self._path)
            except PowerLostError:
                self._node.append(data[: len(data) // 2])
                raise
            room = disk.room
            self._node.append(data if room is None else data[: max(room, 0)])
            if room is not None and room < len(data):
                raise StorageFullError(self._path, 28, "no space left on device")

    def sync(self) -> None:
        disk = self._disk
        if disk.on_sync is not None:
            disk.on_sync(self._path)
        with disk._lock:
            self._check()
            fault = disk._fault("sync", self._path)
            if fault is not None:
                if fault.forgets:
                    self._node.forget()
                raise fault.error
            disk._change("sync", self._path)
            self._node.sync()

    def truncate(self, size: int) -> None:
        with self._disk._lock:
            self._check()
            self._disk._step("truncate", self._path)
            self._disk._change("truncate", self._path)
            self._node.truncate(size)


class _MemoryReadableFile(_MemoryFile):
    def read(self, offset: int, length: int) -> bytes:
        with self._disk._lock:
            self._check()
            self._disk._step("read", self._path)
            return bytes(self._node.data[offset : offset + length])

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        return self.read(offset, length) if self._disk.nowait else None

    def keep(self) -> bool:
        return True


class _MemoryLock:
    def __init__(self, holders: "list[_MemoryLock]", *, shared: bool) -> None:
        self.shared = shared
        self._holders = holders

    def close(self) -> None:
        if self in self._holders:
            self._holders.remove(self)


def _some(changes: list[tuple[str, Inode | None]], rng: random.Random | None) -> list[tuple[str, Inode | None]]:
    """Those of a directory's changes that a crash leaves: the first of them, or any."""
    if rng is None:
        return []
    if rng.random() < 0.5:
        return changes[: rng.randint(0, len(changes))]
    share = rng.choice((0.2, 0.5, 0.8))
    return [change for change in changes if rng.random() < share]
