"""Small files that are replaced whole: after a crash there is the old content or the new."""

from engine import FileSystem


def write_durably(file_system: FileSystem, directory: str, name: str, data: bytes) -> None:
    """Put `data` in the place of a file's content; on disk when this returns. Raises: StorageError."""
    temporary = f"{directory}/{name}.tmp"
    if file_system.exists(temporary):
        file_system.remove(temporary)
    file = file_system.open_append(temporary)
    try:
        file.write(data)
        file.sync()
    finally:
        file.close()
    file_system.rename(temporary, f"{directory}/{name}")
    file_system.sync_directory(directory)


def read_whole(file_system: FileSystem, path: str) -> bytes:
    """Raises: StorageError."""
    reader = file_system.open_read(path)
    try:
        return reader.read(0, file_system.size(path))
    finally:
        reader.close()
