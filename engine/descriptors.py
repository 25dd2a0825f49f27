"""Descriptors: the files that this process has open, and a bound for those of them that are only read.

A file to be read need not stay open: where there are more of them than there may be, the one that was not read since
it was last looked at is closed, the oldest first (CLOCK), and opened again when it is next read. What is being read
has its descriptor in hand, so it is never pulled away.
"""

import errno
import os
import resource
import threading
from collections import OrderedDict
from typing import Protocol
from weakref import ref

from engine.forks import guard, register

# Of the descriptors that a process may have: others are sockets, logs, and what is being written.
_SHARE = 4
_FILES_MIN = 16
_FILES_MAX = 1 << 14
LACKING = {errno.EMFILE, errno.ENFILE}


class Descriptor:
    """An open file of this process, closed when the last reference to it goes, and in whatever is forked off.

    number   what the system calls it; -1 once it is closed, which every call to the system refuses
    """

    __slots__ = ("__weakref__", "number")

    def __init__(self, path: str, flags: int, directory: int | None = None) -> None:
        """Raises: OSError."""
        self.number = -1
        with guard:
            self.number = os.open(path, flags | os.O_CLOEXEC, 0o644, dir_fd=directory)
            register(self)

    @classmethod
    def of(cls, number: int) -> "Descriptor":
        """One that is open already."""
        found = cls.__new__(cls)
        found.number = number
        register(found)
        return found

    def close(self) -> None:
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    forget = __del__ = close


class PooledFile(Protocol):
    """A file that can be opened again.

    is_used   set by every read
    """

    is_used: bool

    def let_go(self) -> None:
        """Have no descriptor any more, but for reads that are going on."""


class OpenFiles:
    """The files of a pool that are open, each for as long as there is room.

    files_max   how many, kept ones included; 0: a quarter of what the process may have open
    """

    def __init__(self, files_max: int = 0) -> None:
        self._files_max = files_max
        self._lock = threading.Lock()
        # By identity, so that a file leaves no trace whichever thread lets go of it: both calls are atomic.
        self._open: OrderedDict[int, ref[PooledFile]] = OrderedDict()
        self._kept: OrderedDict[int, ref[PooledFile]] = OrderedDict()
        register(self)

    @property
    def files_max(self) -> int:
        return self._files_max or _share()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open) + len(self._kept)

    def opened(self, file: PooledFile) -> None:
        """Count a file that was opened, and close others if they are too many."""
        with self._lock:
            self._open[id(file)] = ref(file)
            self._shrink(max(self.files_max - len(self._kept), 1))

    def keep(self, file: PooledFile) -> bool:
        """Never close this one, which is open; says whether there is room for it."""
        with self._lock:
            if id(file) not in self._kept and len(self._kept) + 1 >= self.files_max:
                return False
            self._open.pop(id(file), None)
            self._kept[id(file)] = ref(file)
            self._shrink(max(self.files_max - len(self._kept), 1))
            return True

    def closed(self, file: PooledFile) -> None:
        """Any thread may say so, whatever it is about to do."""
        self._open.pop(id(file), None)
        self._kept.pop(id(file), None)

    def spare(self) -> bool:
        """Close half of them for somebody who lacks a descriptor; says whether that is any."""
        with self._lock:
            before = len(self._open)
            self._shrink(before // 2)
            return len(self._open) < before

    def _shrink(self, files_max: int) -> None:
        # Whoever reads on and on must not keep this from ending.
        chances = len(self._open)
        while len(self._open) > files_max:
            number, reference = self._open.popitem(last=False)
            file = reference()
            if file is None:
                continue
            if file.is_used and chances > 0:
                file.is_used = False
                self._open[number] = reference
            else:
                file.let_go()
            chances -= 1

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._open.clear()
        self._kept.clear()


def _share() -> int:
    """How many descriptors there are for files to be read."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _FILES_MAX if limit == resource.RLIM_INFINITY else min(max(limit // _SHARE, _FILES_MIN), _FILES_MAX)


# Of all stores of a process that have no bound of their own.
SHARED_FILES = OpenFiles()
