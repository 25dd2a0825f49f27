"""Scans, exports and imports from the command line, against a gateway over a fake."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app import bulkclient
from app.cli import main
from raftgroups import Item, NoQuorumError, PartitionId
from tests.app.running import Running, running, settings_with


@pytest.fixture
def gateway() -> Iterator[Running]:
    with running() as started:
        started.fake.items = {b"k%04d" % number: Item(number + 1, b"v%d" % number) for number in range(2_500)}
        yield started


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Something that answers every GET with this body, and ends the connection there."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + body)

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


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


def test_what_is_exported_can_be_imported(gateway: Running, tmp_path: Path) -> None:
    items = gateway.fake.items
    file = tmp_path / "dump"

    exported = run("export", "--url", gateway.url, str(file))
    gateway.fake.items = {}
    imported = run("import", "--url", gateway.url, str(file))

    assert (exported.exit_code, exported.stdout, exported.stderr) == (0, "", "2500 keys\n")
    assert (imported.exit_code, imported.stdout, imported.stderr) == (0, "imported 2500, failed 0\n", "")
    assert {key: item.value for key, item in gateway.fake.items.items()} == {
        key: item.value for key, item in items.items()
    }


def test_an_import_of_stdin_in_many_parts(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is named by its number in the whole."""
    monkeypatch.setattr(bulkclient, "PART_LINES_MAX", 3)
    gateway.fake.items = {}
    lines = [b'{"key":"%d","value":""}\n' % number for number in range(10)]
    lines[7] = b"nonsense\n"

    result = run("import", "--url", gateway.url, "-", stdin=b"".join(lines))

    assert (result.exit_code, result.stdout) == (1, "imported 9, failed 1\n")
    assert result.stderr.splitlines()[0].startswith("line 8: not an entry")
    assert "may have been cut off" in result.stderr


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
        assert failed.stderr.splitlines() == ["Error: partition 3 has no leader that reaches a majority (status 503)"]
    with running() as gone:
        nobody = gone.url
    unreachable = run("scan", "--url", nobody, "--timeout", "1")
    assert unreachable.exit_code == 1 and "connection refused" in unreachable.stderr


@pytest.mark.parametrize("url", ["nowhere", "https://x:1", "http://x:port", "http://x/y", ""])
def test_a_url_that_is_none_is_wrong_usage(url: str) -> None:
    assert run("scan", "--url", url).exit_code == 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"key":"a","value":"1","encoding":"utf8","revision":1}\n', "it was cut off"),
        (b"", "it was cut off"),
        (
            b'{"complete":false,"count":0,"error":{"detail":"this node is shutting down"}}\n',
            "this node is shutting down",
        ),
    ],
)
def test_an_export_that_was_cut_off_is_a_failure(body: bytes, reason: str, tmp_path: Path) -> None:
    with answering(body) as url:
        result = run("export", "--url", url, str(tmp_path / "dump"))

    assert result.exit_code == 1
    assert result.stderr == f"Error: the export is not complete: {reason}\n"


def test_a_refused_query_is_not_tried_again(gateway: Running) -> None:
    with pytest.raises(bulkclient.BulkError, match=r"'colour' is unknown here \(status 400\)"):
        list(bulkclient.BulkClient([gateway.url], 3_600).scan({"colour": "red"}))


def test_pages_are_as_large_as_a_node_gives_them() -> None:
    with running(settings_with(scan_keys_max=10)) as gateway:
        gateway.fake.items = {b"k%02d" % number: Item(1, b"") for number in range(25)}

        result = run("scan", "--url", gateway.url, "--keys-only")

    assert len(result.stdout.splitlines()) == 25
    assert max(span.limit for _, span, _ in gateway.fake.spans) <= 16
