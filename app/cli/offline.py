"""What is on a disk: `ringkv verify`, `repair` and `inspect`."""

from pathlib import Path
from typing import TextIO

import click

from app.cli.talking import note, say


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
def verify(directory: Path) -> None:
    """Read every byte of what a stopped node has stored, and say what is damaged.

    DIRECTORY is a node's, or holds all nodes of a cluster made by `ringkv up`, or is a store of its own. Nothing in it
    is changed. Exit 1 when there is damage.
    """
    from app.offline import OfflineError, verify_directory

    try:
        problems = verify_directory(directory)
    except OfflineError as error:
        raise click.ClickException(str(error)) from error
    for problem in problems:
        say(problem)
    if problems:
        raise click.ClickException(f"{directory}: {len(problems)} problem(s)")
    click.echo(f"{directory}: no damage found")


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--without-doubtful", is_flag=True, help="Leave out the keys of which the newest record may be lost.")
@click.option("--doubtful", type=click.File("w"), help="Write these keys there, one a line.")
def repair(directory: Path, new: Path, *, without_doubtful: bool, doubtful: TextIO | None) -> None:
    """Make a NEW store of what is whole of a damaged one, and say what is lost.

    DIRECTORY is a store of its own, or one replica of a stopped node, DATA/pNNNN-NNNN; it is not changed. NEW must be
    empty or not there. Exit 0 when nothing is lost and every record certainly the newest, 1 when that is not so or the
    repair failed: what could be saved is in NEW if the last line of stdout says so.
    """
    from app.offline import OfflineError, is_replica, repair_directory

    def tell(key: bytes) -> None:
        if doubtful is not None:
            doubtful.write(f"{key!r}\n")

    try:
        repaired = repair_directory(directory, new, keep_doubtful=not without_doubtful, tell_doubtful=tell)
    except OfflineError as error:
        raise click.ClickException(str(error)) from error
    for line in repaired.lines():
        say(line)
    if is_replica(directory):
        note("these are a replica's records, with b'\\x01' before each user's key; they must not take its place, and")
        note("the newest may never have been acknowledged: that only a majority knows")
    if not repaired.is_whole:
        raise click.ClickException(f"{directory}: not all could be saved, or not for certain")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--keys", is_flag=True, help="Print every key, too.")
@click.option("--values", is_flag=True, help="And what is under it; of long values how they begin.")
@click.option("--limit", type=click.IntRange(min=0), help="Print no more than so many lines of each list.")
def inspect(file: Path, *, keys: bool, values: bool, limit: int | None) -> None:
    """Print what is in FILE: an SSTable, a log of a store or a node, a manifest, or CURRENT.

    It may be in use, and is not changed. Of a damaged one everything that is whole is printed, and where it is not.
    """
    from app.offline import OfflineError, inspect_lines

    try:
        for line in inspect_lines(file, keys=keys, values=values, limit=limit):
            say(line)
    except OfflineError as error:
        raise click.ClickException(str(error)) from error
