"""What becomes of files: a bit of one flips, one goes missing, a tail is lost, there is no room for more."""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path


def files(directory: Path, pattern: str) -> list[Path]:
    """The files that are not empty, the oldest name first; there is one at least."""
    found = sorted(path for path in directory.glob(pattern) if path.stat().st_size)
    assert found, f"{directory} has no {pattern}"
    return found


@contextlib.contextmanager
def flipped(path: Path, rng: random.Random, until: float = 1.0) -> Iterator[int]:
    """One bit of the file is wrong, in the first part of it, as far as `until`; gives the offset of its byte.

    A node that runs may remove the file meanwhile, and the damage with it.
    """
    offset = rng.randrange(max(1, int(path.stat().st_size * until)))
    bit = 1 << rng.randrange(8)
    _flip(path, offset, bit)
    try:
        yield offset
    finally:
        with contextlib.suppress(FileNotFoundError):
            _flip(path, offset, bit)


def _flip(path: Path, offset: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ bit]))


@contextlib.contextmanager
def missing(path: Path) -> Iterator[None]:
    """The file, or the directory, is not there."""
    above = path.parents[1]
    is_near = above.stat().st_dev == path.stat().st_dev
    aside = (above if is_near else path.parent) / f"{path.name}.away"
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


def cut_tail(path: Path, size: int) -> int:
    """Take the last bytes of a file; returns how many they were."""
    before = path.stat().st_size
    after = max(0, before - size)
    os.truncate(path, after)
    return before - after


@contextlib.contextmanager
def swapped(one: Path, other: Path) -> Iterator[None]:
    """Two directories have each other's names."""
    _swap(one, other)
    try:
        yield
    finally:
        _swap(one, other)


def _swap(one: Path, other: Path) -> None:
    aside = one.with_name(f"{one.name}.aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


@contextlib.contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Leaves no room on the file system of `path`, which must be small."""
    assert path.is_mount(), f"{path} is not a file system of its own"
    ballast = path / "ballast"
    try:
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ballast)
