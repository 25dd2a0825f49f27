import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from tests.app.fake_gateway import FakeGateway, Fate


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        yield gateway


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


def test_another_gateway_takes_over(gateway: FakeGateway, nobody: str) -> None:
    assert run("put", "--url", f"{nobody},{gateway.url}", "k", "v").exit_code == 0
    assert gateway.data[b"k"][0] == b"v"


def test_a_put_that_was_not_applied_is_repeated() -> None:
    with FakeGateway(lambda _, __, count: Fate.REFUSED if count < 2 else Fate.SERVED) as gateway:
        assert run("put", "--url", gateway.url, "k", "v").exit_code == 0
        assert len(gateway.requests) == 3


@pytest.mark.parametrize("fate", [Fate.APPLIED_UNKNOWN, Fate.CUT_AFTER])
def test_a_put_whose_outcome_is_unknown_is_not_repeated(fate: Fate) -> None:
    """Another writer may have put something newer meanwhile: a repeat would undo it."""
    with FakeGateway(lambda _, __, ___: fate) as gateway:
        result = run("put", "--url", gateway.url, "k", "v")

        assert result.exit_code == 1
        assert result.stderr.endswith("; it may have been applied\n")
        assert len(gateway.requests) == 1


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
        assert result.stdout.splitlines() == [
            "cluster c1, epoch 1",
            "",
            f"NODE  {'HTTP'.ljust(len(address))}  PEER         ZONE  STATE",
            f"n1    {address}  127.0.0.1:9  -     unreachable: cannot reach {nobody}: connection refused",
            "",
            "PARTITION  LEADER  REPLICAS  LEARNERS  TARGET  TERM  COMMIT  APPLIED",
            "0          -       n1        -         -       2     7       6",
            "1          n1      n1        n2        n2 n3   2     7       6",
        ]
        assert json.loads(as_json.stdout) == cluster


def test_get_starts_without_the_server() -> None:
    """The command imports neither FastAPI nor the layers below: it answers in a tenth of a second."""
    program = "import sys, app.cli; print(sorted({'fastapi', 'uvicorn', 'raftgroups', 'engine'} & set(sys.modules)))"

    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"
