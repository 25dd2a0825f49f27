"""Progress is for whoever looks at a terminal, and in nobody's way."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftgroups import Item
from tests.app.running import Running, running

RINGKV = [sys.executable, "-m", "app.cli"]


@pytest.fixture
def gateway() -> Iterator[Running]:
    with running() as started:
        started.fake.names_doors = False
        started.fake.items = {b"k%04d" % number: Item(1, b"v") for number in range(2_000)}
        yield started


def on_terminal(*arguments: str) -> tuple[str, bytes, int]:
    """What a command shows on a terminal, what it writes to stdout, and its exit code."""
    terminal, end = pty.openpty()
    with subprocess.Popen([*RINGKV, *arguments], stdout=subprocess.PIPE, stderr=end) as process:
        os.close(end)
        shown = bytearray()
        try:
            while data := os.read(terminal, 4_096):
                shown += data
        except OSError:
            pass  # so a terminal ends, when nobody has it open any more
        assert process.stdout is not None
        written = process.stdout.read()
    os.close(terminal)
    return shown.decode(), written, process.returncode


def test_it_is_shown_on_a_terminal(gateway: Running, tmp_path: Path) -> None:
    file = tmp_path / "dump.gz"

    shown, written, code = on_terminal("export", "--url", gateway.url, str(file))
    assert code == 0 and written == b"" and "exporting" in shown and "2000 keys" in shown

    shown, written, code = on_terminal("import", "--url", gateway.url, str(file))
    assert code == 0 and written == b"imported 2000, failed 0\n" and "importing" in shown

    (tmp_path / "records").write_bytes(b"a\t1\n")
    shown, written, code = on_terminal("load", "--url", gateway.url, "--verify", str(tmp_path / "records"))
    assert code == 0 and written.startswith(b"loaded 1, ") and "loading" in shown and "verifying" in shown


def test_nothing_is_shown_elsewhere(gateway: Running, tmp_path: Path) -> None:
    found = subprocess.run(
        [*RINGKV, "export", "--url", gateway.url, str(tmp_path / "dump")], capture_output=True, check=True
    )

    assert (found.stdout, found.stderr) == (b"", b"2000 keys\n")
