"""The file system as the engine sees it, and the name of every file it owns.

    NNNNNN.log       commit log            CURRENT            names the manifest in force
    NNNNNN.sst       SSTable               LOCK               held by whoever has the directory open
    MANIFEST-NNNNNN  log of version edits  *.tmp              not yet renamed into place

What was written survives a crash of the machine once `sync` has returned, and the name of a new or
renamed file once `sync_directory` has. Every method raises StorageError, or StorageFullError where
no space is left, or no descriptor for another file.
"""

import copy
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from engine.descriptors import LACKING, SHARED_FILES, Descriptor, OpenFiles
from engine.errors import ClosedError, EngineError, LockedError, StorageError, StorageFullError
from engine.forks import FORKED

CURRENT = "CURRENT"
LOCK = "LOCK"
RESERVE = "RESERVE"
TEMPORARY_SUFFIX = ".tmp"
LOG = "log"
TABLE = "sst"
MANIFEST = "MANIFEST"

_NUMBERED = re.compile(r"(?:(MANIFEST)-(\d{6,15})|(\d{6,15})\.(log|sst))")
_UNFINISHED = re.compile(r"[0-9a-f]{16}-\d{6,15}\.tmp")
_REWRITE_BYTES = 1 << 20
# Nothing was begun, and others may give back what is lacking.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, *LACKING}

# What names a file or directory of the caller's.
StrOrBytesPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Opened = TypeVar("_Opened")


def log_name(number: int) -> str:
    """The name of a commit log."""
    return f"{number:06}.{LOG}"


def table_name(number: int) -> str:
    """The name of an SSTable."""
    return f"{number:06}.{TABLE}"


def manifest_name(number: int) -> str:
    """The name of a manifest."""
    return f"{MANIFEST}-{number:06}"


def unfinished_name(token: str, number: int) -> str:
    """The name of an SSTable that a worker process makes, until it is finished and gets a number."""
    return f"{token}-{number:06}{TEMPORARY_SUFFIX}"


def is_unfinished(name: str, token: str = "") -> bool:
    """Whether it is the name of such an SSTable; of a certain task, if its token is given."""
    return _UNFINISHED.fullmatch(name) is not None and name.startswith(token)


def parse_name(name: str) -> tuple[str, int] | None:
    """The kind (LOG, TABLE or MANIFEST) and number of a file, None for any other."""
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return None
    if match[1]:
        return MANIFEST, int(match[2])
    return match[4], int(match[3])


def is_data(name: str) -> bool:
    """Whether it is the name of an SSTable or a commit log."""
    return (parse_name(name) or ("", 0))[0] in {TABLE, LOG}


def text_path(path: StrOrBytesPath) -> str:
    """A path as all of the engine has it. Raises: StorageError, if it names nothing."""
    text = os.fsdecode(path)
    if not text or "\0" in text:
        raise StorageError(text, errno.EINVAL, "this is no path; give the name of a directory")
    return text


def join(directory: str, name: str) -> str:
    """The path of a name in a directory."""
    return f"{directory}/{name}"


def parent(path: str) -> str:
    """The directory a path is in."""
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


def storage_error(path: str, error: OSError) -> EngineError:
    """What the engine raises in place of an OSError."""
    if error.errno == errno.EBADF:
        # Nobody else closes what is in use: see descriptors.py.
        return ClosedError(f"{path} is closed, or {FORKED}")
    kind = StorageFullError if error.errno in _FULL else StorageError
    return kind(path, error.errno or 0, error.strerror or str(error))


class AppendableFile(Protocol):
    """A file that grows at its end."""

    def write(self, data: bytes) -> None:
        """Append all of it, or raise with an unknown part of it appended."""

    def sync(self) -> None:
        """Return once everything written is on disk; callable while another thread writes."""

    def truncate(self, size: int) -> None: ...
    def close(self) -> None: ...


class ReadableFile(Protocol):
    """A file read at any place, by any number of threads."""

    def read(self, offset: int, length: int) -> bytes:
        """Fewer bytes than asked for only at the end of the file."""

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        """As `read`, but None if the disk would have to be waited for, or it cannot be told."""

    def keep(self) -> bool:
        """Stay readable also once the file is removed; False, if there is no descriptor for that."""

    def close(self) -> None: ...


class DirectoryLock(Protocol):
    """Held until closed, or until its process is gone."""

    def close(self) -> None: ...


class ReadableFileSystem(Protocol):
    """What is done to files that nobody changes."""

    def open_read(self, path: str) -> ReadableFile: ...
    def exists(self, path: str) -> bool: ...
    def size(self, path: str) -> int: ...
    def list_directory(self, path: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Space:
    """What a file system has: of bytes, and of the files it may still be given.

    free_bytes   what this process may still take, as far as a quota does not say less
    free_files   None: as many as there are bytes for
    """

    total_bytes: int
    free_bytes: int
    free_files: int | None = None


class FileSystem(ReadableFileSystem, Protocol):
    """Everything the engine does to files."""

    def open_append(self, path: str) -> AppendableFile:
        """Create the file if it is not there."""

    def rewrite(self, path: str, start: int) -> None:
        """Write what is in a file from `start` on once more, where it is, and return once it is on disk.

        After a failed sync the kernel may take pages for written that never were: programs still see them,
        and no later sync is asked for them. Now it is. A crash meanwhile leaves every byte that was on disk.
        """

    def create_directory(self, path: str) -> None:
        """Create it and its parents, durably; it may be there already."""

    def remove_directory(self, path: str) -> None:
        """It must be empty."""

    def rename(self, source: str, target: str) -> None:
        """Replace the target in one step."""

    def link(self, source: str, target: str) -> None: ...
    def remove(self, path: str) -> None: ...
    def sync_directory(self, path: str) -> None: ...

    def space(self, path: str) -> Space | None:
        """Of the file system that a directory is on; None, if there is no end to it."""

    def lock(self, path: str, *, shared: bool = False) -> DirectoryLock:
        """Hold a lock that nobody else holds, or with `shared` others alike. Raises: LockedError.

        A shared one needs no right to write: where there is no such file nothing is created, nor held.
        """

    def hold(self, path: str, *, create: bool = True, open_files_max: int = 0) -> tuple[Self, str]:
        """This file system for one who has a directory open, and the name that the directory has there.

        Names in it mean what is in this very directory, whatever becomes of its own name, or of the working
        directory. It is created if need be, and may be. Not more than `open_files_max` of its files to be read
        are open at once; 0: they share what the process may have. Raises: StorageError.
        """

    def release(self) -> None:
        """Let go of the directory that `hold` has opened: nothing in it can be opened any more."""


def remove_needless(file_system: FileSystem, path: str) -> None:
    """Remove a file nothing refers to any more.

    Some file systems need space to remove a file: on a full disk it stays until the next open.
    """
    try:
        file_system.remove(path)
    except StorageFullError:
        pass


class _OsAppendableFile:
    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: str, descriptor: Descriptor) -> None:
        self._path = path
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        descriptor = self._descriptor.number
        try:
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, memoryview(data)[written:])
        except OSError as error:
            raise storage_error(self._path, error) from error

    def sync(self) -> None:
        try:
            os.fdatasync(self._descriptor.number)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor.number, size)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def close(self) -> None:
        self._descriptor.close()


class _OsReadableFile:
    """A file that is opened again when it is read, should others have needed its descriptor meanwhile."""

    __slots__ = ("__weakref__", "_descriptor", "_file_system", "_inode", "_path", "is_used")

    # Where the kernel cannot read without waiting every read counts as one that would wait.
    _NOWAIT = getattr(os, "RWF_NOWAIT", None)

    def __init__(self, file_system: "OsFileSystem", path: str) -> None:
        """Raises: OSError."""
        self._descriptor: Descriptor | None = None
        self._file_system: OsFileSystem | None = file_system
        self._path = path
        self.is_used = False
        self._inode: tuple[int, int] | None = None
        self._open()

    def _open(self) -> Descriptor:
        """Raises: OSError."""
        file_system = self._file_system
        if file_system is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        descriptor = file_system.descriptor(self._path, os.O_RDONLY)
        status = os.fstat(descriptor.number)
        inode = status.st_dev, status.st_ino
        if self._inode is None:
            self._inode = inode
        elif self._inode != inode:
            raise OSError(errno.ESTALE, "another file has taken its place")
        self._descriptor = descriptor
        file_system.files.opened(self)
        return descriptor

    def read(self, offset: int, length: int) -> bytes:
        try:
            descriptor = self._descriptor or self._open()
            self.is_used = True
            data = os.pread(descriptor.number, length, offset)
            while len(data) < length and (more := os.pread(descriptor.number, length - len(data), offset + len(data))):
                data += more
        except OSError as error:
            raise storage_error(self._path, error) from error
        return data

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        descriptor = self._descriptor
        if self._NOWAIT is None or descriptor is None:
            return None
        self.is_used = True
        buffer = bytearray(length)
        try:
            count = os.preadv(descriptor.number, [buffer], offset, self._NOWAIT)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL}:
                return None
            raise storage_error(self._path, error) from error
        # Part of it was in memory: the rest would have to be waited for, or is not there.
        return bytes(buffer) if count == length else None

    def keep(self) -> bool:
        try:
            # In hand, so that nobody closes it before it is kept.
            descriptor = self._descriptor or self._open()
        except OSError:
            return False
        if self._file_system is None or not self._file_system.files.keep(self):
            return False
        self._descriptor = descriptor
        return True

    def let_go(self) -> None:
        """As PooledFile has it."""
        self._descriptor = None

    def close(self) -> None:
        file_system, self._file_system = self._file_system, None
        if file_system is not None:
            file_system.files.closed(self)
        self._descriptor = None

    # A table that compaction replaced is read until its last reader lets go of it.
    __del__ = close


class _OsLock:
    __slots__ = ("_descriptor", "_process")

    def __init__(self, file_system: "OsFileSystem", path: str, *, shared: bool) -> None:
        """Raises: OSError."""
        self._process = os.getpid()
        self._descriptor: Descriptor | None = None
        try:
            self._descriptor = file_system.descriptor(path, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT)
        except OSError as error:
            if error.errno not in ({errno.ENOENT} if shared else {errno.EROFS}):
                raise
            # Where nobody can write, a file that is not there need not be held either.
            if shared or not file_system.exists(path):
                return
            self._descriptor = file_system.descriptor(path, os.O_RDONLY)
        # flock, not lockf: it also keeps the same process from opening the directory twice.
        fcntl.flock(self._descriptor.number, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if descriptor.number >= 0 and os.getpid() == self._process:
            # Also for whoever has the descriptor by a fork that nobody was told of.
            fcntl.flock(descriptor.number, fcntl.LOCK_UN)
        descriptor.close()


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A directory that is open, and the absolute path by which it was found."""

    path: str
    descriptor: Descriptor


class OsFileSystem:
    """The real one.

    files   those that are open to be read
    """

    files: OpenFiles = SHARED_FILES
    # Of directories that are held, the outer before the inner.
    _anchors: tuple[_Anchor, ...] = ()

    def hold(self, path: str, *, create: bool = True, open_files_max: int = 0) -> tuple[Self, str]:
        # Once and for all: the working directory may be another when the next file is opened.
        path = os.path.abspath(path)
        if create:
            self.create_directory(path)
        held = copy.copy(self)
        descriptor = self._try(path, lambda: self.descriptor(path, os.O_RDONLY | os.O_DIRECTORY))
        held._anchors = (*self._anchors, _Anchor(path, descriptor))
        if open_files_max:
            held.files = OpenFiles(open_files_max)
        return held, path

    def release(self) -> None:
        if self._anchors:
            self._anchors[-1].descriptor.close()

    def held(self, path: str) -> int | None:
        """The descriptor of a directory that is held under this path; None if it is not."""
        return next((anchor.descriptor.number for anchor in self._anchors if anchor.path == path), None)

    def hold_open(self, path: str, number: int) -> Self:
        """As `hold`, a directory that is open already, under any path."""
        held = copy.copy(self)
        held._anchors = (*self._anchors, _Anchor(path, Descriptor.of(number)))
        return held

    def _at(self, path: str) -> tuple[str, int | None]:
        """A path as the system is to be asked for it: a name, and the descriptor of the directory it is in."""
        for anchor in reversed(self._anchors):
            if path.startswith(anchor.path):
                rest = path[len(anchor.path) :]
                if not rest or rest.startswith("/") or anchor.path == "/":
                    return rest.lstrip("/") or ".", anchor.descriptor.number
        return path, None

    def descriptor(self, path: str, flags: int) -> Descriptor:
        """Raises: OSError."""
        name, directory = self._at(path)
        while True:
            try:
                return Descriptor(name, flags, directory)
            except OSError as error:
                # Whoever reads gives way to whoever lacks a descriptor.
                if error.errno not in LACKING or not self.files.spare():
                    raise

    @staticmethod
    def _try(path: str, act: Callable[[], _Opened]) -> _Opened:
        """Raises: StorageError, ClosedError."""
        try:
            return act()
        except OSError as error:
            raise storage_error(path, error) from error

    def open_append(self, path: str) -> AppendableFile:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return self._try(path, lambda: _OsAppendableFile(path, self.descriptor(path, flags)))

    def rewrite(self, path: str, start: int) -> None:
        try:
            # Not to append: then Linux would write at the end, wherever it is told to.
            descriptor = self.descriptor(path, os.O_RDWR)
            try:
                while data := os.pread(descriptor.number, _REWRITE_BYTES, start):
                    start += os.pwrite(descriptor.number, data, start)
                os.fdatasync(descriptor.number)
            finally:
                descriptor.close()
        except OSError as error:
            raise storage_error(path, error) from error

    def open_read(self, path: str) -> ReadableFile:
        return self._try(path, lambda: _OsReadableFile(self, path))

    def _status(self, path: str, *, follow: bool) -> os.stat_result | None:
        """None if there is no such file, or it cannot be told. Raises: ClosedError."""
        name, directory = self._at(path)
        try:
            return os.stat(name, dir_fd=directory, follow_symlinks=follow)
        except OSError as error:
            if error.errno == errno.EBADF:
                raise storage_error(path, error) from error
            return None

    def exists(self, path: str) -> bool:
        return self._status(path, follow=False) is not None

    def size(self, path: str) -> int:
        name, directory = self._at(path)
        return self._try(path, lambda: os.stat(name, dir_fd=directory).st_size)

    def list_directory(self, path: str) -> list[str]:
        try:
            descriptor = self.descriptor(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                return sorted(os.listdir(descriptor.number))
            finally:
                descriptor.close()
        except OSError as error:
            raise storage_error(path, error) from error

    def _is_directory(self, path: str) -> bool:
        status = self._status(path, follow=True)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def create_directory(self, path: str) -> None:
        if self._is_directory(path):
            return
        above = parent(path)
        self.create_directory(above)
        name, directory = self._at(path)
        try:
            os.mkdir(name, dir_fd=directory)
        except FileExistsError as error:
            # Somebody else made it meanwhile, or it is not a directory.
            if not self._is_directory(path):
                raise storage_error(path, error) from error
        except OSError as error:
            raise storage_error(path, error) from error
        self.sync_directory(above)

    def remove_directory(self, path: str) -> None:
        name, directory = self._at(path)
        self._try(path, lambda: os.rmdir(name, dir_fd=directory))

    def rename(self, source: str, target: str) -> None:
        (old, old_directory), (new, new_directory) = self._at(source), self._at(target)
        self._try(target, lambda: os.rename(old, new, src_dir_fd=old_directory, dst_dir_fd=new_directory))

    def link(self, source: str, target: str) -> None:
        (old, old_directory), (new, new_directory) = self._at(source), self._at(target)
        self._try(target, lambda: os.link(old, new, src_dir_fd=old_directory, dst_dir_fd=new_directory))

    def remove(self, path: str) -> None:
        name, directory = self._at(path)
        self._try(path, lambda: os.remove(name, dir_fd=directory))

    def sync_directory(self, path: str) -> None:
        try:
            descriptor = self.descriptor(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor.number)
            finally:
                descriptor.close()
        except OSError as error:
            raise storage_error(path, error) from error

    def space(self, path: str) -> Space | None:
        try:
            descriptor = self.descriptor(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                found = os.statvfs(descriptor.number)
            finally:
                descriptor.close()
        except OSError as error:
            raise storage_error(path, error) from error
        files = found.f_favail if found.f_files else None
        return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, files)

    def lock(self, path: str, *, shared: bool = False) -> DirectoryLock:
        try:
            return _OsLock(self, path, shared=shared)
        except BlockingIOError as error:
            raise LockedError(parent(path)) from error
        except OSError as error:
            raise storage_error(path, error) from error
