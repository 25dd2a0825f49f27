"""What commands read and write: from any place, compressed or not, whole or not at all."""

import errno
import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import zstandard

from app.cli.files import FileError, Sink, Source, open_sink

TEXT = b"".join(b"%d\n" % number for number in range(50_000))
PACK: dict[str, Any] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def read(path: Path) -> bytes:
    source = Source(str(path))
    try:
        return b"".join(source.chunks())
    finally:
        source.close()


@pytest.mark.parametrize("suffix", PACK)
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    with Sink(str(path)) as sink:
        for start in range(0, len(TEXT), 10_000):
            sink.write(TEXT[start : start + 10_000])
        assert not path.exists()

    assert read(path) == TEXT
    assert path.stat().st_size == len(TEXT) if not suffix else path.stat().st_size < len(TEXT) // 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", PACK)
def test_it_is_read_from_its_beginning_again(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(PACK[suffix](TEXT))
    source = Source(str(path))

    next(source.chunks())
    lines = [line for batch in source.lines(10) for line in batch]

    assert source.is_repeatable and source.position == source.size == path.stat().st_size
    assert lines == TEXT.split()
    source.close()


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_members_one_after_the_other_are_one_file(tmp_path: Path, suffix: str) -> None:
    """As `cat a.gz b.gz` makes it, with the zeros that a tape adds."""
    path = tmp_path / f"file{suffix.upper()}"
    path.write_bytes(PACK[suffix](b"one\n") + PACK[suffix](b"") + PACK[suffix](b"two\n") + bytes(600))

    assert read(path) == b"one\ntwo\n"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_nothing_that_is_cut_off_is_whole(tmp_path: Path, suffix: str) -> None:
    """Wherever it is cut, but between two members."""
    first, second = PACK[suffix](TEXT[:900]), PACK[suffix](TEXT[:100])
    path = tmp_path / f"file{suffix}"
    for length in range(len(first + second)):
        path.write_bytes((first + second)[:length])
        if length != len(first):
            with pytest.raises(FileError, match="cut off"):
                read(path)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_what_is_damaged_is_not_read(tmp_path: Path, suffix: str) -> None:
    packed = bytearray(
        zstandard.ZstdCompressor(write_checksum=True).compress(TEXT) if suffix == ".zst" else gzip.compress(TEXT)
    )
    path = tmp_path / f"file{suffix}"
    for place in (1, len(packed) // 2, len(packed) - 2):
        packed[place] ^= 0xFF
        path.write_bytes(packed)
        packed[place] ^= 0xFF

        with pytest.raises(FileError, match=r"damaged|cut off"):
            read(path)


@pytest.mark.parametrize(("suffix", "kind"), [(".gz", "gzip"), (".zst", "zstd")])
def test_what_is_compressed_and_does_not_say_so_is_refused(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / "file.tsv"
    path.write_bytes(PACK[suffix](TEXT))

    with pytest.raises(FileError, match=f"compressed with {kind}: name it …{suffix}, or unfold it first"):
        read(path)
    value = Source(str(path), unpacks=False)
    assert value.whole(1 << 20) == path.read_bytes(), "of a value the bytes are what is asked for"
    value.close()


@pytest.mark.parametrize("suffix", [".bz2", ".xz", ".zip"])
def test_what_is_compressed_otherwise_says_what_to_type(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ValueError, match=r"\.gz and \.zst are known; give - instead, and pipe: \w+ -"):
        Source(str(tmp_path / f"file{suffix}"))
    with pytest.raises(click.UsageError):
        open_sink(str(tmp_path / f"file{suffix}"), may_replace=True)


def test_a_whole_has_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    source = Source(str(path))

    assert source.whole(5) == b"12345"
    with pytest.raises(FileError, match="is longer than 4 bytes"):
        source.whole(4)
    source.close()


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def write_half() -> None:
        with Sink(str(path), may_replace=True) as sink:
            sink.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()

    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_comes_into_being_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write() -> None:
        with Sink(str(path)) as sink:
            sink.write(b"ours")
            path.write_bytes(b"theirs")

    with pytest.raises(FileError, match="has come into being meanwhile: give --force"):
        write()

    assert path.read_bytes() == b"theirs" and list(tmp_path.iterdir()) == [path]


def test_a_link_leads_where_it_led(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"before")
    (tmp_path / "link").symlink_to("real")

    with pytest.raises(click.UsageError, match="is there already: give --force"):
        open_sink(str(tmp_path / "link"), may_replace=False)
    with open_sink(str(tmp_path / "link"), may_replace=True) as sink:
        sink.write(b"after")

    assert (tmp_path / "real").read_bytes() == b"after" and (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_disk_that_is_full_is_said(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is noticed while it is written or at the end."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / f"file{suffix}"

    with pytest.raises(FileError, match="No space left on device; nothing was left there"), Sink(str(path)) as sink:
        sink.write(TEXT)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["missing/file", "."])
def test_what_cannot_be_written_is_wrong_usage(tmp_path: Path, path: str) -> None:
    with pytest.raises(click.UsageError):
        open_sink(str(tmp_path / path), may_replace=True)


def test_a_closed_stdin_is_one_line() -> None:
    command = f'exec "{sys.executable}" -m app.cli put k <&-'

    found = subprocess.run(["sh", "-c", command], capture_output=True, check=False)

    assert found.returncode == 2
    assert found.stderr.decode().splitlines()[-1].startswith("Error: stdin is closed")
