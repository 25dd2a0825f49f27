r"""Manifest: the log of VersionEdits, and the file that names the one in force.

    CURRENT    := name:"MANIFEST-NNNNNN" " " crc:hex[8] "\n"        CRC32C of the name
    MANIFEST   := commit log of edits                              engine/commitlog.py
    edit       := field*; the first edit begins with `format`
    field      := 0 format:varint                                  2
                | 1 flushed_sequence:varint
                | 2 oldest_log:varint
                | 3 next_number:varint
                | 4 level:varint number:varint byte_size:varint records:varint tombstones:varint
                    expiry_ms:varint smallest:bytes largest:bytes  an added table
                | 5 level:varint number:varint                     a removed one
                | 6 clock_ms:varint

Each edit is synced before anything relies on it, and followed by a mark that says so: a damaged edit
is told from one that a crash tore. A torn last edit never counted and is cut off; any other damage is
a CorruptionError. A new manifest is complete and synced before CURRENT is renamed over the old one.

An edit at the end without its mark may be read after a crash of the process and still be forgotten by the
machine, even if it is synced again where the first sync failed. Such a manifest is written anew.
"""

from collections.abc import Iterator

from engine.coding import DecodeError, Decoder, crc32c, encode_bytes, encode_varint
from engine.commitlog import HEADER_BYTES, CommitLogReader, CommitLogWriter, Frame, Gap, put_on_disk
from engine.errors import CorruptionError, StorageError, uncertain
from engine.files import CURRENT, TEMPORARY_SUFFIX, FileSystem, ReadableFileSystem, join, manifest_name, parse_name
from engine.record import SequenceNumber
from engine.version import LEVELS, InvalidEditError, Table, Version, VersionEdit

FORMAT = 2
_FORMAT, _FLUSHED_SEQUENCE, _OLDEST_LOG, _NEXT_NUMBER, _ADDED, _REMOVED, _CLOCK = range(7)
_FORMAT_FIELD = encode_varint(_FORMAT) + encode_varint(FORMAT)


def encode_edit(edit: VersionEdit) -> bytes:
    """The fields of an edit, without `format`."""
    parts: list[bytes] = []
    for tag, number in (
        (_FLUSHED_SEQUENCE, edit.flushed_sequence),
        (_OLDEST_LOG, edit.oldest_log),
        (_NEXT_NUMBER, edit.next_number),
        (_CLOCK, edit.clock_ms),
    ):
        if number is not None:
            parts += map(encode_varint, (tag, number))
    for level, t in edit.added:
        parts += map(encode_varint, (_ADDED, level, t.number, t.byte_size, t.records, t.tombstones, t.expiry_ms))
        parts += map(encode_bytes, (t.smallest, t.largest))
    for level, table in edit.removed:
        parts += map(encode_varint, (_REMOVED, level, table))
    return b"".join(parts)


def decode_edit(data: bytes) -> VersionEdit:
    """The reverse, after an optional `format`. Raises: DecodeError."""
    decoder = Decoder(data)
    numbers: dict[int, int] = {}
    added: list[tuple[int, Table]] = []
    removed: list[tuple[int, int]] = []
    while not decoder.is_done:
        tag = decoder.varint()
        if tag == _FORMAT:
            if decoder.varint() != FORMAT:
                raise DecodeError("the format is not known here")
        elif tag in {_FLUSHED_SEQUENCE, _OLDEST_LOG, _NEXT_NUMBER, _CLOCK}:
            numbers[tag] = decoder.varint()
        elif tag == _ADDED:
            level, number, size, records, tombstones, expiry_ms = [decoder.varint() for _ in range(6)]
            keys = decoder.bytes(), decoder.bytes()
            added.append((_level(level), Table(number, size, *keys, records, tombstones, expiry_ms)))
        elif tag == _REMOVED:
            removed.append((_level(decoder.varint()), decoder.varint()))
        else:
            raise DecodeError(f"the field {tag} is not known here")
    sequence = numbers.get(_FLUSHED_SEQUENCE)
    return VersionEdit(
        tuple(added),
        tuple(removed),
        None if sequence is None else SequenceNumber(sequence),
        numbers.get(_OLDEST_LOG),
        numbers.get(_NEXT_NUMBER),
        numbers.get(_CLOCK),
    )


def _level(number: int) -> int:
    if number >= LEVELS:
        raise DecodeError(f"there is no level {number}")
    return number


class ManifestWriter:
    """Appends to the manifest in force, or replaces it."""

    def __init__(self, file_system: FileSystem, directory: str, number: int) -> None:
        """Continue a manifest that was read to its end."""
        self.number = number
        self._log = CommitLogWriter(file_system, join(directory, manifest_name(number)))

    @classmethod
    def create(cls, file_system: FileSystem, directory: str, number: int, version: Version) -> "ManifestWriter":
        """Begin a manifest with a whole Version, and put it in force."""
        writer = cls(file_system, directory, number)
        try:
            writer.append(version.as_edit())
            _point_to(file_system, directory, manifest_name(number))
        except BaseException:
            writer.close()
            raise
        return writer

    @property
    def byte_size(self) -> int:
        return self._log.position

    def append(self, edit: VersionEdit) -> None:
        """Return once the edit is on disk."""
        prefix = b"" if self._log.position else _FORMAT_FIELD
        self._log.append(prefix + encode_edit(edit))
        self._log.write_out()
        self._log.sync()
        self._log.mark()

    def close(self) -> None:
        # Nothing is left to sync but a mark. It may be torn, but if a sync of it failed nobody would know.
        self._log.release()


def _point_to(file_system: FileSystem, directory: str, name: str) -> None:
    temporary = join(directory, CURRENT + TEMPORARY_SUFFIX)
    if file_system.exists(temporary):
        file_system.remove(temporary)
    file = file_system.open_append(temporary)
    try:
        file.write(f"{name} {crc32c(name.encode()):08x}\n".encode())
        # Synced before the rename: a name that points to an empty file would be worse than none.
        file.sync()
    finally:
        file.close()
    file_system.rename(temporary, join(directory, CURRENT))
    try:
        file_system.sync_directory(directory)
    except StorageError as error:
        # The new manifest is in force already, or will not be after a crash.
        raise uncertain(error) from error


class ManifestReader:
    """Reads the manifest in force.

    number    of the manifest
    version   what its edits add up to
    damage    None, or the CorruptionError that ends it early
    is_torn   whether that is a last edit which never counted; else the store is not to be opened
    is_known  whether every edit is known to be on disk
    """

    def __init__(self, file_system: FileSystem, directory: str, current: str = CURRENT) -> None:
        """Raises: CorruptionError."""
        self._file_system = file_system
        name = read_current(file_system, join(directory, current))
        self.path = join(directory, name)
        parsed = parse_name(name)
        assert parsed is not None, "_read_current has checked the name"
        self.number = parsed[1]
        if not file_system.exists(self.path):
            raise CorruptionError(self.path, 0, "the manifest is missing")
        self.version = Version()
        log = CommitLogReader(file_system, self.path)
        try:
            self._read(log)
        finally:
            log.close()
        self._log = log

    def _read(self, log: CommitLogReader) -> None:
        at = edits = 0
        try:
            for payload in log:
                if not edits and not payload.startswith(_FORMAT_FIELD):
                    raise DecodeError("it does not begin with a known format")
                self.version = self.version.apply(decode_edit(payload))
                at = log.end
                edits += 1
        except (DecodeError, InvalidEditError) as error:
            raise CorruptionError(self.path, at, str(error)) from error
        if not edits:
            # The first edit was synced before CURRENT named this file.
            raise log.damage or CorruptionError(self.path, 0, "the manifest is empty")
        self.damage = log.damage
        self.is_torn = log.is_torn
        self.is_known = log.damage is None and log.is_marked

    def check(self) -> None:
        """Raises: CorruptionError, if more is wrong than a torn last edit."""
        if self.damage is not None and not self.is_torn:
            raise self.damage

    def cut(self) -> None:
        """Remove a torn last edit from the file and put the others on disk, so that another can follow.

        Raises: CorruptionError.
        """
        self.check()
        file = self._file_system.open_append(self.path)
        try:
            file.truncate(self._log.end)
            file.sync()
        finally:
            file.close()
        put_on_disk(self._file_system, self.path, self._log)


def is_first_edit(frame: bytes) -> bool:
    """Whether a frame begins as the first of a manifest does."""
    return frame[HEADER_BYTES:].startswith(_FORMAT_FIELD)


def read_edits(file_system: ReadableFileSystem, path: str) -> Iterator[tuple[Frame, VersionEdit | None] | Gap]:
    """Every edit of a manifest that is whole, a mark as None, and where there is none. Raises: StorageError."""
    log = CommitLogReader(file_system, path)
    try:
        for part in log.parts():
            if isinstance(part, Gap) or not part.payload:
                yield part if isinstance(part, Gap) else (part, None)
                continue
            try:
                if not part.start and not part.payload.startswith(_FORMAT_FIELD):
                    raise DecodeError("it does not begin with a known format")
                yield part, decode_edit(part.payload)
            except DecodeError as error:
                yield Gap(part.start, part.end, str(error), False)
    finally:
        log.close()


def read_current(file_system: ReadableFileSystem, path: str) -> str:
    """The name of the manifest in force. Raises: CorruptionError, StorageError."""
    file = file_system.open_read(path)
    try:
        content = file.read(0, 256)
    finally:
        file.close()
    name, _, checksum = content.partition(b" ")
    if f"{crc32c(name):08x}\n".encode() != checksum:
        raise CorruptionError(path, 0, "its checksum does not match")
    parsed = parse_name(name.decode("ascii", "replace"))
    if parsed is None or manifest_name(parsed[1]).encode() != name:
        raise CorruptionError(path, 0, "it does not name a manifest")
    return name.decode()
