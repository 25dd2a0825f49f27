"""What README.md says about files, targets and commands is so."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from app.cli import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def names(path: Path) -> set[str]:
    """`function`, `Class` and `Class.method` of a module."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


def paths() -> list[str]:
    return sorted(set(re.findall(r"`((?:app|raftgroups|engine|tests)/[\w/]*(?:\.py)?)`", README)))


def stops() -> list[tuple[str, str]]:
    return re.findall(r"\*\*`([\w/]+\.py)` · `([\w.]+)`\*\*", README)


def commands(group: click.Group) -> Iterator[tuple[str, list[str]]]:
    for line in re.findall(r"^    (?:\.venv/bin/)?ringkv (.*(?:\\\n.*)*)", README, re.MULTILINE):
        name, *words = line.split()
        yield name, [word.strip("[],") for word in words if word.strip("[").startswith("--")]


@pytest.mark.parametrize("path", paths())
def test_every_file_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize(("path", "name"), stops())
def test_every_stop_of_the_journeys_exists(path: str, name: str) -> None:
    assert name in names(ROOT / path)


def test_the_journeys_are_there() -> None:
    assert len(stops()) >= 15


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^    |`)make ([\w-]+)", README, re.MULTILINE))))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("name", "options"), list(commands(main)))
def test_every_command_and_option_exists(name: str, options: list[str]) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    known = {option for parameter in command.get_params(click.Context(command)) for option in parameter.opts}

    assert set(options) <= known
