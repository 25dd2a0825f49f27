"""Storage: a log-structured merge tree that knows neither Raft nor HTTP."""

from engine.coding import crc32c
from engine.commitlog import CommitLogReader, CommitLogWriter, read_commit_log
from engine.errors import (
    ClosedError,
    CorruptionError,
    EngineError,
    ForeignDirectoryError,
    InvalidBatchError,
    InvalidKeyError,
    InvalidOptionError,
    InvalidValueError,
    LockedError,
    StallError,
    StorageError,
    StorageFullError,
    WouldBlockError,
)
from engine.files import AppendableFile, DirectoryLock, FileSystem, OsFileSystem, ReadableFile
from engine.options import Options
from engine.record import KEY_BYTES_MAX, VALUE_BYTES_MAX, SequenceNumber, WriteBatch

__all__ = [
    "KEY_BYTES_MAX",
    "VALUE_BYTES_MAX",
    "AppendableFile",
    "ClosedError",
    "CommitLogReader",
    "CommitLogWriter",
    "CorruptionError",
    "DirectoryLock",
    "EngineError",
    "FileSystem",
    "ForeignDirectoryError",
    "InvalidBatchError",
    "InvalidKeyError",
    "InvalidOptionError",
    "InvalidValueError",
    "LockedError",
    "Options",
    "OsFileSystem",
    "ReadableFile",
    "SequenceNumber",
    "StallError",
    "StorageError",
    "StorageFullError",
    "WouldBlockError",
    "WriteBatch",
    "crc32c",
    "read_commit_log",
]
