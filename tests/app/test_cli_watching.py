"""`ringkv watch` against a gateway that listens."""

import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from click.testing import CliRunner, Result

from app.cli import main, watching
from app.client import Change
from tests.app.running import Running, eventually, running


@pytest.fixture
def gateway() -> Iterator[Running]:
    with running() as started:
        yield started


def watch(gateway: Running, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["watch", "--url", gateway.url, "--timeout", "5", *arguments])


def watch_while(gateway: Running, act: list[tuple[str, str, bytes]], *arguments: str) -> Result:
    """The output of a watch that begins before these requests are made."""
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(watch(gateway, *arguments)))
    thread.start()
    eventually(lambda: bool(gateway.fake.feeds.seats))
    with httpx.Client(base_url=gateway.url) as client:
        for method, key, value in act:
            client.request(method, f"/v1/kv/{key}", content=value)
    thread.join(10)
    assert not thread.is_alive()
    return results[0]


ACT = [("PUT", "user/1", b"hello"), ("PUT", "other", b"x"), ("PUT", "user/2", b"\xff\n"), ("DELETE", "user/1", b"")]


def test_changes_are_printed_a_line_each(gateway: Running) -> None:
    result = watch_while(gateway, ACT, "--prefix", "user/", "--count", "3")

    assert result.exit_code == 0, result.output
    assert result.stdout == "put user/1 hello\nput dXNlci8y /wo= (base64)\ndelete user/1\n"
    assert result.stderr.startswith("watching; --after w1.")


def test_with_json_each_line_has_the_id_to_go_on_from(gateway: Running) -> None:
    result = watch_while(gateway, ACT, "--key", "user/1", "--count", "2", "--json")
    first, second = map(json.loads, result.stdout.splitlines())

    assert (first["event"], first["value"], second["event"]) == ("put", "hello", "delete")
    again = watch(gateway, "--key", "user/1", "--after", first["id"], "--count", "1", "--json")
    assert json.loads(again.stdout) == second


def test_what_would_break_the_line_is_escaped(gateway: Running) -> None:
    result = watch_while(gateway, [("PUT", "a", "1\n2\té".encode())], "--key", "a", "--count", "1")

    assert result.stdout == "put a 1\\n2\\té\n"


@pytest.mark.parametrize(
    "arguments", [[], ["--key", "a", "--prefix", "b"], ["--key", ""], ["--key", "a", "--url", "nowhere"]]
)
def test_wrong_usage_is_told(gateway: Running, arguments: list[str]) -> None:
    assert watch(gateway, *arguments).exit_code == 2


def test_a_refusal_is_one_line(gateway: Running) -> None:
    result = watch(gateway, "--key", "a", "--after", "nonsense")

    assert result.exit_code == 1
    assert "Last-Event-ID is not an id" in result.stderr
    assert result.stdout == ""


def test_ctrl_c_says_from_where_to_go_on(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(change: Change, *, as_json: bool) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching, "_line", interrupt)
    result = watch_while(gateway, [("PUT", "a", b"1"), ("PUT", "a", b"2")], "--key", "a")
    monkeypatch.undo()

    begins, goes_on = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (0, "")
    assert begins.startswith("watching; --after w1.") and goes_on.startswith("go on with --after w1.")
    assert watch(gateway, "--key", "a", "--after", goes_on.split()[-1], "--count", "1").stdout == "put a 2\n"
