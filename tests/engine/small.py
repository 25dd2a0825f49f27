"""Engines so small that a few hundred records fill every level."""

from typing import Any

from engine import Engine, InlineExecutor, MemoryFileSystem, Options, WriteBatch


def batch(*records: tuple[bytes, bytes | None]) -> WriteBatch:
    made = WriteBatch()
    for key, value in records:
        if value is None:
            made.delete(key)
        else:
            made.put(key, value)
    return made


def open_engine(disk: MemoryFileSystem, directory: str = "/db", **options: Any) -> Engine:
    """An engine without threads, on a disk in memory, with small tables."""
    small = {"memtable_bytes_max": 8192, "table_bytes_max": 4096, "level1_bytes_max": 16384, "block_bytes": 256}
    return Engine.open(directory, Options(**{**small, **options}), file_system=disk, executor=InlineExecutor())
