"""A failing disk, read as far as it goes.

What the disk does not give is taken for zeros, page by page: no checksum matches them, so that
whoever reads on finds damage there, and whole parts behind it.
"""

from engine.errors import StorageError
from engine.files import ReadableFile, ReadableFileSystem

PAGE_BYTES = 4096


class PatientFileSystem:
    """Reads another file system; only files that cannot even be opened are an error."""

    def __init__(self, file_system: ReadableFileSystem) -> None:
        self._file_system = file_system
        self._unreadable: dict[str, list[tuple[int, int, str]]] = {}

    def open_read(self, path: str) -> ReadableFile:
        file = self._file_system.open_read(path)
        return _PatientFile(file, self._file_system.size(path), self._unreadable.setdefault(path, []))

    def exists(self, path: str) -> bool:
        return self._file_system.exists(path)

    def size(self, path: str) -> int:
        return self._file_system.size(path)

    def list_directory(self, path: str) -> list[str]:
        return self._file_system.list_directory(path)

    def refusal(self, path: str, start: int, end: int) -> str | None:
        """Why the disk did not give some of these bytes when they were read; None if it gave them all."""
        refused = self._unreadable.get(path, ())
        return next((reason for first, last, reason in refused if first < end and start < last), None)


class _PatientFile:
    __slots__ = ("_file", "_size", "_unreadable")

    def __init__(self, file: ReadableFile, size: int, unreadable: list[tuple[int, int, str]]) -> None:
        self._file = file
        self._size = size
        self._unreadable = unreadable

    def read(self, offset: int, length: int) -> bytes:
        try:
            return self._file.read(offset, length)
        except StorageError:
            pass
        pieces = []
        end = min(offset + length, self._size)
        while offset < end:
            # Up to the next multiple of a page: what fails is not smaller.
            stop = min((offset // PAGE_BYTES + 1) * PAGE_BYTES, end)
            pieces.append(self._read_page(offset, stop))
            offset = stop
        return b"".join(pieces)

    def _read_page(self, start: int, end: int) -> bytes:
        try:
            return self._file.read(start, end - start)
        except StorageError as error:
            self._unreadable.append((start, end, error.reason))
            return bytes(end - start)

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        return self.read(offset, length)

    def keep(self) -> bool:
        return self._file.keep()

    def close(self) -> None:
        self._file.close()
