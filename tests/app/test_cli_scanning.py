"""Scans, exports and imports from the command line, against a gateway over a fake."""

import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner, Result

from app import clientimport
from app.cli import main
from raftgroups import Item, NoQuorumError, PartitionId
from tests.app.running import Running, eventually, running, settings_with

RINGKV = [sys.executable, "-m", "app.cli"]


@pytest.fixture
def gateway() -> Iterator[Running]:
    with alone() as started:
        started.fake.items = {b"k%04d" % number: Item(number + 1, b"v%d" % number) for number in range(2_500)}
        yield started


@contextmanager
def alone(**limits: Any) -> Iterator[Running]:
    """A gateway that names no other one: what else listens on this machine is nobody's business."""
    with running(settings_with(**limits)) as started:
        started.fake.names_doors = False
        yield started


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


def line(number: int, **members: Any) -> bytes:
    return json.dumps({"key": f"k{number:04}", "value": f"v{number}", **members}).encode()


def whole(count: int, end: bytes = b"\n") -> bytes:
    """An export of so many entries."""
    entries = [line(number) for number in range(count)]
    return end.join([*entries, json.dumps({"count": count, "complete": True}).encode(), b""])


def test_a_scan_goes_through_all_pages(gateway: Running) -> None:
    result = run("scan", "--url", gateway.url)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [f"k{number:04d}\tv{number}" for number in range(2_500)]


def test_a_scan_takes_bounds(gateway: Running) -> None:
    gateway.fake.items[b"\xff"] = Item(1, b"\x00\n")

    assert run("scan", "--url", gateway.url, "--prefix", "k00", "--limit", "2").stdout == "k0000\tv0\nk0001\tv1\n"
    assert (
        run("scan", "--url", gateway.url, "--start", "k2498", "--end", "k9", "--keys-only").stdout == "k2498\nk2499\n"
    )
    assert run("scan", "--url", gateway.url, "--reverse", "--limit", "1").stdout_bytes == b"\xff\t\x00\n\n"
    assert run("scan", "--url", gateway.url, "--prefix", "\udcff", "--keys-only").stdout_bytes == b"\xff\n"
    assert run("scan", "--url", gateway.url, "--limit", "0").stdout == ""
    line = run("scan", "--url", gateway.url, "--json", "--limit", "1", "--consistency", "stale").stdout
    assert json.loads(line) == {"key": "k0000", "value": "v0", "encoding": "utf8", "revision": 1}
    assert gateway.fake.spans[-1][2].level == "stale"


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_what_is_exported_can_be_imported(gateway: Running, tmp_path: Path, suffix: str) -> None:
    items = gateway.fake.items
    file = tmp_path / f"dump{suffix}"

    exported = run("export", "--url", gateway.url, str(file))
    gateway.fake.items = {}
    imported = run("import", "--url", gateway.url, str(file))

    assert (exported.exit_code, exported.stdout, exported.stderr) == (0, "", "2500 keys\n")
    assert (imported.exit_code, imported.stdout, imported.stderr) == (0, "imported 2500, failed 0\n", "")
    assert {key: item.value for key, item in gateway.fake.items.items()} == {
        key: item.value for key, item in items.items()
    }


def test_an_export_to_stdout_is_the_same(gateway: Running, tmp_path: Path) -> None:
    run("export", "--url", gateway.url, str(tmp_path / "dump"))

    result = run("export", "--url", gateway.url)

    assert result.stdout_bytes == (tmp_path / "dump").read_bytes()
    *entries, end = result.stdout.splitlines()
    assert [json.loads(each)["key"] for each in entries] == sorted(key.decode() for key in gateway.fake.items)
    assert json.loads(end) == {"complete": True, "count": 2_500}


def test_an_export_replaces_no_file_that_it_may_not(gateway: Running, tmp_path: Path) -> None:
    file = tmp_path / "dump"
    file.write_text("precious")
    file.chmod(0o640)

    refused = run("export", "--url", gateway.url, str(file))
    assert (refused.exit_code, file.read_text()) == (2, "precious")
    assert "--force" in refused.stderr

    assert run("export", "--url", gateway.url, "--force", str(file)).exit_code == 0
    assert file.read_bytes().endswith(b'{"complete":true,"count":2500}\n')
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_an_export_that_fails_leaves_no_file(gateway: Running, tmp_path: Path) -> None:
    file = tmp_path / "dump"
    file.write_text("before")

    class Away(dict[bytes, Item]):
        """Items that can be read once."""

        def items(self) -> Any:
            gateway.fake.error = NoQuorumError(PartitionId(3))
            return super().items()

    gateway.fake.items = Away(gateway.fake.items)
    failed = run("export", "--url", gateway.url, "--timeout", "0.5", "--force", str(file))

    assert failed.exit_code == 1 and len(failed.stderr.splitlines()) == 1
    assert failed.stderr.startswith("Error: partition 3 has no leader that reaches a majority")
    assert file.read_text() == "before" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("target", ["/dev/full", "-"])
def test_a_full_disk_is_one_line(gateway: Running, target: str) -> None:
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run(
            [*RINGKV, "export", "--url", gateway.url, target], stdout=full, stderr=subprocess.PIPE, check=False
        )

    name = "stdout" if target == "-" else target
    assert found.returncode == 1
    assert found.stderr.decode() == f"Error: cannot write {name}: No space left on device\n"


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (("export",), "Error: cannot write stdout: nobody reads it any more\n"),
        *(((*command,), "") for command in (["scan"], ["scan", "--limit", "3"], ["get", "k0000"])),
    ],
)
def test_a_reader_that_has_gone_is_one_line(gateway: Running, command: tuple[str, ...], wanted: str) -> None:
    """Where it matters that not all is there; who looks at the beginning of a list has seen enough."""
    with subprocess.Popen(
        [*RINGKV, *command, "--url", gateway.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()

    assert process.returncode == 1
    assert said == wanted


def test_a_reader_that_pauses_gets_everything_once() -> None:
    """The gateway would cut off whoever does not read for send_seconds; and the connection of the page before is gone
    when the next is asked for."""
    with alone(send_seconds=0.2, keep_alive_seconds=0.2) as gateway:
        items = {b"k%04d" % number: Item(number + 1, b"%d" % number * 800) for number in range(3_000)}
        gateway.fake.items = dict(items)
        with subprocess.Popen([*RINGKV, "export", "--url", gateway.url], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            begun = gateway.loop.time()
            eventually(lambda: gateway.loop.time() > begun + 2.5)
            lines = [first, *process.stdout.readlines()]

    *entries, end = map(json.loads, lines)
    assert process.returncode == 0 and end == {"complete": True, "count": 3_000}
    assert [entry["key"].encode() for entry in entries] == sorted(items)


def test_an_export_goes_on_at_another_node() -> None:
    with alone() as stays, alone() as goes:
        stays.fake.items = goes.fake.items = {b"k%04d" % number: Item(1, bytes(800)) for number in range(3_000)}
        urls = f"{goes.url},{stays.url}"
        with subprocess.Popen([*RINGKV, "export", "--url", urls], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            goes.server.should_exit = True
            lines += process.stdout.readlines()

    *entries, end = map(json.loads, lines)
    assert process.returncode == 0 and end == {"complete": True, "count": 3_000}
    assert [entry["key"].encode() for entry in entries] == sorted(stays.fake.items)


def test_an_import_of_stdin_in_many_parts(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is named by its number in the whole."""
    monkeypatch.setattr(clientimport, "PART_LINES_MAX", 3)
    gateway.fake.items = {}
    lines = [line(number) + b"\n" for number in range(10)]
    lines[7] = b"nonsense\n"

    result = run("import", "--url", gateway.url, "--allow-incomplete", "-", stdin=b"".join(lines))

    assert (result.exit_code, result.stdout) == (1, "imported 9, failed 1\n")
    assert result.stderr.startswith("line 8: not an entry") and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_may_end_as_anywhere(gateway: Running, end: bytes, mark: bytes) -> None:
    gateway.fake.items = {}

    result = run("import", "--url", gateway.url, "-", stdin=mark + whole(3, end))

    assert (result.exit_code, result.stdout, result.stderr) == (0, "imported 3, failed 0\n", "")
    assert sorted(gateway.fake.items) == [b"k0000", b"k0001", b"k0002"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (whole(3)[:-1].rpartition(b"\n")[0], "it was cut off after 3 entries"),
        (b"\n".join(whole(3).split(b"\n")[1:]), "it had 3 entries when it was made, and 2 are there"),
        (line(0) + b'\n{"complete":false,"count":1,"error":{"detail":"no quorum"}}', "not complete: no quorum"),
        (b"", "it was cut off after 0 entries"),
    ],
)
def test_an_import_of_less_than_an_export_fails(gateway: Running, text: bytes, what: str) -> None:
    result = run("import", "--url", gateway.url, "-", stdin=text)

    assert result.exit_code == 1
    assert what in result.stderr and "--allow-incomplete" in result.stderr
    assert run("import", "--url", gateway.url, "--allow-incomplete", "-", stdin=text).exit_code == 0


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_a_damaged_file_is_an_error(gateway: Running, tmp_path: Path, suffix: str, pack: Any) -> None:
    packed = pack(whole(2_000))
    for name, data in (("short", packed[:-9]), ("wrong", packed[:-9] + b"\x00\xff" * 5), ("plain", whole(3))):
        file = tmp_path / f"{name}{suffix}"
        file.write_bytes(data)

        result = run("import", "--url", gateway.url, str(file))

        assert result.exit_code == 1, name
        assert f"{file} is " in result.stderr.splitlines()[-1], result.stderr
        assert "cut off" in result.stderr or "damaged" in result.stderr


def test_an_import_that_gives_up_says_how_to_go_on(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clientimport, "PART_LINES_MAX", 2)
    monkeypatch.setattr("app.importing.PATIENCE_SECONDS", 0.0)
    gateway.fake.items = {}
    fake, apply = gateway.fake, gateway.fake._apply

    def once_full(command: Any) -> Any:
        if len(fake.items) == 4:
            fake.error = NoQuorumError(PartitionId(3))
        return fake.error or apply(command)

    monkeypatch.setattr(fake, "_apply", once_full)
    failed = run("import", "--url", gateway.url, "--timeout", "0.5", "-", stdin=whole(10))

    assert failed.exit_code == 1 and failed.stdout == "imported 4, failed 0\n"
    assert "all lines before 5 are done with: go on with `ringkv import --from-line 5 -`" in failed.stderr

    monkeypatch.setattr(fake, "_apply", apply)
    fake.error = None
    rest = run("import", "--url", gateway.url, "--from-line", "5", "-", stdin=whole(10))
    assert (rest.exit_code, rest.stdout, len(fake.items)) == (0, "imported 6, failed 0\n", 10)


def test_an_import_that_is_stopped_says_how_to_go_on(gateway: Running) -> None:
    """When the second part is there, the first is done with; whether the second is, only the process knows."""
    gateway.fake.items = {}
    command = [*RINGKV, "import", "--url", gateway.url, "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(b"".join(line(number) + b"\n" for number in range(2_001)))
        process.stdin.flush()
        eventually(lambda: len(gateway.fake.items) == 2_000, 20.0)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        counted = process.stdout.read()

    assert process.returncode == 130, said
    done = int(counted.split(b",")[0].removeprefix(b"imported "))
    assert done in {1_000, 2_000}
    assert said.splitlines()[-1].endswith(f"go on with `ringkv import --from-line {done + 1} -`")


def test_another_door_is_tried(gateway: Running) -> None:
    with running() as gone:
        nobody = gone.url

    result = run("scan", "--url", f"{nobody},{gateway.url}", "--limit", "1")

    assert (result.exit_code, result.stdout) == (0, "k0000\tv0\n")


def test_what_goes_wrong_is_one_line(gateway: Running) -> None:
    gateway.fake.error = NoQuorumError(PartitionId(3))
    options = ("--url", gateway.url, "--timeout", "1")

    for arguments in (("scan",), ("export",)):
        failed = run(arguments[0], *options)
        assert failed.exit_code == 1
        [said] = failed.stderr.splitlines()
        assert said.startswith("Error: partition 3 has no leader that reaches a majority (status 503")
    with running() as gone:
        nobody = gone.url
    unreachable = run("scan", "--url", nobody, "--timeout", "1")
    assert unreachable.exit_code == 1 and "connection refused" in unreachable.stderr


@pytest.mark.parametrize("url", ["nowhere", "https://x:1", "http://x:port", "http://x/y", ""])
@pytest.mark.parametrize("command", [("scan",), ("scan", "--limit", "1"), ("export",)])
def test_a_url_that_is_none_is_wrong_usage(command: tuple[str, ...], url: str) -> None:
    assert run(*command, "--url", url).exit_code == 2


def test_pages_are_as_large_as_a_node_gives_them() -> None:
    with alone(scan_keys_max=10) as gateway:
        gateway.fake.items = {b"k%02d" % number: Item(1, b"") for number in range(25)}

        result = run("scan", "--url", gateway.url, "--keys-only")

    assert len(result.stdout.splitlines()) == 25
    assert max(span.limit for _, span, _ in gateway.fake.spans) <= 16


def test_export_and_import_say_as_json_what_came_of_it(gateway: Running, tmp_path: Path) -> None:
    file = tmp_path / "all.ndjson"
    exported = run("export", "--url", gateway.url, "--json", str(file))
    to_stdout = run("export", "--url", gateway.url, "--json")
    imported = run("import", "--url", gateway.url, "--json", str(file))
    file.write_bytes(line(1) + b"\nnonsense\n")
    spoilt = run("import", "--url", gateway.url, "--json", str(file))

    assert json.loads(exported.stdout) == {"exported": 2_500} and not exported.stderr
    assert json.loads(to_stdout.stderr) == {"exported": 2_500}
    assert json.loads(imported.stdout) == {"imported": 2_500, "failed": 0, "next_line": 2_502}
    assert spoilt.exit_code == 1
    assert json.loads(spoilt.stdout) == {"imported": 1, "failed": 1, "next_line": 3}
