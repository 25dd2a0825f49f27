"""The file system as the engine sees it, and the name of every file it owns.

    NNNNNN.log       commit log            CURRENT            names the manifest in force
    NNNNNN.sst       SSTable               LOCK               held by whoever has the directory open
    MANIFEST-NNNNNN  log of version edits  *.tmp              not yet renamed into place

What was written survives a crash of the machine once `sync` has returned, and the name of a new or
renamed file once `sync_directory` has. Every method raises StorageError, or StorageFullError where
no space is left, or no descriptor for another file.
"""

import errno
import fcntl
import os
import re
from dataclasses import dataclass
from typing import Protocol

from engine.errors import LockedError, StorageError, StorageFullError

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
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE}


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


def absolute(path: str) -> str:
    """The path as a process with another working directory has to know it."""
    return os.path.abspath(path)


def join(directory: str, name: str) -> str:
    """The path of a name in a directory."""
    return f"{directory}/{name}"


def parent(path: str) -> str:
    """The directory a path is in."""
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


def storage_error(path: str, error: OSError) -> StorageError:
    """What the engine raises in place of an OSError."""
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
    """A file read at any place, by any number of threads; it stays readable when removed."""

    def read(self, offset: int, length: int) -> bytes:
        """Fewer bytes than asked for only at the end of the file."""

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        """As `read`, but None if the disk would have to be waited for, or it cannot be told."""

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

    def lock(self, path: str) -> DirectoryLock:
        """Raises: LockedError, if anyone else holds it."""


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

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, data: bytes) -> None:
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, memoryview(data)[written:])
        except OSError as error:
            raise storage_error(self._path, error) from error

    def sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class _OsReadableFile:
    __slots__ = ("_descriptor", "_path")

    # Where the kernel cannot read without waiting every read counts as one that would wait.
    _NOWAIT = getattr(os, "RWF_NOWAIT", None)

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._descriptor, length, offset)
            while len(data) < length and (more := os.pread(self._descriptor, length - len(data), offset + len(data))):
                data += more
        except OSError as error:
            raise storage_error(self._path, error) from error
        return data

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        if self._NOWAIT is None:
            return None
        buffer = bytearray(length)
        try:
            count = os.preadv(self._descriptor, [buffer], offset, self._NOWAIT)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL}:
                return None
            raise storage_error(self._path, error) from error
        # Part of it was in memory: the rest would have to be waited for, or is not there.
        return bytes(buffer) if count == length else None

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def __del__(self) -> None:
        # A table that compaction replaced is read until its last reader lets go of it; closing
        # it any earlier would pull the descriptor away from under a read in another thread.
        self.close()


class _OsLock:
    __slots__ = ("_descriptor",)

    def __init__(self, path: str) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            # Where nobody can write, a file that is not there need not be held either.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if os.path.exists(path) else -1
            if self._descriptor < 0:
                return
        try:
            # flock, not lockf: it also keeps the same process from opening the directory twice.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class OsFileSystem:
    """The real one."""

    def open_append(self, path: str) -> AppendableFile:
        try:
            return _OsAppendableFile(path)
        except OSError as error:
            raise storage_error(path, error) from error

    def rewrite(self, path: str, start: int) -> None:
        try:
            # Not to append: then Linux would write at the end, wherever it is told to.
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                while data := os.pread(descriptor, _REWRITE_BYTES, start):
                    start += os.pwrite(descriptor, data, start)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise storage_error(path, error) from error

    def open_read(self, path: str) -> ReadableFile:
        try:
            return _OsReadableFile(path)
        except OSError as error:
            raise storage_error(path, error) from error

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def size(self, path: str) -> int:
        try:
            return os.stat(path).st_size
        except OSError as error:
            raise storage_error(path, error) from error

    def list_directory(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            raise storage_error(path, error) from error

    def create_directory(self, path: str) -> None:
        if os.path.isdir(path):
            return
        above = parent(path)
        self.create_directory(above)
        try:
            os.mkdir(path)
        except FileExistsError as error:
            # Somebody else made it meanwhile, or it is not a directory.
            if not os.path.isdir(path):
                raise storage_error(path, error) from error
        except OSError as error:
            raise storage_error(path, error) from error
        self.sync_directory(above)

    def remove_directory(self, path: str) -> None:
        try:
            os.rmdir(path)
        except OSError as error:
            raise storage_error(path, error) from error

    def rename(self, source: str, target: str) -> None:
        try:
            os.rename(source, target)
        except OSError as error:
            raise storage_error(target, error) from error

    def link(self, source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError as error:
            raise storage_error(target, error) from error

    def remove(self, path: str) -> None:
        try:
            os.remove(path)
        except OSError as error:
            raise storage_error(path, error) from error

    def sync_directory(self, path: str) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise storage_error(path, error) from error

    def space(self, path: str) -> Space | None:
        try:
            found = os.statvfs(path)
        except OSError as error:
            raise storage_error(path, error) from error
        files = found.f_favail if found.f_files else None
        return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, files)

    def lock(self, path: str) -> DirectoryLock:
        try:
            return _OsLock(path)
        except BlockingIOError as error:
            raise LockedError(parent(path)) from error
        except OSError as error:
            raise storage_error(path, error) from error
