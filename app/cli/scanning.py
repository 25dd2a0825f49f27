"""Many keys: `ringkv scan`, `export` and `import`."""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from app.cli.files import FileError, Sink, Source, SourceType, open_sink
from app.cli.numbers import IntegerRange
from app.cli.progress import progress
from app.cli.talking import Command, gateway_options, note, talk, talking_on
from app.client import Client, Imported, Item, Key
from app.clientscan import PAGE_KEYS, ScanOptions
from app.exportend import End, EndCheck, encode_end
from app.rules import LEVEL_NAMES

LINE_BYTES_MAX = 1 << 23  # of an entry; a cluster takes far less and says so
ERRORS_SHOWN_MAX = 20
STOPPED = 130  # what a shell says of a command that was stopped by Ctrl-C

from_line_option = click.option(
    "--from-line",
    type=IntegerRange(min=1),
    default=1,
    metavar="N",
    help="Begin at this line of FILE: the one that was named when the command was stopped.",
)


summary_option = click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")


def range_options(command: Command) -> Command:
    """--prefix, --start, --end and --consistency."""
    levels = click.Choice(LEVEL_NAMES)
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
@click.option("--limit", type=IntegerRange(min=0), help="No more than so many keys.")
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
    **bounds: Any,
) -> None:
    """List keys in order with their values: a tab between them, a line each, byte for byte.

    Keys that are written meanwhile may or may not be in it; all others are, once. When a node is lost it goes on at
    another.
    """
    prefix, options = _options(bounds)
    options["reverse"] = reverse

    def run(client: Client) -> None:
        options["page_keys"] = _page_keys(client)
        found = client.scan_lines(prefix, keys_only=keys_only, **options) if as_json else _pairs(client)
        for line in found:
            sys.stdout.buffer.write(line + b"\n")

    def _pairs(client: Client) -> Iterator[bytes]:
        items = client.scan_keys(prefix, **options) if keys_only else client.scan(prefix, **options)
        return map(_line, items)

    if limit is not None:
        options["limit"] = limit
    if limit is not None and limit <= PAGE_KEYS:
        talk(url, timeout_seconds, run)
    else:
        with talking_on(url, timeout_seconds) as client:
            run(client)
    sys.stdout.buffer.flush()


@click.command()
@gateway_options(timeout_seconds=60.0)
@range_options
@click.option("--force", is_flag=True, help="Replace FILE, if it is there already.")
@summary_option
@click.argument("file", default="-")
def export(*, url: str, timeout_seconds: float, file: str, force: bool, as_json: bool, **bounds: Any) -> None:
    """Write every key and what it holds to FILE, or to stdout, as `ringkv import` reads it.

    An object a line. The last line says that it is complete; when it is not, the exit code is 1. FILE is there only
    once it is whole. If its name ends in .gz or .zst it is compressed. When a node is lost, or who reads stdout takes a
    rest, it goes on where it was.
    """
    prefix, options = _options(bounds)
    count = 0
    with open_sink(file, may_replace=force) as sink, progress("exporting", 0, "keys") as advance:
        try:
            with talking_on(url, timeout_seconds) as client:
                options["page_keys"] = _page_keys(client)
                for line in client.scan_lines(prefix, **options):
                    sink.write(line + b"\n")
                    count += 1
                    advance(count)
        except (KeyboardInterrupt, click.ClickException) as error:
            if not isinstance(error, FileError):
                _end_early(sink, count, error)
            raise
        sink.write(encode_end(End(True, count)))
    text = json.dumps({"exported": count}) if as_json else f"{count} keys"
    click.echo(text, err=sink.name == "stdout" or not as_json)


def _end_early(sink: Sink, count: int, error: BaseException) -> None:
    """Say at its end, where there is one to be seen, that an export is not complete."""
    if sink.name == "stdout" and count:
        detail = error.message if isinstance(error, click.ClickException) else "it was stopped"
        sink.write(encode_end(End(False, count, {"detail": detail})))


@click.command("import")
@gateway_options(timeout_seconds=60.0)
@from_line_option
@click.option("--allow-incomplete", is_flag=True, help="FILE need not end with the line that says that it is complete.")
@summary_option
@click.argument("file", type=SourceType())
def import_(
    *, url: str, timeout_seconds: float, file: Source, from_line: int, allow_incomplete: bool, as_json: bool
) -> None:
    """Store every entry of FILE, or of stdin if that is -, as `ringkv export` writes it.

    While it runs, nobody else may write these keys: what failed is sent again, within --timeout. A FILE whose name ends
    in .gz or .zst is unpacked. Exit 1 when a line could not be stored, or when FILE is not all of an export.
    """
    tally = _Tally(file, from_line)
    try:
        with progress("importing", file.size) as advance, talking_on(url, timeout_seconds) as client:
            for part in client.import_lines(tally.lines()):
                tally.took(part)
                advance(file.position)
    except KeyboardInterrupt:
        note(f"stopped; {tally.how_to_go_on()}")
        sys.exit(STOPPED)
    except click.ClickException as error:
        if not tally.done:
            raise
        raise click.ClickException(f"{error.message}; {tally.how_to_go_on()}") from error
    finally:
        tally.tell(as_json)
    missing = None if allow_incomplete else tally.check.missing
    if missing is not None:
        hint = "make the export again, or give --allow-incomplete if that is all there should be"
        raise click.ClickException(f"{file.name} is not all of an export: {missing}; {hint}")
    sys.exit(1 if tally.failed else 0)


class _Tally:
    """What came of an import so far.

    done     how many lines are done with
    check    looks whether the file is whole
    """

    def __init__(self, file: Source, from_line: int) -> None:
        self._file = file
        self._skipped = from_line - 1
        self.done = 0
        self.imported = 0
        self.failed = 0
        self.check = EndCheck()
        self._errors: list[str] = []

    def lines(self) -> Iterator[bytes]:
        """A line for each of the file, empty for one that is not to be sent."""
        number = 0
        for batch in self._file.lines(LINE_BYTES_MAX):
            for line in batch:
                number += 1
                is_end = self.check.look(line if line is not None else b"?")
                if number <= self._skipped:
                    continue
                if line is None:
                    self._fail(number, f"it is longer than {LINE_BYTES_MAX} bytes")
                yield b"" if is_end or line is None else line

    def took(self, part: Imported) -> None:
        self.done = part.lines
        self.imported += part.imported
        for error in part.errors:
            self._fail(self._skipped + error.line, error.detail, 0)
        self.failed += part.failed

    def tell(self, as_json: bool) -> None:
        """What there is to know, to whoever asked."""
        for error in self._errors:
            note(error)
        if as_json:
            outcome = {"imported": self.imported, "failed": self.failed, "next_line": self._next_line}
            click.echo(json.dumps(outcome))
        elif self.imported or self.failed:
            click.echo(f"imported {self.imported}, failed {self.failed}")

    def how_to_go_on(self) -> str:
        line = self._next_line
        return f"all lines before {line} are done with: go on with `ringkv import --from-line {line} {self._file.path}`"

    @property
    def _next_line(self) -> int:
        """Of the file: the first that is not done with."""
        return self._skipped + self.done + 1

    def _fail(self, number: int, reason: str, count: int = 1) -> None:
        self.failed += count
        if len(self._errors) < ERRORS_SHOWN_MAX:
            self._errors.append(f"line {number}: {reason}")


def _options(bounds: dict[str, Any]) -> tuple[bytes, ScanOptions]:
    """The prefix, and what else a scan is asked for."""
    given: Any = {name: os.fsencode(text) if name != "consistency" else text for name, text in bounds.items() if text}
    prefix = given.pop("prefix", b"")
    return prefix, given


def _page_keys(client: Client) -> int:
    """As many as the cluster gives at a time."""
    return int(min(PAGE_KEYS, client.limits()["scan_keys_max"]))


def _line(found: Key) -> bytes:
    return found.key + b"\t" + found.value if isinstance(found, Item) else found.key
