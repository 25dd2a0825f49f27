"""What is on a disk: `ringkv verify`, `repair` and `inspect`."""

import json
import os
import sys
from pathlib import Path
from typing import TextIO

import click

from app.cli.numbers import IntegerRange
from app.cli.talking import note, say

json_option = click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
def verify(directory: Path, *, as_json: bool) -> None:
    """Read every byte of what a stopped node has stored, and print what is damaged.

    DIRECTORY is the directory of a node, or of a cluster made by `ringkv up`, or a store of its own. Nothing in it is
    changed. The exit code is 1 when there is damage.
    """
    from app.offline import OfflineError, bytes_below, verify_directory

    try:
        size, is_hidden = bytes_below(directory), not sys.stderr.isatty()
        with click.progressbar(length=size, label="reading", file=sys.stderr, hidden=is_hidden) as bar:
            problems = verify_directory(directory, bar.update)
    except OfflineError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"directory": str(directory), "problems": problems}))
        sys.exit(1 if problems else 0)
    for problem in problems:
        say(problem)
    if problems:
        found = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise click.ClickException(f"{directory}: {found}")
    click.echo(f"{directory}: no damage found")


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--without-doubtful", is_flag=True, help="Leave out the keys whose newest record may be lost.")
@click.option("--doubtful", type=click.File("w"), help="Write these keys to a file, one on each line.")
@json_option
def repair(directory: Path, new: Path, *, without_doubtful: bool, doubtful: TextIO | None, as_json: bool) -> None:
    """Make a NEW store from what is whole of a damaged one, and print what is lost.

    DIRECTORY is a store of its own, or one replica of a stopped node, DATA/pNNNN-NNNN; it is not changed. NEW must be
    empty, or not there yet. The exit code is 0 when nothing is lost and every record is certainly the newest. It is 1
    when that is not so, or when the repair failed: the last line of the output says whether NEW has what could be
    saved.
    """
    from app.offline import OfflineError, is_replica, repair_directory

    def tell(key: bytes) -> None:
        if doubtful is not None:
            doubtful.write(f"{key!r}\n")

    try:
        repaired = repair_directory(directory, new, keep_doubtful=not without_doubtful, tell_doubtful=tell)
    except OfflineError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        lines = [os.fsencode(line).decode(errors="replace") for line in repaired.lines()]
        click.echo(
            json.dumps({"new": str(new), "is_whole": repaired.is_whole, "records": repaired.records, "lines": lines})
        )
    else:
        for line in repaired.lines():
            say(line)
    if is_replica(directory):
        note("these are a replica's records, with b'\\x01' before each user's key; they must not take its place, and")
        note("the newest may never have been acknowledged: that only a majority knows")
    if not repaired.is_whole:
        raise click.ClickException(f"{directory}: not all could be saved, or not for certain")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--keys", is_flag=True, help="Print every key as well.")
@click.option("--values", is_flag=True, help="Print the beginning of every value as well.")
@click.option("--limit", type=IntegerRange(min=0), help="Print at most so many lines of each list.")
def inspect(file: Path, *, keys: bool, values: bool, limit: int | None) -> None:
    """Print what is in FILE: an SSTable, a log of a store or a node, a manifest, or CURRENT.

    The file may be in use, and is not changed. Of a damaged file all that is whole is printed, and where it is not.
    """
    from app.offline import OfflineError, inspect_lines

    try:
        for line in inspect_lines(file, keys=keys, values=values, limit=limit):
            say(line)
    except OfflineError as error:
        raise click.ClickException(str(error)) from error
