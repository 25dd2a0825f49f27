"""`ringkv settings`: all there is to set."""

import json
from collections.abc import Iterable
from typing import Any

import click

from app.cli.talking import Command
from app.setting import Setting


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def settings(*, as_json: bool) -> None:
    """Print every setting of a node: its variable, its default, its bounds, and what it means.

    A setting is given as an option of `ringkv node` (--partitions 32), in the environment (RINGKV_PARTITIONS=32), or
    in a TOML file that --config or RINGKV_CONFIG names (partitions = 32); the first of them that is there wins.
    `ringkv up` hands its environment on to all of its nodes.
    """
    from app.settings import ALL_SETTINGS, CONFIG, SECRET_FILE

    listed = (*ALL_SETTINGS, SECRET_FILE, CONFIG)
    if as_json:
        click.echo(json.dumps([describe(item) for item in listed], indent=2))
        return
    for item in listed:
        facts = "; ".join(filter(None, (default_of(item), item.range)))
        click.echo(f"{item.variable}{f'  ({facts})' if facts else ''}")
        click.echo(click.wrap_text(item.text, width=96, initial_indent="    ", subsequent_indent="    "))


def default_of(item: Setting) -> str:
    """`required`, `default 16`, or nothing where there is no default."""
    if item.required:
        return "required"
    if item.default in (None, "", b""):
        return ""
    return f"default {item.default:g}" if item.kind is float else f"default {item.default}"


def describe(item: Setting) -> dict[str, Any]:
    """A setting as JSON: null where it has no default, bounds or choices."""
    return {
        "name": item.name,
        "variable": item.variable,
        "option": None if item.is_secret else item.option,
        "required": item.required,
        "default": None if item.is_secret or item.default in (None, "") else item.default,
        "least": item.least,
        "most": item.most,
        "choices": list(item.choices) or None,
        "text": item.text,
    }


def variables_of(commands: Iterable[Command | click.Command]) -> set[str]:
    """The environment variables that these commands read by themselves."""
    return {
        name
        for command in commands
        for parameter in getattr(command, "params", ())
        for name in ([parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or ())
    }
