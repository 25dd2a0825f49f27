import gzip
import importlib.util
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner, Result

from app.cli import main, notice
from tests.app.fake_gateway import FakeGateway, Fate
from tests.app.running import eventually

_CLUSTER = b"/v1/cluster"


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        yield gateway


@pytest.fixture
def loaded(gateway: FakeGateway) -> FakeGateway:
    """A gateway that says that it is alone."""
    gateway.data[_CLUSTER] = (b'{"nodes": [], "partitions": []}', "application/json")
    return gateway


def records_in(gateway: FakeGateway) -> dict[bytes, bytes]:
    return {key: value for key, (value, _) in gateway.data.items() if key != _CLUSTER}


@pytest.fixture
def nobody() -> str:
    """The URL of a gateway that has just gone."""
    with FakeGateway() as gateway:
        return gateway.url


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


@pytest.mark.parametrize("key", ["plain", "a/b", "ä ö", "%2F", "{tag}x?y#z", "..", "\udcff"])
def test_put_get_and_delete_of_any_key(gateway: FakeGateway, key: str) -> None:
    assert run("put", "--url", gateway.url, key, "value").exit_code == 0
    assert gateway.data[key.encode("utf-8", "surrogateescape")] == (b"value", "application/octet-stream")
    assert run("get", "--url", gateway.url, key).stdout_bytes == b"value"
    assert run("delete", "--url", gateway.url, key).exit_code == 0
    assert gateway.data == {}


def test_put_reads_stdin_or_a_file(gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(b"\x00file\n")

    assert run("put", "--url", gateway.url, "a", stdin=b"\xff\n").exit_code == 0
    assert run("put", "--url", gateway.url, "b", "--file", str(tmp_path / "value")).exit_code == 0
    assert run("put", "--url", gateway.url, "c", "--content-type", "text/html", "x").exit_code == 0
    assert gateway.data == {
        b"a": (b"\xff\n", "application/octet-stream"),
        b"b": (b"\x00file\n", "application/octet-stream"),
        b"c": (b"x", "text/html"),
    }


def test_get_writes_the_bytes_and_nothing_else(gateway: FakeGateway) -> None:
    gateway.data[b"k"] = (b"\x00\xff no newline", "")

    result = run("get", "--url", gateway.url, "k", "--consistency", "stale")

    assert (result.stdout_bytes, result.stderr) == (b"\x00\xff no newline", "")
    assert gateway.targets == ["/v1/kv/k?consistency=stale"]


def test_get_of_an_absent_key_fails_in_one_line(gateway: FakeGateway) -> None:
    result = run("get", "--url", gateway.url, "k")

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: no value under key 'k'\n")


@pytest.mark.parametrize(
    "command",
    [
        ("put", "k", "v"),
        ("get", "k"),
        ("delete", "k"),
        ("incr", "k"),
        ("status",),
        ("replicas", "0"),
        ("replicas", "0", "n1", "--wait"),
        ("transfer", "0", "n1"),
        ("load", __file__),
        ("load", __file__, "--verify-only"),
    ],
)
def test_nobody_at_the_url_is_one_line(nobody: str, command: tuple[str, ...]) -> None:
    name, *arguments = command
    result = run(name, "--url", nobody, *arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: cannot reach {nobody}: connection refused\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("put",),
        ("put", "k", "v", "--file", __file__),
        ("put", "", "v"),
        ("put", "k", "v", "--content-type", "a\r\nb: c"),
        ("put", "k", "v", "--if-match", "x"),
        ("put", "k", "v", "--if-match", "1", "--if-absent"),
        ("put", "k", "v", "--ttl", "0"),
        ("put", "k", "v", "--session", "x"),
        ("incr", "k", "x"),
        ("incr", "k", "9223372036854775808"),
        ("append", "k", "v", "--file", __file__),
        ("touch", "k"),
        ("touch", "k", "-1"),
        ("persist",),
        ("completion", "powershell"),
        ("get", "k", "--max-staleness", "5"),
        ("get", "k", "--consistency", "eventual"),
        ("get", "k", "--url", "https://localhost"),
        ("get", "k", "--url", "http://"),
        ("get", "k", "--url", "http://x:99999"),
        ("get", "k", "--url", ","),
        ("get", "k", "--timeout", "0"),
        ("replicas",),
        ("replicas", "many"),
        ("replicas", "--", "-1"),
        ("transfer", "0"),
        ("load", "no such file"),
        ("load", __file__, "--key", "0"),
        ("load", __file__, "--delimiter", ""),
        ("load", __file__, "--format", "jsonl", "--delimiter", ";"),
        ("up", "--nodes", "0"),
        ("up", "--partitions", "15"),
        ("up", "--lease-seconds", "0.9"),
        ("node",),
        ("node", "--name", "n1", "--data", "d", "--http", "nonsense", "--peer", "127.0.0.1:1"),
        ("node", "--name", "n1", "--data", "d", "--http", "x:1", "--peer", "127.0.0.1:1", "--lease-seconds", "0.9"),
        ("verify", "no such directory"),
        ("repair", "no such directory", "new"),
        ("repair", "."),
        ("inspect", "no such file"),
        ("inspect", "."),
        ("inspect", __file__, "--limit", "-1"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_exit_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert result.stdout == ""


def test_what_changes_a_key_says_all_of_it_as_json(gateway: FakeGateway) -> None:
    put = run("put", "--url", gateway.url, "k", "v", "--if-absent", "--ttl", "1.5", "--json")
    summed = run("incr", "--url", gateway.url, "n", "-5", "--if-match", "7", "--session", "1-3-1", "--json")
    got = run("get", "--url", gateway.url, "k", "--json")
    gateway.data[b"\xff"] = (b"\xfe", "image/png")
    binary = run("get", "--url", gateway.url, "\udcff", "--json")

    assert json.loads(put.stdout) == {"key": "k", "revision": 1, "session": "1-0-0.7-1"}
    assert json.loads(summed.stdout) == {
        "key": "n",
        "value": 1,
        "revision": 2,
        "expires_in": None,
        "session": "1-3-1.7-2",
    }
    assert json.loads(got.stdout) == {
        "key": "k",
        "revision": 5,
        "content_type": "application/octet-stream",
        "expires_in": None,
        "consistency": "linearizable",
        "staleness_ms": 0,
        "served_by": "n2;role=leader",
        "value": "v",
        "session": "1-0-0.9-2",
    }
    shown = json.loads(binary.stdout)
    assert (shown["key"], shown["key_encoding"], shown["value"], shown["encoding"]) == (
        "/w==",
        "base64",
        "/g==",
        "base64",
    )
    assert gateway.targets[:2] == ["/v1/kv/k?ttl=1.5", "/v1/kv/n?op=incr&by=-5"]
    assert gateway.headers[0]["if-none-match"] == "*"
    assert (gateway.headers[1]["if-match"], gateway.headers[1]["kv-session"]) == ('"7"', "1-3-1")


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (("append", "k", "v"), "/v1/kv/k?op=append"),
        (("touch", "k", "60"), "/v1/kv/k?op=touch&ttl=60"),
        (("persist", "k"), "/v1/kv/k?op=persist"),
        (("incr", "k", "7"), "/v1/kv/k?op=incr&by=7"),
        (("incr", "k"), "/v1/kv/k?op=incr&by=1"),
        (("delete", "k", "--if-match", "*"), "/v1/kv/k"),
        (
            ("get", "k", "--consistency", "bounded", "--max-staleness", "0"),
            "/v1/kv/k?consistency=bounded&max_staleness=0",
        ),
    ],
)
def test_each_command_is_one_request(gateway: FakeGateway, arguments: tuple[str, ...], target: str) -> None:
    gateway.data[b"k"] = (b"1", "")

    result = run(arguments[0], "--url", gateway.url, *arguments[1:])

    assert (result.exit_code, result.stderr) == (0, "")
    assert gateway.targets == [target]


def test_a_condition_that_fails_is_exit_1(gateway: FakeGateway) -> None:
    gateway.data[b"k"] = (b"v", "")

    result = run("put", "--url", gateway.url, "k", "w", "--if-absent")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: the key is at revision 1 (status 412, PRECONDITION_FAILED)\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(shell: str) -> None:
    result = run("completion", shell)

    assert result.exit_code == 0
    assert f"_RINGKV_COMPLETE={shell}_complete" in result.stdout
    assert "ringkv" in result.stdout


def test_another_gateway_takes_over(gateway: FakeGateway, nobody: str) -> None:
    assert run("put", "--url", f"{nobody},{gateway.url}", "k", "v").exit_code == 0
    assert gateway.data[b"k"][0] == b"v"


def test_a_put_that_was_not_applied_is_repeated() -> None:
    with FakeGateway(lambda _, __, count: Fate.REFUSED if count < 2 else Fate.SERVED) as gateway:
        assert run("put", "--url", gateway.url, "k", "v").exit_code == 0
        assert len(gateway.requests) == 3


@pytest.mark.parametrize("fate", [Fate.APPLIED_UNKNOWN, Fate.CUT_AFTER])
def test_a_change_whose_outcome_is_unknown_is_repeated_under_its_key(fate: Fate) -> None:
    with FakeGateway(lambda _, __, count: fate if count < 2 else Fate.SERVED) as gateway:
        result = run("incr", "--url", gateway.url, "n", "--idempotency-key", "mine")

        assert (result.exit_code, result.stdout) == (0, "1\n")
        assert [headers["idempotency-key"] for headers in gateway.headers] == ["mine"] * 3


def test_an_outcome_that_stays_unknown_is_said() -> None:
    with FakeGateway(lambda _, __, ___: Fate.APPLIED_UNKNOWN) as gateway:
        result = run("put", "--url", gateway.url, "k", "v", "--timeout", "0.2")

        assert result.exit_code == 1
        assert result.stderr.endswith("(status 504, OUTCOME_UNKNOWN); it may have been applied\n")


def test_a_get_is_always_repeated() -> None:
    with FakeGateway(lambda _, __, count: Fate.CUT_BEFORE if count < 2 else Fate.SERVED) as gateway:
        gateway.data[b"k"] = (b"v", "")

        assert run("get", "--url", gateway.url, "k").stdout == "v"


def test_a_refusal_is_the_reason_in_one_line() -> None:
    with FakeGateway(lambda _, __, ___: Fate.TOO_LARGE) as gateway:
        result = run("put", "--url", gateway.url, "k", "v")

        assert result.exit_code == 1
        assert result.stderr == (
            "Error: key and value have 10241 bytes, the limit is 10240 (status 413, PAIR_TOO_LARGE)\n"
        )


@pytest.mark.parametrize("page", [b"<html>", b"[]", b"{}", b"\xff"])
def test_what_is_no_gateway_is_one_line(gateway: FakeGateway, page: bytes) -> None:
    gateway.data[b"/v1/cluster"] = (page, "text/html")

    result = run("status", "--url", gateway.url)

    assert (result.exit_code, result.stderr) == (1, "Error: what answers there is no gateway of ringkv\n")


def test_load_ends_with_the_counts(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.data[b"/v1/cluster"] = (b'{"nodes": [], "partitions": []}', "application/json")
    (tmp_path / "records").write_bytes(b"a;1\nb;2\nc;3\n")
    options = ("--format", "lines", "--delimiter", ";", "--key", "1", "--url", gateway.url)

    loaded = run("load", str(tmp_path / "records"), *options, "--verify")
    gateway.data[b"b"] = (b"b;x", "")
    different = run("load", str(tmp_path / "records"), *options, "--verify-only")

    assert loaded.exit_code == 0
    assert loaded.stdout.startswith("loaded 3, failed 0, ")
    assert "; verified 3, failed 0, different 0, " in loaded.stdout
    assert different.exit_code == 1
    assert different.stdout.startswith("verified 2, failed 0, different 1, ")
    assert different.stderr == "key b'b': the store holds something else\n"


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".zst", zstandard.compress)])
def test_load_unpacks_by_suffix(loaded: FakeGateway, tmp_path: Path, suffix: str, pack: Any) -> None:
    path = tmp_path / f"records.tsv{suffix}"
    path.write_bytes(pack(b"\xef\xbb\xbfa\t1\r\nb\t2\r\n"))

    result = run("load", "--url", loaded.url, "--verify", str(path))

    assert (result.exit_code, result.stderr) == (0, "")
    assert records_in(loaded) == {b"a": b"1", b"b": b"2"}


@pytest.mark.parametrize("text", [b"a\t1\nb\t2", b"a\t1\rb\t2\r", b"\xef\xbb\xbfa\t1\r\n\r\nb\t2\r\n"])
def test_load_reads_stdin(loaded: FakeGateway, text: bytes) -> None:
    result = run("load", "--url", loaded.url, "-", stdin=text)

    assert (result.exit_code, result.stderr) == (0, "")
    assert records_in(loaded) == {b"a": b"1", b"b": b"2"}
    assert "--verify-only" in run("load", "--url", loaded.url, "--verify", "-", stdin=text).stderr
    assert run("load", "--url", loaded.url, "--verify-only", "-", stdin=text).exit_code == 0


def test_load_of_a_damaged_file_says_how_far_it_came(loaded: FakeGateway, tmp_path: Path) -> None:
    path = tmp_path / "records.gz"
    path.write_bytes(gzip.compress(b"".join(b"k%d\t%d\n" % (number, number) for number in range(30_000)))[:-9])

    result = run("load", "--url", loaded.url, "--concurrency", "8", str(path))

    assert result.exit_code == 1
    assert f"{path} is cut off: its gzip has no end; all lines before " in result.stderr


def test_load_begins_where_it_is_told_to(loaded: FakeGateway) -> None:
    result = run("load", "--url", loaded.url, "--from-line", "3", "-", stdin=b"a\t1\nbad\nc\t3\nworse\n")

    assert (result.exit_code, list(records_in(loaded))) == (1, [b"c"])
    assert result.stderr.startswith("line 4: ")


def test_load_that_is_stopped_says_how_to_go_on(loaded: FakeGateway) -> None:
    """Though it waits for a pipe that gives nothing more."""
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli", "load", "--url", loaded.url, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"a\t1\nb\t2\n")
        process.stdin.flush()
        eventually(lambda: len(records_in(loaded)) == 2, 20.0)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()

    assert process.returncode == 130, said
    [line] = said.splitlines()
    assert line.startswith("stopped after loaded ") and "go on with --from-line " in line


def test_load_names_bad_lines(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.data[b"/v1/cluster"] = (b'{"nodes": [], "partitions": []}', "application/json")
    (tmp_path / "records").write_bytes(b"a\t1\nbad\n")

    result = run("load", str(tmp_path / "records"), "--url", gateway.url)

    assert result.exit_code == 1
    assert result.stdout.startswith("loaded 1, failed 1, ")
    assert result.stderr == "line 2: has a key but no value: the delimiter is not in it\n"


def test_the_url_may_come_from_the_environment(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGKV_URL", gateway.url)

    assert run("put", "k", "v").exit_code == 0


def test_status_shows_nodes_and_partitions(nobody: str) -> None:
    address = nobody.removeprefix("http://")
    with FakeGateway() as gateway:
        cluster = {
            "cluster_id": "c1",
            "epoch": 1,
            "nodes": [{"name": "n1", "http": address, "peer": "127.0.0.1:9", "zone": ""}],
            "partitions": [
                {
                    "id": 0,
                    "leader": None,
                    "replicas": ["n1"],
                    "learners": [],
                    "target": ["n1"],
                    "term": 2,
                    "commit_index": 7,
                    "applied_index": 6,
                },
                {
                    "id": 1,
                    "leader": "n1",
                    "replicas": ["n1"],
                    "learners": ["n2"],
                    "target": ["n2", "n3"],
                    "term": 2,
                    "commit_index": 7,
                    "applied_index": 6,
                },
            ],
        }
        gateway.data[b"/v1/cluster"] = (json.dumps(cluster).encode(), "application/json")

        result = run("status", "--url", gateway.url)
        as_json = run("status", "--url", gateway.url, "--json")

        assert result.exit_code == 0
        verdict, trouble, _, *nodes, _, head, first, second, cluster_line = result.stdout.splitlines()
        assert verdict.startswith(
            "0 of 1 nodes ready, 0 of 2 partitions led, 2 short of replicas; 2 without a majority"
        )
        assert trouble.startswith("  n1: ") and address in trouble
        assert [row.split()[:2] for row in nodes] == [["NODE", "STATE"], ["n1", "unreachable"]]
        assert head == "PARTITION  LEADER  REPLICAS  LEARNERS  TARGET  TERM  COMMIT  APPLIED"
        assert first == "0          -       n1        -         -       2     7       6"
        assert second == "1          n1      n1        n2        n2 n3   2     7       6"
        assert cluster_line == "cluster c1, epoch 1"
        told = json.loads(as_json.stdout)
        assert told["partitions"] == cluster["partitions"] and told["verdict"]["text"] == verdict


def test_get_starts_without_the_server() -> None:
    """The command imports neither FastAPI nor the layers below: it answers in a tenth of a second."""
    program = "import sys, app.cli; print(sorted({'fastapi', 'uvicorn', 'raftgroups', 'engine'} & set(sys.modules)))"

    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


SERVER = ("fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "prometheus_client", "pysyncobj", "h11")
LIBRARY = ("asyncio", "msgspec", "email", "http", "ssl", "importlib.metadata", "concurrent", "subprocess", "rich")
OURS = ("engine", "raftgroups", "app.server", "app.settings", "app.asyncclient", "app.clientbatch", "app.clientwatch")
HEAVY = (*SERVER, *LIBRARY, *OURS)


@pytest.mark.parametrize("command", [("put", "k", "v"), ("get", "k"), ("delete", "k"), ("incr", "n"), ("get", "-h")])
def test_a_command_about_a_key_imports_nothing_heavy(gateway: FakeGateway, command: tuple[str, ...]) -> None:
    """It is over in a tenth of a second only because it waits for no server, no event loop and no other command."""
    gateway.data[b"k"] = (b"v", "")
    script = "import sys; from app.cli import main; main(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    name, *arguments = command
    shell = [sys.executable, "-c", script, name, "--url", gateway.url, *arguments]

    imported = subprocess.run(shell, check=True, capture_output=True, text=True).stdout.split()

    assert "app.calls" in imported
    assert set(HEAVY).isdisjoint(imported)


def test_every_heavy_module_is_one() -> None:
    """A name that is misspelled would be imported by nobody."""
    for name in HEAVY:
        assert importlib.util.find_spec(name) is not None, name


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        (Fate.REFUSED, "partition 7 has no leader that reaches a majority"),
        (Fate.TOLD_TO_WAIT, "too much is on its way"),
        (Fate.SILENT, "did not answer within 0.5 s"),
        (Fate.CUT_BEFORE, "was lost before it answered"),
    ],
)
def test_a_command_that_waits_says_once_what_for(fate: Fate, reason: str) -> None:
    with FakeGateway(lambda *_: fate) as gateway:
        result = run("put", "--url", gateway.url, "--timeout", "2.5", "k", "v")

    told = [line for line in result.stderr.splitlines() if line.startswith("waiting: ")]
    assert result.exit_code == 1
    assert len(told) == 1
    assert re.fullmatch(rf"waiting: .*{re.escape(reason)}.*; giving up in 1 s", told[0])


def test_so_does_a_watch_that_finds_nobody(nobody: str) -> None:
    result = run("watch", "--url", nobody, "--timeout", "2.5", "--prefix", "")

    assert "waiting: cannot reach" in result.stderr.splitlines()[0]


def test_a_command_that_is_soon_over_says_nothing_of_its_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "SILENT_SECONDS", 30.0)
    with FakeGateway(lambda _, __, count: Fate.REFUSED if count < 2 else Fate.SERVED) as gateway:
        result = run("put", "--url", gateway.url, "k", "v")

    assert (result.exit_code, result.stderr) == (0, "")
    timers = (thread for thread in threading.enumerate() if isinstance(thread, threading.Timer))
    assert not [
        timer
        for timer in timers
        if getattr(timer.function, "__self__", None).__class__ is notice.Notice and not timer.finished.is_set()
    ]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["get", "--help"], ["node", "--help"]])
def test_help_that_cannot_be_written_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments], stdout=full, stderr=subprocess.PIPE, check=False
        )

    assert found.returncode == 1
    assert found.stderr.decode() == "Error: cannot write all that was asked for: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["put", "k", "v", "--ttl", "soon"], "'soon' is not a valid number."),
        (["put", "k", "v", "--ttl", "nan"], "'nan' is not a valid number."),
        (["get", "k", "--timeout", "NaN"], "'NaN' is not a valid number."),
        (["incr", "k", "much"], "'much' is not a valid integer."),
        (["bench", "--reads", "nan"], "'nan' is not a valid number."),
        (["put", "k", "v", "--idempotency-key", ""], "idempotency_key must have 1 to 255 characters"),
    ],
)
def test_what_is_wrong_on_the_line_is_wrong_usage(arguments: list[str], wanted: str) -> None:
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2
    assert wanted in result.stderr


def test_load_says_as_json_what_came_of_each_pass(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.data[b"/v1/cluster"] = (b'{"nodes": [], "partitions": []}', "application/json")
    (tmp_path / "records").write_bytes(b"a;1\nb;2\n;\n")
    options = ("--format", "lines", "--delimiter", ";", "--url", gateway.url, "--verify", "--json")

    result = run("load", *options, str(tmp_path / "records"))
    outcome = json.loads(result.stdout)

    assert result.exit_code == 1
    assert {verb: (found["done"], found["failed"]) for verb, found in outcome.items()} == {
        "loaded": (2, 1),
        "verified": (2, 1),
    }
    assert outcome["loaded"]["next_line"] == 4
