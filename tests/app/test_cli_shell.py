"""`ringkv shell`, typed and piped, and the list of all commands."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from app.cli import SECTIONS, main
from app.cli.shell import completions
from tests.app.fake_gateway import FakeGateway
from tests.app.test_cli import run

LISTED = {name: summary for commands in SECTIONS.values() for name, (_, summary) in commands.items()}


@pytest.mark.parametrize("name", LISTED)
def test_every_command_that_is_listed_is_there(name: str) -> None:
    command = main.get_command(click.Context(main), name)

    assert command is not None and command.name == name and command.help
    assert LISTED[name].endswith(".") and len(LISTED[name]) <= 60
    assert f"  {name} " in run("--help").output.split("Keys:")[1]


def test_a_command_that_is_not_there_is_told_with_one_like_it() -> None:
    failed = run("stauts")

    assert failed.exit_code == 2
    assert "there is no command 'stauts' (did you mean status?); `ringkv --help` lists all" in failed.stderr


def piped(gateway: FakeGateway, script: str) -> tuple[int, str, str]:
    result = run("shell", "--url", gateway.url, stdin=script.encode())
    return result.exit_code, result.stdout, result.stderr


def test_each_line_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGKV_URL", raising=False)
    with FakeGateway() as gateway:
        code, shown, _ = piped(gateway, "put 'a key' 'a value'\n\n# no command\nget 'a key'\ndelete 'a key'\n")

        assert (code, gateway.data) == (0, {})
        assert "a value" in shown


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("gte a", "there is no command 'gte' (did you mean get?)"),
        ("get 'a", "no closing quotation; put quotes around what has spaces in it"),
        ("get a", "no value under key 'a'"),
        ("get --no-such a", "No such option"),
        ("put a", "give the value after the key, or a file with --file"),
        ("append a", "give the value after the key, or a file with --file"),
        ("node", "node does not run in here; leave with `exit`, and type `ringkv node`"),
        ("shell", "shell does not run in here"),
    ],
)
def test_a_line_that_fails_does_not_end_it(line: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGKV_URL", raising=False)
    with FakeGateway() as gateway:
        code, _, said = piped(gateway, f"{line}\nput b c\n")

        assert (code, gateway.data[b"b"][0]) == (1, b"c")
        assert complaint in said


def test_help_lists_all_and_explains_one() -> None:
    with FakeGateway() as gateway:
        _, shown, _ = piped(gateway, "help\nhelp touch\n")

    assert "Give a key a new time to live." in shown and "Usage: ringkv touch" in shown


def test_words_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeGateway() as gateway:
        gateway.data[b"/v1/cluster"] = (
            b'{"nodes":[{"name":"n1"},{"name":"m2"}],"partitions":[{"id":7,"leader":"n1"},{"id":70,"leader":null}]}',
            "application/json",
        )
        monkeypatch.setenv("RINGKV_URL", gateway.url)

        assert completions(main, [], "stat") == ["status "]
        assert completions(main, ["get"], "--cons") == ["--consistency "]
        assert completions(main, ["transfer"], "7") == ["7 ", "70 "]
        assert completions(main, ["transfer", "7"], "n") == ["n1 "]
        assert completions(main, ["replicas", "7", "n1"], "") == ["n1 ", "m2 "]
    assert completions(main, ["transfer", "7"], "n") == []


def test_somebody_types(tmp_path: Path) -> None:
    """In a terminal: a prompt, a line, its answer, the Tab key, and the end; what was typed is kept for next time."""
    with FakeGateway() as gateway:
        ours, theirs = pty.openpty()
        environ = {**os.environ, "RINGKV_URL": gateway.url, "XDG_CONFIG_HOME": str(tmp_path), "TERM": "dumb"}
        with subprocess.Popen(
            [sys.executable, "-m", "app.cli", "shell"], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
        ) as process:
            os.close(theirs)
            seen = read_until(ours, "ringkv> ")
            os.write(ours, b"put greeting hello\n")
            seen += read_until(ours, "ringkv> ")
            os.write(ours, b"ge\tgreeting\n")
            seen += read_until(ours, "hello\r\nringkv> ")
            os.write(ours, b"exit\n")
            assert process.wait(20) == 0
        os.close(ours)
        assert gateway.data[b"greeting"][0] == b"hello"
    assert "`exit` or Ctrl-D ends this" in seen
    history = tmp_path / "ringkv" / "shell_history"
    assert "put greeting hello" in history.read_text() and history.stat().st_mode & 0o077 == 0


def read_until(terminal: int, wanted: str) -> str:
    seen = ""
    while wanted not in seen:
        seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(terminal, 4096).decode())
    return seen
