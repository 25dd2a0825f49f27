"""Many keys: `ringkv scan`, `export` and `import`."""

import base64
import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, BinaryIO, TypeVar

import click

from app.bulkclient import BadUrlError, BulkClient, BulkError, Tally
from app.cli.talking import Command, gateway_options, note

ResultT = TypeVar("ResultT")


def range_options(command: Command) -> Command:
    """--prefix, --start, --end and --consistency."""
    levels = click.Choice(["linearizable", "lease", "session", "bounded", "stale"])
    for option in (
        click.option("--consistency", type=levels, help="How fresh.  [default: as the cluster is set]"),
        click.option("--end", metavar="KEY", help="Only keys before this one."),
        click.option("--start", metavar="KEY", help="Only keys from this one on."),
        click.option("--prefix", metavar="KEY", help="Only keys that begin so."),
    ):
        command = option(command)
    return command


@click.command()
@gateway_options(timeout_seconds=10.0)
@range_options
@click.option("--limit", type=click.IntRange(min=0), help="No more than so many keys.")
@click.option("--reverse", is_flag=True, help="The last key first.")
@click.option("--keys-only", is_flag=True, help="Without the values.")
@click.option("--json", "as_json", is_flag=True, help="An object a line, as the gateway gives them.")
def scan(
    *,
    url: str,
    timeout_seconds: float,
    limit: int | None,
    reverse: bool,
    keys_only: bool,
    as_json: bool,
    **bounds: str | None,
) -> None:
    """List keys in order with their values: a tab between them, a line each, byte for byte.

    Keys that are written meanwhile may or may not be in it; all others are, once.
    """
    query = _query(bounds)
    for name, is_set in (("reverse", reverse), ("keys_only", keys_only)):
        if is_set:
            query[name] = "true"

    def run(bulk: BulkClient) -> None:
        for item in bulk.scan(query, limit):
            sys.stdout.buffer.write(json.dumps(item).encode() + b"\n" if as_json else _line(item))

    _talk(url, timeout_seconds, run)
    sys.stdout.buffer.flush()


@click.command()
@gateway_options(timeout_seconds=60.0)
@range_options
@click.argument("file", type=click.File("wb", lazy=False), default="-")
def export(*, url: str, timeout_seconds: float, file: BinaryIO, **bounds: str | None) -> None:
    """Write every key and what it holds to FILE, or to stdout, as `ringkv import` reads it.

    An object a line. The last line says that it is complete; when it is not, the exit code is 1.
    """
    query = _query(bounds)

    def run(bulk: BulkClient) -> int:
        count = -1
        for line in bulk.export(query):
            file.write(line)
            count += 1
        return count

    count = _talk(url, timeout_seconds, run)
    file.flush()
    note(f"{count} keys")


@click.command("import")
@gateway_options(timeout_seconds=60.0)
@click.argument("file", type=click.File("rb", lazy=False))
def import_(*, url: str, timeout_seconds: float, file: BinaryIO) -> None:
    """Store every entry of FILE, or of stdin if that is -, as `ringkv export` writes it.

    While it runs, nobody else may write these keys: what failed is sent again, within --timeout. Exit 1 when a line
    could not be stored.
    """
    tally = Tally()
    size = _size(file)
    is_shown = sys.stderr.isatty() and size > 0
    bar = click.progressbar(length=size, label="importing", file=sys.stderr)

    def run(bulk: BulkClient) -> None:
        with bar if is_shown else nullcontext():
            for done in bulk.import_lines(file, tally):
                if is_shown:
                    bar.update(done)

    try:
        _talk(url, timeout_seconds, run)
    finally:
        for error in tally.errors:
            note(error)
        if tally.imported or tally.failed:
            click.echo(tally.summary)
    if not tally.ends:
        note("no line said that the export was complete: it may have been cut off")
    sys.exit(1 if tally.failed else 0)


def _talk(url: str, timeout_seconds: float, action: Callable[[BulkClient], ResultT]) -> ResultT:
    """What goes wrong is one line and exit code 1, or 2 for an URL that is none."""
    try:
        return action(BulkClient([part.strip() for part in url.split(",") if part.strip()], timeout_seconds))
    except BadUrlError as error:
        raise click.UsageError(str(error)) from error
    except BulkError as error:
        raise click.ClickException(str(error)) from error


def _query(bounds: dict[str, str | None]) -> dict[str, bytes | str]:
    return {name: os.fsencode(text) for name, text in bounds.items() if text is not None}


def _line(item: dict[str, Any]) -> bytes:
    key = _bytes(item["key"], item.get("key_encoding"))
    return key + b"\n" if "value" not in item else key + b"\t" + _bytes(item["value"], item["encoding"]) + b"\n"


def _bytes(text: str, encoding: str | None) -> bytes:
    return base64.b64decode(text) if encoding == "base64" else text.encode()


def _size(file: BinaryIO) -> int:
    """Of a file; 0 of what has none, such as a pipe."""
    try:
        return os.fstat(file.fileno()).st_size
    except (OSError, ValueError):
        return 0
