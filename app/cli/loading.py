"""`ringkv load`: a file of records into the store, and back to compare."""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import click

from app.cli.talking import failing_in_one_line, gateway_options, note, urls_of
from app.client import AsyncClient
from app.pipeline import PipelinedClient


@click.command()
@gateway_options(timeout_seconds=60.0)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "format_name", type=click.Choice(["tsv", "jsonl", "lines"]), default="tsv", show_default=True)
@click.option("--key", help="Number of the field, from 1; for jsonl the name of the member.  [default: 1; key]")
@click.option("--delimiter", help="What splits the fields.  [default: a tab]")
@click.option(
    "--concurrency", type=click.IntRange(1, 1024), default=64, show_default=True, help="Records on their way."
)
@click.option("--verify", "with_verify", is_flag=True, help="Then read everything back and compare it.")
@click.option("--verify-only", is_flag=True, help="Load nothing: compare what is there.")
def load(
    *,
    url: str,
    timeout_seconds: float,
    file: Path,
    format_name: str,
    key: str | None,
    delimiter: str | None,
    concurrency: int,
    with_verify: bool,
    verify_only: bool,
) -> None:
    """Store every record of FILE, one a line.

    \b
    tsv     the key is one field of the line, the value is the line without it
    lines   the key is one field of the line, the value is the whole line
    jsonl   the key is one member of the line's object, the value is the whole line

    While it runs, nobody else may write these keys: a put whose outcome is unknown is repeated. It gives up when a
    record cannot be stored within --timeout.
    """
    from app import load as loading

    if format_name == "jsonl" and delimiter is not None:
        raise click.UsageError("jsonl has no delimiter")
    try:
        layout = loading.Layout(
            loading.Format(format_name),
            key or ("key" if format_name == "jsonl" else "1"),
            os.fsencode(delimiter) if delimiter is not None else b"\t",
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if (with_verify or verify_only) and not file.is_file():
        raise click.UsageError(f"{file} can be read only once, so it cannot be compared")

    def run(action: loading.Action, label: str) -> loading.Tally:
        size = file.stat().st_size
        bar = click.progressbar(length=size, label=label, file=sys.stderr, update_min_steps=max(1, size // 500))
        is_shown = sys.stderr.isatty() and size > 0
        with file.open("rb") as stream, bar if is_shown else nullcontext():

            def progress() -> None:
                if is_shown:
                    bar.update(stream.tell() - bar.pos)

            async def each() -> loading.Tally:
                urls: Sequence[str] = urls_of(url)
                async with AsyncClient(urls, timeout_seconds=timeout_seconds, waits=False) as client:
                    await client.learn()
                    urls = client.urls
                async with PipelinedClient(
                    urls, timeout_seconds=timeout_seconds, attempt_seconds=5.0, keeps_session=False, sole_writer=True
                ) as client:
                    return await action(loading.read_records(stream, layout), client, concurrency, progress)

            with failing_in_one_line():
                tally = asyncio.run(each())
        for problem in tally.problems:
            note(problem)
        return tally

    tallies = []
    if not verify_only:
        tallies.append(run(partial(loading.load, content_type=layout.content_type), "loading"))
    if verify_only or (with_verify and tallies[0].gave_up is None):
        tallies.append(run(loading.verify, "verifying"))
    click.echo("; ".join(tally.summary for tally in tallies))
    sys.exit(0 if all(tally.is_clean for tally in tallies) else 1)
