"""Prints any file of a store for a human: SSTable, commit log, manifest, CURRENT.

What a file is, its first and last bytes tell, or if these are damaged its name. Damaged files are
printed as far as they are whole.
"""

from collections.abc import Iterator

from engine.commitlog import is_frame
from engine.errors import CorruptionError, UnknownFileError
from engine.files import (
    CURRENT,
    LOG,
    MANIFEST,
    TABLE,
    FileSystem,
    OsFileSystem,
    ReadableFileSystem,
    is_unfinished,
    parse_name,
)
from engine.footer import FOOTER_BYTES, is_footer
from engine.inspect_log import Describe, inspect_log, inspect_manifest
from engine.inspect_table import inspect_table
from engine.listing import Wish
from engine.manifest import is_first_edit, read_current
from engine.patient import PatientFileSystem

_HEAD_BYTES = 64


def inspect_file(
    path: str,
    *,
    keys: bool = False,
    values: bool = False,
    limit: int | None = None,
    describe: Describe = lambda _: None,
    file_system: FileSystem | None = None,
) -> Iterator[str]:
    """What is in a file, line by line; it is not changed.

    keys       print each key, too
    values     and what is under it, unless it is long: then how it begins
    limit      how many lines of each list to print, None for all
    describe   tells of frames of a log that are not an engine's: lines, or None if they are something else

    Cost: reads all of it once; memory for an index, a filter and a block or frame.
    Raises: UnknownFileError; StorageError, if it cannot be opened.
    """
    disk = file_system or OsFileSystem()
    wish = Wish(keys or values, values, limit)
    kind = _kind(PatientFileSystem(disk), path)
    if kind == CURRENT:
        return _inspect_current(disk, path)
    if kind == TABLE:
        return inspect_table(disk, path, wish)
    if kind == MANIFEST:
        return inspect_manifest(disk, path, wish)
    return inspect_log(disk, path, wish, describe)


def _kind(disk: ReadableFileSystem, path: str) -> str:
    name = path.rpartition("/")[2]
    file = disk.open_read(path)
    try:
        head = file.read(0, _HEAD_BYTES)
        foot = file.read(max(disk.size(path) - FOOTER_BYTES, 0), FOOTER_BYTES)
    finally:
        file.close()
    if is_frame(head):
        return MANIFEST if is_first_edit(head) or name.startswith(MANIFEST) else LOG
    if is_footer(foot) or is_unfinished(name):
        return TABLE
    if name == CURRENT:
        return CURRENT
    parsed = parse_name(name)
    if parsed is None:
        raise UnknownFileError(path)
    return parsed[0]


def _inspect_current(disk: ReadableFileSystem, path: str) -> Iterator[str]:
    try:
        yield f"{path}: CURRENT, names {read_current(disk, path)}"
    except CorruptionError as error:
        yield f"{path}: CURRENT, damaged: {error.reason}"
