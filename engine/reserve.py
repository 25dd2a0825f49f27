"""Reserve: disk space held back, so that deletes can still be written when there is none left.

A delete has to be logged before it can give space back. When a log finds the disk full the reserve is
given up; from then on only what frees space is written, until there is room to hold it again.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from engine.errors import StorageError, StorageFullError
from engine.files import AppendableFile, FileSystem

_WRITE_BYTES = 256 << 10
_Outcome = TypeVar("_Outcome")


class Reserve:
    """A file that only takes space; the file system must not share or compress it away.

    is_held   whether the space is held back; of no bytes it always is
    """

    def __init__(self, file_system: FileSystem, path: str, byte_size: int) -> None:
        self._file_system = file_system
        self._path = path
        self._byte_size = byte_size
        self.is_held = not byte_size
        # A writer may want the space while a job in the background does.
        self._lock = threading.Lock()

    def hold(self) -> bool:
        """Hold the space, if there is so much; says whether it is held."""
        if self.is_held:
            return True
        with self._lock:
            if not self.is_held:
                try:
                    self._fill()
                    self.is_held = True
                except StorageError:
                    # Whatever is wrong with the disk, whoever needs it will find out.
                    self._remove()
            return self.is_held

    def release(self) -> bool:
        """Give the space up; says whether there was any to give."""
        with self._lock:
            if not self.is_held or not self._byte_size:
                return False
            self.is_held = False
            return self._remove()

    def once_more(self, refused: StorageFullError, act: Callable[[], _Outcome]) -> _Outcome:
        """What a full disk has refused, tried again in the space that was held back.

        Raises: `refused`, if there is no such space; what `act` does, if it still is too little.
        """
        if not self.release():
            raise refused
        return act()

    def _fill(self) -> None:
        is_there = self._file_system.exists(self._path)
        missing = self._byte_size - (self._file_system.size(self._path) if is_there else 0)
        if missing <= 0:
            return
        file: AppendableFile = self._file_system.open_append(self._path)
        try:
            while missing > 0:
                file.write(bytes(min(missing, _WRITE_BYTES)))
                missing -= _WRITE_BYTES
            # Space that is only promised may be gone when it is needed.
            file.sync()
        finally:
            file.close()

    def _remove(self) -> bool:
        try:
            if self._file_system.exists(self._path):
                self._file_system.remove(self._path)
        except StorageError:
            return False
        return True
