"""A disk with bad sectors: some of its bytes can be read, others cannot."""

from engine import MemoryFileSystem, ReadableFile, StorageError


class BadSectors(MemoryFileSystem):
    """Fails every read that touches one of the bytes given for its path."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: dict[str, set[int]] = {}

    def open_read(self, path: str) -> ReadableFile:
        return _Failing(super().open_read(path), path, self.bad.get(path, set()))


class _Failing:
    def __init__(self, file: ReadableFile, path: str, bad: set[int]) -> None:
        self._file = file
        self._path = path
        self._bad = bad

    def read(self, offset: int, length: int) -> bytes:
        if any(offset <= byte < offset + length for byte in self._bad):
            raise StorageError(self._path, 5, "Input/output error")
        return self._file.read(offset, length)

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        return self.read(offset, length)

    def keep(self) -> bool:
        return self._file.keep()

    def close(self) -> None:
        self._file.close()
