"""Files: what commands read and write. `-` is stdin or stdout; what is called .gz or .zst is compressed.

A Source gives bytes, lines or its whole, always from its beginning. What is damaged or cut off is an error, never a
shorter file.

A Sink becomes the file that it is called after only when it is whole: until then it has another name, and if anything
goes wrong it is removed. A file that is there already is not replaced unless it may be.
"""

import errno
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

import click

from app.cli.output import mute_stdout, output_reason
from app.lines import LineReader

CHUNK_BYTES = 1 << 16
# A piece of zstd this short unfolds to some hundred megabytes at the most, whatever it is.
_PACKED_BYTES = 1 << 12
_OTHER_SUFFIXES = {".bz2": "bzip2 -dc", ".xz": "xz -dc", ".lz4": "lz4 -dc", ".br": "brotli -dc", ".zip": "unzip -p"}
_MAGIC = {b"\x1f\x8b\x08": ("gzip", ".gz"), b"\x28\xb5\x2f\xfd": ("zstd", ".zst")}


class FileError(click.ClickException):
    """A file cannot be read or written; the text says which, and why, in one line."""


class Unpacker(Protocol):
    """What undoes the compression of one member of a file; both libraries have it so."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    @property
    def unused_data(self) -> bytes:
        """What came behind its end."""

    def decompress(self, data: bytes, /) -> bytes:
        """What these bytes unfold to."""


class Packer(Protocol):
    """What compresses."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to compress.

    kind      its name, and that of the command that undoes it
    failure   what its unpackers raise
    """

    kind: str
    unpacker: Callable[[], Unpacker]
    packer: Callable[[], Packer]
    failure: type[Exception]


def codec_of(path: str) -> Codec | None:
    """How what is called so is compressed. Raises: ValueError, if it is in a way that is not spoken here."""
    suffix = Path(path).suffix.lower()
    if suffix in _OTHER_SUFFIXES:
        command = f"{_OTHER_SUFFIXES[suffix]} {path}"
        raise ValueError(f"{path}: of compressed files .gz and .zst are known; give - instead, and pipe: {command} | …")
    if suffix == ".gz":
        bits = 16 + zlib.MAX_WBITS
        return Codec("gzip", lambda: zlib.decompressobj(bits), lambda: zlib.compressobj(wbits=bits), zlib.error)
    if suffix == ".zst":
        import zstandard

        return Codec(
            "zstd",
            lambda: zstandard.ZstdDecompressor().decompressobj(),
            lambda: zstandard.ZstdCompressor(write_checksum=True).compressobj(),
            zstandard.ZstdError,
        )
    return None


class Source:
    """Something to read. Raises, while it is read: FileError.

    path    as it was given
    name    as messages say it
    size    in bytes, as they are stored; 0 where nobody knows
    """

    def __init__(self, path: str, *, unpacks: bool = True) -> None:
        """Without `unpacks`, whatever it is called, its bytes are what is asked for.

        Raises: OSError, ValueError: it cannot be opened, or there is no way to read it.
        """
        self.path = path
        self.name = "stdin" if path == "-" else path
        self._codec = codec_of(path) if unpacks and path != "-" else None
        self._file = _stdin() if path == "-" else Path(path).open("rb", buffering=0)  # noqa: SIM115  # a Source closes it
        self.size, self._is_file = _size_of(self._file)
        self._unpacks = unpacks
        self._position = 0
        self._is_used = False

    @property
    def position(self) -> int:
        """How many bytes were read, as they are stored."""
        return self._position

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be read again."""
        return self._is_file

    def close(self) -> None:
        if self.name != "stdin":
            self._file.close()

    def chunks(self) -> Iterator[bytes]:
        """Its bytes from the beginning, piece by piece as they come."""
        assert self._is_file or not self._is_used, f"{self.name} can be read once"
        if self._is_used:
            self._file.seek(0)
        self._is_used, self._position = True, 0
        return self._stored() if self._codec is None else self._unpacked(self._codec)

    def lines(self, bytes_max: int) -> Iterator[list[bytes | None]]:
        """Its lines without their ends, as many at a time as have come; None is one of more than `bytes_max`."""
        reader = LineReader(bytes_max)
        for chunk in self.chunks():
            yield reader.feed(chunk)
        yield reader.end()

    def whole(self, bytes_max: int) -> bytes:
        """All of it. Raises: FileError, also where it is longer."""
        pieces, size = [], 0
        for chunk in self.chunks():
            pieces.append(chunk)
            size += len(chunk)
            if size > bytes_max:
                raise FileError(f"{self.name} is longer than {bytes_max} bytes")
        return b"".join(pieces)

    def _stored(self) -> Iterator[bytes]:
        """The bytes as they are stored."""
        size = _PACKED_BYTES if self._codec else CHUNK_BYTES
        while True:
            try:
                data = self._file.read(size)
            except OSError as error:
                raise FileError(f"cannot read {self.name}: {error.strerror or error}") from error
            if not data:
                return
            if self._unpacks and self._codec is None and not self._position:
                self._refuse_packed(data)
            self._position += len(data)
            yield data

    def _unpacked(self, codec: Codec) -> Iterator[bytes]:
        """What is stored may be several members, one after the other."""
        unpacker: Unpacker | None = None
        for data in self._stored():
            rest = data
            while rest:
                unpacker = unpacker or codec.unpacker()
                try:
                    found = unpacker.decompress(rest)
                except codec.failure as error:
                    raise FileError(
                        f"{self.name} is damaged, or no {codec.kind}, near byte {self._position}: {error}"
                    ) from error
                if found:
                    yield found
                rest = b""
                if unpacker.eof:
                    rest, unpacker = unpacker.unused_data, None
                    # Tapes are filled up with zeros.
                    rest = rest if rest.strip(b"\x00") else b""
        if unpacker is not None or not self._position:
            raise FileError(f"{self.name} is cut off: its {codec.kind} has no end")

    def _refuse_packed(self, data: bytes) -> None:
        for magic, (kind, suffix) in _MAGIC.items():
            if data.startswith(magic):
                how = f"{kind} -dc {self.name} | ringkv … -" if self.name != "stdin" else f"{kind} -dc | ringkv … -"
                raise FileError(f"{self.name} is compressed with {kind}: name it …{suffix}, or unfold it first: {how}")


class Sink:
    """Something to write: a context manager, whose end is the moment when the file is there. Raises: FileError.

    name    as messages say it
    size    how many bytes were written, before they were compressed
    """

    def __init__(self, path: str, *, may_replace: bool = False) -> None:
        """Raises: OSError, FileExistsError among them; ValueError."""
        self.name = "stdout" if path == "-" else path
        self.size = 0
        self._may_replace = may_replace
        self._target: Path | None = None
        self._partial: Path | None = None
        codec = codec_of(path) if path != "-" else None
        self._packer = codec.packer() if codec is not None else None
        self._file: IO[bytes] | Any = self._open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as failure:
            raise self._failed(failure) from failure
        finally:
            self._abandon()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        try:
            self._file.write(data if self._packer is None else self._packer.compress(data))
        except OSError as error:
            raise self._failed(error) from error

    def _open(self, path: str) -> Any:
        if path == "-":
            return sys.stdout.buffer
        target = Path(path).resolve()  # of a link, what it leads to
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            return target.open("wb")  # a device or a pipe is no file to be replaced
        if mode is not None and not self._may_replace:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        self._target, self._partial = target, target.with_name(f".{target.name}.{os.getpid()}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = os.open(self._partial, flags, 0o666 if mode is None else stat.S_IMODE(mode))
        return os.fdopen(descriptor, "wb")

    def _finish(self) -> None:
        if self._packer is not None:
            self._file.write(self._packer.flush())
        self._file.flush()
        if self._target is None or self._partial is None:
            return
        os.fsync(self._file.fileno())  # before it has its name: what is called so is whole, even after a power failure
        if self._may_replace:
            self._partial.replace(self._target)
        else:
            _rename_to_new(self._partial, self._target)
        self._partial = None
        _sync_directory(self._target.parent)

    def _abandon(self) -> None:
        if self.name == "stdout":
            return
        try:
            self._file.close()
        except OSError:
            pass  # it failed before, and that was said
        if self._partial is not None:
            self._partial.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> FileError:
        if self.name == "stdout":
            mute_stdout()
        if isinstance(error, FileExistsError):
            return FileError(f"{self.name} has come into being meanwhile: give --force to replace it, or another name")
        left = "; nothing was left there" if self._partial is not None else ""
        return FileError(f"cannot write {self.name}: {output_reason(error)}{left}")


class SourceType(click.ParamType[Source]):
    """A file to read."""

    name = "file"

    def __init__(self, *, unpacks: bool = True) -> None:
        self._unpacks = unpacks

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Source):
            return value
        try:
            source = Source(value, unpacks=self._unpacks)
        except OSError as error:
            self.fail(f"{value!r}: {error.strerror or error}", param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if ctx is not None:
            ctx.call_on_close(source.close)
        return source


def open_sink(path: str, *, may_replace: bool) -> Sink:
    """A file to write; one that cannot be is wrong usage. Raises: UsageError."""
    try:
        return Sink(path, may_replace=may_replace)
    except FileExistsError as error:
        raise click.UsageError(f"{path} is there already: give --force to replace it, or another name") from error
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _stdin() -> Any:
    """Without a buffer, if it can be: a thread that waits for it must not keep a lock when the process ends."""
    if sys.stdin is None:
        raise ValueError("stdin is closed, so it cannot be read")
    stream = sys.stdin.buffer
    try:
        return open(stream.fileno(), "rb", buffering=0, closefd=False)  # a descriptor; it stays open
    except (OSError, ValueError):
        return stream


def _size_of(file: Any) -> tuple[int, bool]:
    """Its size, and whether it is an ordinary file, at its beginning."""
    try:
        status = os.fstat(file.fileno())
        is_file = stat.S_ISREG(status.st_mode) and file.tell() == 0
    except (OSError, ValueError):
        return 0, False
    return (status.st_size, True) if is_file else (0, False)


def _rename_to_new(old: Path, new: Path) -> None:
    """Raises: FileExistsError, where a renaming would take the place of another file."""
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:  # not every file system has links
        if new.exists():
            raise FileExistsError(errno.EEXIST, "File exists", str(new)) from None
        old.replace(new)
    else:
        old.unlink()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
