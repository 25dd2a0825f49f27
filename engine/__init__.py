"""Storage: a log-structured merge tree that knows neither Raft nor HTTP."""

from engine.cache import BlockCache
from engine.coding import crc32c
from engine.commitlog import CommitLogReader, CommitLogWriter, Frame, Gap, read_commit_log, read_left
from engine.engine import Engine
from engine.errors import (
    ClosedError,
    CorruptionError,
    EngineError,
    ForeignDirectoryError,
    InvalidBatchError,
    InvalidKeyError,
    InvalidLimitError,
    InvalidOptionError,
    InvalidValueError,
    LockedError,
    NestedCallError,
    ReadOnlyError,
    StallError,
    StorageError,
    StorageFullError,
    UnknownFileError,
    WouldBlockError,
    is_damage,
)
from engine.files import CURRENT, AppendableFile, DirectoryLock, FileSystem, OsFileSystem, ReadableFile, Space, is_data
from engine.headroom import is_enough
from engine.inline import InlineExecutor
from engine.inspect import inspect_file
from engine.memory_files import Fault, MemoryFileSystem, PowerLostError
from engine.options import Options
from engine.record import KEY_BYTES_MAX, VALUE_BYTES_MAX, SequenceNumber, WriteBatch
from engine.remains import Loss
from engine.repair import Repair, repair_engine
from engine.reserve import Reserve
from engine.snapshot import Snapshot
from engine.stats import BlockCacheStats, CacheStats, LevelStats, LookupStats, Stats
from engine.verify import stored_sequence, verify_checkpoint, verify_engine

__all__ = [
    "CURRENT",
    "KEY_BYTES_MAX",
    "VALUE_BYTES_MAX",
    "AppendableFile",
    "BlockCache",
    "BlockCacheStats",
    "CacheStats",
    "ClosedError",
    "CommitLogReader",
    "CommitLogWriter",
    "CorruptionError",
    "DirectoryLock",
    "Engine",
    "EngineError",
    "Fault",
    "FileSystem",
    "ForeignDirectoryError",
    "Frame",
    "Gap",
    "InlineExecutor",
    "InvalidBatchError",
    "InvalidKeyError",
    "InvalidLimitError",
    "InvalidOptionError",
    "InvalidValueError",
    "LevelStats",
    "LockedError",
    "LookupStats",
    "Loss",
    "MemoryFileSystem",
    "NestedCallError",
    "Options",
    "OsFileSystem",
    "PowerLostError",
    "ReadOnlyError",
    "ReadableFile",
    "Repair",
    "Reserve",
    "SequenceNumber",
    "Snapshot",
    "Space",
    "StallError",
    "Stats",
    "StorageError",
    "StorageFullError",
    "UnknownFileError",
    "WouldBlockError",
    "WriteBatch",
    "crc32c",
    "inspect_file",
    "is_damage",
    "is_data",
    "is_enough",
    "read_commit_log",
    "read_left",
    "repair_engine",
    "stored_sequence",
    "verify_checkpoint",
    "verify_engine",
]
