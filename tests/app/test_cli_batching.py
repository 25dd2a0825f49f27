"""Batches and transactions from the command line, against a gateway over a fake."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from raftgroups import Item, NoQuorumError, OutcomeUnknownError, PartitionId, RaftGroupError
from tests.app.fake_gateway import FakeGateway
from tests.app.running import Running, running


@pytest.fixture
def gateway() -> Iterator[Running]:
    with running() as started:
        yield started


def run(gateway: Running, name: str, document: Any, *options: str) -> Result:
    """The command with a document, or with these very bytes, as stdin."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return CliRunner().invoke(main, [name, "--url", gateway.url, "-f", "-", *options], input=body)


OPS = {
    "ops": [
        {"op": "put", "key": "a\n", "value": "1", "ttl": 60, "content_type": "text/plain"},
        {"op": "get", "key": "/w==", "encoding": "base64"},
        {"op": "get", "key": "none"},
        {"op": "incr", "key": "n", "by": 5},
        {"op": "append", "key": "word", "value": "ä\x00"},
        {"op": "delete", "key": "b", "if_match": "*"},
    ]
}
TXN = {
    "if": [{"key": "a1", "value": "100"}, {"key": "a2", "exists": False}],
    "then": [{"op": "put", "key": "a1", "value": "90"}, {"op": "get", "key": "a1"}],
    "else": [{"op": "get", "key": "a1"}, {"op": "get", "key": "a9"}],
}


def test_a_batch_is_told_a_line_each(gateway: Running) -> None:
    gateway.fake.items = {b"\xff": Item(1, b"\xfe"), b"b": Item(2, b"x")}

    result = run(gateway, "batch", OPS)

    put, binary, none, number, word, gone = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert put.startswith("put a\\n: revision ") and gone.startswith("delete b: revision ")
    assert [binary, none, number, word] == [
        "get /w==: /g== (base64)",
        "get none: (no such key)",
        "incr n: 5",
        "append word: ä\\x00",
    ]
    assert (gateway.fake.items[b"a\n"].content_type, gateway.fake.items[b"a\n"].expires_ms > 0) == ("text/plain", True)
    assert b"b" not in gateway.fake.items


def test_with_json_a_batch_is_told_as_the_gateway_does(gateway: Running) -> None:
    gateway.fake.items = {b"\xff": Item(1, b"\xfe", "image/png"), b"b": Item(2, b"x")}

    result = run(gateway, "batch", OPS, "--json")

    told = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert told["session"].startswith("1-0-0.")
    assert [each["status"] for each in told["results"]] == [204, 200, 404, 200, 200, 204]
    assert told["results"][1] == {
        "status": 200,
        "revision": 1,
        "value": "/g==",
        "encoding": "base64",
        "content_type": "image/png",
        "expires_in": None,
    }
    assert (told["results"][2]["code"], told["results"][3]["value"], told["results"][4]["value"]) == (
        "NO_SUCH_KEY",
        5,
        "ä\x00",
    )


def test_one_that_fails_is_exit_1_and_the_others_are_done(gateway: Running) -> None:
    gateway.fake.items = {b"word": Item(4_096, b"x")}
    ops = {
        "ops": [
            {"op": "incr", "key": "word"},
            {"op": "put", "key": "word", "value": "y", "if_none_match": "*"},
            {"op": "put", "key": "fine", "value": "v"},
        ]
    }

    human, as_json = run(gateway, "batch", ops), run(gateway, "batch", ops, "--json")

    assert (human.exit_code, as_json.exit_code) == (1, 1)
    assert human.stdout.startswith("put fine: revision ")
    first, second = human.stderr.splitlines()
    assert first.startswith("incr word: ") and first.endswith("(status 409, NOT_A_NUMBER)")
    assert second == "put word: the key is at revision 4096 (status 412, PRECONDITION_FAILED)"
    failed = json.loads(as_json.stdout)["results"][1]
    assert (failed["status"], failed["code"], failed["revision"], failed["outcome"]) == (
        412,
        "PRECONDITION_FAILED",
        4_096,
        "not_applied",
    )
    assert gateway.fake.items[b"fine"].value == b"v"


def test_the_branch_that_was_taken_is_told(gateway: Running) -> None:
    gateway.fake.items = {b"a1": Item(1, b"100")}

    first, second = run(gateway, "txn", TXN), run(gateway, "txn", TXN)
    as_json = json.loads(run(gateway, "txn", TXN, "--json").stdout)

    head, put, got = first.stdout.splitlines()
    assert (first.exit_code, second.exit_code, first.stderr) == (0, 0, "")
    assert (head, got) == ("succeeded", "get a1: 90")
    assert put.startswith("put a1: revision ")
    assert second.stdout.splitlines() == ["not succeeded", "get a1: 90", "get a9: (no such key)"]
    assert (as_json["succeeded"], [each["status"] for each in as_json["results"]]) == (False, [200, 404])


@pytest.mark.parametrize(("name", "document"), [("batch", {"ops": [{"op": "incr", "key": "a"}]}), ("txn", TXN)])
def test_the_same_key_does_nothing_twice(gateway: Running, name: str, document: Any) -> None:
    gateway.fake.items = {b"a1": Item(1, b"100")}

    told = [run(gateway, name, document, "--idempotency-key", "mine").stdout for _ in range(2)]

    assert told[0] == told[1]


def test_a_file_is_read(gateway: Running, tmp_path: Path) -> None:
    file = tmp_path / "ops.json"
    file.write_text(json.dumps({"ops": [{"op": "put", "key": "k", "value": "v"}]}))

    result = CliRunner().invoke(main, ["batch", "--url", gateway.url, "--file", str(file)])

    assert (result.exit_code, gateway.fake.items[b"k"].value) == (0, b"v")


def test_gets_are_asked_at_a_level(gateway: Running) -> None:
    document = {"ops": [{"op": "get", "key": "k"}]}

    stale = run(gateway, "batch", document, "--consistency", "stale")
    bounded = run(gateway, "batch", document, "--consistency", "bounded", "--max-staleness", "5")

    assert (stale.exit_code, bounded.exit_code) == (0, 0)
    assert run(gateway, "batch", document, "--max-staleness", "5").exit_code == 2


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("batch", b"", "Expecting value: line 1 column 1"),
        ("batch", b'{"ops": [\n  {"op": "get",}]}', "line 2 column 16"),
        ("batch", b"\xff\xfe\xfd", "is not JSON"),
        ("batch", b'{"ops": [{"op": "put", "key": "a", "value": "\\ud800"}]}', "is not JSON that can be sent"),
        ("batch", b'{"ops": [{"op": "incr", "key": "a", "by": NaN}]}', "NaN is no number of JSON"),
        ("batch", b'{"ops": [{"op": "incr", "key": "a", "by": 1' + b"0" * 30 + b"}]}", "is not JSON that can be sent"),
        ("batch", b"[" * 100_000, "is not JSON that can be sent"),
        ("batch", b"[]", "must hold an object with ops, and nothing else"),
        ("batch", b'{"ops": [], "more": 1}', "must hold an object with ops, and nothing else"),
        ("batch", b'{"ops": {}}', "ops must be a list of objects"),
        ("batch", b'{"ops": ["put"]}', "ops must be a list of objects"),
        ("batch", b'{"ops": []}', "there is nothing to do in it"),
        ("txn", b"{}", "there is nothing to do in it"),
        ("txn", b'{"if": [], "than": []}', "must hold an object with if, then, else, and nothing else"),
        ("txn", b'{"if": null, "then": [{}]}', "if must be a list of objects"),
    ],
)
def test_bad_json_is_wrong_usage(gateway: Running, name: str, body: bytes, reason: str) -> None:
    result = run(gateway, name, body)

    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr
    assert "stdin" in result.stderr
    assert gateway.fake.items == {}


@pytest.mark.parametrize(
    ("name", "document", "reason"),
    [
        ("batch", {"ops": [{"op": "get", "key": "k"}, {"op": "melt", "key": "k"}]}, "ops[1]"),
        ("batch", {"ops": [{"key": "k"}]}, "ops[0]"),
        ("batch", {"ops": [{"op": "get"}]}, "ops[0]"),
        ("batch", {"ops": [{"op": "get", "key": 5}]}, "ops[0].key must be a string"),
        ("batch", {"ops": [{"op": "get", "key": "%", "encoding": "base64"}]}, "ops[0].key is not base64"),
        ("batch", {"ops": [{"op": "put", "key": "k", "value": "v", "ttl": -1}]}, "ops[0].ttl"),
        ("batch", {"ops": [{"op": "get", "key": "k", "more": 1}]}, "ops[0]"),
        ("txn", {"if": [{"key": "k"}]}, "if[0].revision or value or exists must be given"),
        ("txn", {"then": [{"op": "incr", "key": "k"}]}, "then[0]"),
        ("txn", {"if": [{"key": "a", "exists": True}, {"key": "b", "exists": True}]}, "share a {tag}"),
    ],
)
def test_what_the_gateway_refuses_is_one_line(gateway: Running, name: str, document: Any, reason: str) -> None:
    result = run(gateway, name, document)

    assert (result.exit_code, result.stdout) == (1, "")
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (NoQuorumError(PartitionId(3)), "(status 503, NO_QUORUM)"),
        (OutcomeUnknownError("late"), "; it may have been applied"),
    ],
)
def test_what_cannot_be_done_now_is_said(gateway: Running, error: RaftGroupError, end: str) -> None:
    gateway.fake.error = error

    result = run(gateway, "txn", TXN, "--timeout", "0.9")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.strip().endswith(end)


@pytest.mark.parametrize("name", ["batch", "txn"])
def test_a_file_must_be_given_and_be_there(name: str) -> None:
    with FakeGateway() as gone:
        url = gone.url

    for arguments in ([name], [name, "-f", "no such file"], [name, "-f", "-", "extra"]):
        assert CliRunner().invoke(main, arguments).exit_code == 2
    nobody = CliRunner().invoke(
        main, [name, "--url", url, "-f", "-"], input=json.dumps(OPS if name == "batch" else TXN)
    )
    assert (nobody.exit_code, nobody.stderr) == (1, f"Error: cannot reach {url}: connection refused\n")


def test_completion_knows_them() -> None:
    result = CliRunner().invoke(
        main,
        [],
        prog_name="ringkv",
        env={"_RINGKV_COMPLETE": "bash_complete", "COMP_WORDS": "ringkv ", "COMP_CWORD": "1"},
    )

    assert {"plain,batch", "plain,txn"} <= set(result.stdout.splitlines())
