"""Every error the engine raises."""


class EngineError(Exception):
    """Base of every error this package raises."""


class InvalidKeyError(EngineError):
    """The key is not bytes, is empty, or is longer than a key may be."""


class InvalidValueError(EngineError):
    """The value is not bytes, or is longer than a value may be."""


class InvalidBatchError(EngineError):
    """The batch is too large for one frame, or its sequence is missing, unwanted or falling."""


class InvalidLimitError(EngineError):
    """The limit of a scan is not an int, or is negative."""


class InvalidOptionError(EngineError):
    """An option is outside its bounds."""


class LockedError(EngineError):
    """Somebody else has the directory open."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is in use by another process, or opened twice by this one")
        self.path = path


class ForeignDirectoryError(EngineError):
    """The directory holds something, but not a store this engine can open."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class UnknownFileError(EngineError):
    """The file is none of those a store has."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is no SSTable, log, manifest or CURRENT of a store")
        self.path = path


class ClosedError(EngineError):
    """The engine, or the file, was closed, or belongs to the process that this one was forked from."""


class ReadOnlyError(EngineError):
    """The store was opened to be read only."""


class NestedCallError(EngineError):
    """The engine was called by what it takes pairs from, and waits for that itself; call it before or after."""


class CorruptionError(EngineError):
    """What was read is not what was written."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path} is damaged at byte {offset}: {reason}")
        self.path = path
        self.offset = offset
        self.reason = reason


class StallError(EngineError):
    """Flush or compaction is too far behind to take another write; nothing was written."""


class WouldBlockError(EngineError):
    """The answer is not in memory, and the caller asked not to wait for the disk."""


class StorageError(EngineError):
    """The file system failed; `number` is its errno."""

    def __init__(self, path: str, number: int, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.number = number
        self.reason = reason


class StorageFullError(StorageError):
    """No space, or no file descriptor, is left for what had to be done; it was not, and may be tried again."""


def is_damage(error: BaseException) -> bool:
    """Whether the disk no longer gives what was written to it. A full one, or a closed engine, is something else."""
    return isinstance(error, CorruptionError | StorageError) and not isinstance(error, StorageFullError)


def uncertain(error: StorageError) -> StorageError:
    """The same failure where a part may be on disk all the same: also a full disk is final then."""
    return StorageError(error.path, error.number, error.reason)


def refusal(cause: EngineError) -> EngineError:
    """The error of the same kind for a write that is refused because of an earlier `cause`."""
    if isinstance(cause, StorageError):
        return type(cause)(cause.path, cause.number, f"closed to writes: {cause.reason}")
    if isinstance(cause, CorruptionError):
        return CorruptionError(cause.path, cause.offset, f"closed to writes: {cause.reason}")
    if isinstance(cause, ClosedError | ReadOnlyError):
        return type(cause)(str(cause))
    return EngineError(f"closed to writes: {cause}")
