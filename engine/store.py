"""The tables of a directory, and the manifest that says which of its files count.

Opening reads the manifest and no table: a table is read where it is used. Leftovers of a crash,
files that the manifest in force does not speak of, are removed.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from weakref import ref

from engine.cache import BlockCache
from engine.errors import CorruptionError, ForeignDirectoryError, StorageFullError
from engine.files import (
    CURRENT,
    LOCK,
    LOG,
    MANIFEST,
    TABLE,
    TEMPORARY_SUFFIX,
    FileSystem,
    is_unfinished,
    join,
    manifest_name,
    parse_name,
    remove_needless,
    table_name,
)
from engine.jobs import Workshop, discard
from engine.manifest import ManifestReader, ManifestWriter
from engine.options import Options
from engine.record import SequenceNumber
from engine.sstable import SSTableReader
from engine.version import Version, VersionEdit
from engine.view import Levels


class Store:
    """The durable half of an engine, but for what is in the logs.

    tables    the Version in force and its tables, open, by number: one pair, replaced whole, as other threads read it

    Invariant: a table's file is removed only once a manifest without it is on disk, never while a
    checkpoint links it, and not before whoever still reads it can do so without its name.
    """

    def __init__(
        self,
        file_system: FileSystem,
        directory: str,
        cache: BlockCache,
        manifest_bytes_max: int,
        *,
        read_only: bool = False,
    ) -> None:
        """With `read_only` nothing is changed, and nothing may be installed.

        Raises: LockedError, ForeignDirectoryError, CorruptionError, StorageError.
        """
        self._file_system = file_system
        self._directory = directory
        self._cache = cache
        self._manifest_bytes_max = manifest_bytes_max
        self._number_lock = threading.Lock()
        # Held while the manifest is written, by one job at a time; readers and writers never wait for it.
        self._mutex = threading.Lock()
        # Tables that are needless, but for readers who have no descriptor of theirs; the next open removes the rest.
        self._replaced: dict[int, ref[SSTableReader]] = {}
        self._read_only = read_only
        if not read_only:
            file_system.create_directory(directory)
        check_directory(file_system, directory)
        self._directory_lock = file_system.lock(join(directory, LOCK), shared=read_only)
        try:
            self._open()
        except BaseException:
            self._directory_lock.close()
            raise

    def _open(self) -> None:
        names = self._file_system.list_directory(self._directory)
        manifest = ManifestReader(self._file_system, self._directory) if CURRENT in names else None
        if manifest:
            manifest.check()
        version = manifest.version if manifest else Version()
        readers = {
            table.number: SSTableReader(
                self._file_system, join(self._directory, table_name(table.number)), table, self._cache
            )
            for table in version.tables()
        }
        self.tables: tuple[Version, Mapping[int, SSTableReader]] = version, readers
        if self._read_only:
            if manifest is None:
                raise ForeignDirectoryError(self._directory, "there is no store to be read")
            self._next_number = version.next_number
            return
        used = [parsed[1] for parsed in map(parse_name, names) if parsed]
        self._next_number = max([self.version.next_number, *[number + 1 for number in used]])
        if manifest:
            self._manifest = self._continue(manifest)
        else:
            number = self.next_number()
            self._manifest = ManifestWriter.create(self._file_system, self._directory, number, self.version)
        try:
            # Last: only a store that is whole, on disk as in memory, knows what it does not need.
            self._remove_leftovers()
        except BaseException:
            self._manifest.close()
            raise

    @property
    def version(self) -> Version:
        """The Version in force."""
        return self.tables[0]

    def _continue(self, manifest: ManifestReader) -> ManifestWriter:
        if manifest.is_known:
            # Its name in CURRENT need not be known to be on disk.
            self._file_system.sync_directory(self._directory)
        else:
            number = self.next_number()
            try:
                return ManifestWriter.create(self._file_system, self._directory, number, self.version)
            except StorageFullError:
                # A full disk is to be readable all the same.
                discard(self._file_system, join(self._directory, manifest_name(number)))
                manifest.cut()
        return ManifestWriter(self._file_system, self._directory, manifest.number)

    def _remove_leftovers(self) -> None:
        version, readers = self.tables
        oldest_log = version.oldest_log
        for name in self._file_system.list_directory(self._directory):
            kind, number = parse_name(name) or ("", 0)
            if (
                name == CURRENT + TEMPORARY_SUFFIX
                or is_unfinished(name)
                or (kind == TABLE and number not in readers)
                or (kind == MANIFEST and number != self._manifest.number)
                or (kind == LOG and (not oldest_log or number < oldest_log))
            ):
                remove_needless(self._file_system, join(self._directory, name))

    def next_number(self) -> int:
        """A number for a new file."""
        with self._number_lock:
            number = self._next_number
            self._next_number += 1
        return number

    def workshop(self, options: Options, check: Callable[[], None], pace: Callable[[int], object]) -> Workshop:
        """What jobs need to make tables for this store."""
        return Workshop(self._file_system, self._directory, options, self._cache, self.next_number, check, pace=pace)

    def install(
        self, edit: VersionEdit, added: Iterable[SSTableReader] = (), publish: Callable[[Levels], None] | None = None
    ) -> None:
        """Make an edit durable, show its outcome to readers, and remove the files it makes needless.

        Raises: StorageFullError, with nothing changed; another StorageError, with the manifest
        closed to writes.
        """
        with self._mutex:
            edit = replace(edit, next_number=self._next_number)
            before, readers = self.tables
            version = before.apply(edit)
            self._manifest.append(edit)
            known = {**readers, **{reader.table.number: reader for reader in added}}
            kept = {table.number: known[table.number] for table in version.tables()}
            self.tables = version, kept
            if publish:
                publish(Levels(version, kept))
            self._replaced |= {number: ref(reader) for number, reader in known.items() if number not in kept}
            # Whoever is left now reads: a snapshot, a scan, a get in another thread.
            del before, readers, known, added
            self._remove_replaced()
            if self._manifest.byte_size > self._manifest_bytes_max:
                self._renew_manifest()

    def _remove_replaced(self) -> None:
        for number, reference in list(self._replaced.items()):
            reader = reference()
            if reader is None or reader.keep():
                del self._replaced[number]
                remove_needless(self._file_system, join(self._directory, table_name(number)))

    def _renew_manifest(self) -> None:
        number = self.next_number()
        try:
            renewed = ManifestWriter.create(self._file_system, self._directory, number, self.version)
        except StorageFullError:
            # The one in force still is; the next install tries again.
            discard(self._file_system, join(self._directory, manifest_name(number)))
            return
        old, self._manifest = self._manifest, renewed
        old.close()
        remove_needless(self._file_system, join(self._directory, manifest_name(old.number)))

    def checkpoint(self, directory: str) -> SequenceNumber:
        """Link every table into a new directory, which then opens as an engine.

        Cost: one link per table, no data is copied. Raises: ForeignDirectoryError, if it is not empty.
        """
        file_system, directory = self._file_system.hold(directory)
        try:
            if file_system.list_directory(directory):
                raise ForeignDirectoryError(directory, "a checkpoint needs an empty directory")
            with self._mutex:
                version = replace(self.version, oldest_log=0, next_number=self._next_number + 1)
                try:
                    for table in version.tables():
                        name = table_name(table.number)
                        file_system.link(join(self._directory, name), join(directory, name))
                    ManifestWriter.create(file_system, directory, self._next_number, version).close()
                except BaseException:
                    for name in file_system.list_directory(directory):
                        discard(file_system, join(directory, name))
                    raise
        finally:
            file_system.release()
        return version.flushed_sequence

    def close(self) -> None:
        """Close every file, but for tables that somebody still reads: these stay open as long as there is room."""
        version, readers = self.tables
        left = [ref(reader) for reader in readers.values()] + list(self._replaced.values())
        self.tables = version, {}
        del readers
        for reference in left:
            reader = reference()
            if reader is not None:
                reader.keep()
        try:
            if not self._read_only:
                self._manifest.close()
        finally:
            self._directory_lock.close()


def check_directory(file_system: FileSystem, directory: str) -> None:
    """Refuse a directory that holds something, but no store.

    Raises: ForeignDirectoryError; CorruptionError, if only CURRENT is missing.
    """
    names = file_system.list_directory(directory)
    if CURRENT in names:
        return
    for name in names:
        kind = (parse_name(name) or ("", 0))[0]
        if kind in {TABLE, LOG}:
            raise CorruptionError(join(directory, CURRENT), 0, f"it is missing, but {name} is there")
        # These a crash while the store was made leaves behind.
        if kind != MANIFEST and name not in {LOCK, CURRENT + TEMPORARY_SUFFIX}:
            raise ForeignDirectoryError(directory, f"not a store: it holds {name}")
