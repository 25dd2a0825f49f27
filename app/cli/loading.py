"""`ringkv load`: a file of records into the store, and back to compare."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

import click

from app.asyncclient import AsyncClient
from app.cli.files import Source, SourceType
from app.cli.numbers import IntegerRange
from app.cli.progress import progress
from app.cli.scanning import STOPPED, from_line_option, summary_option
from app.cli.talking import failing_in_one_line, gateway_options, note, urls_of
from app.frontier import Frontier
from app.load import LINE_BYTES_MAX, Format, Layout, Loader, Records, Tally, read_records
from app.offthread import off_thread
from app.pipeline import PipelinedClient

_LABELS = {"loaded": "loading", "verified": "verifying"}


@click.command()
@gateway_options(timeout_seconds=60.0)
@click.argument("file", type=SourceType())
@click.option("--format", "format_name", type=click.Choice(["tsv", "jsonl", "lines"]), default="tsv", show_default=True)
@click.option("--key", help="Number of the field, from 1; for jsonl the name of the member.  [default: 1; key]")
@click.option("--delimiter", help="What splits the fields.  [default: a tab]")
@click.option("--concurrency", type=IntegerRange(1, 1024), default=64, show_default=True, help="Records on their way.")
@from_line_option
@click.option("--verify", "with_verify", is_flag=True, help="Then read everything back and compare it.")
@click.option("--verify-only", is_flag=True, help="Load nothing: compare what is there.")
@summary_option
def load(
    *,
    url: str,
    timeout_seconds: float,
    file: Source,
    format_name: str,
    key: str | None,
    delimiter: str | None,
    concurrency: int,
    from_line: int,
    with_verify: bool,
    verify_only: bool,
    as_json: bool,
) -> None:
    """Store every record of FILE, or of stdin if that is -, one a line.

    \b
    tsv     the key is one field of the line, the value is the line without it
    lines   the key is one field of the line, the value is the whole line
    jsonl   the key is one member of the line's object, the value is the whole line

    A FILE whose name ends in .gz or .zst is unpacked. While it runs, nobody else may write these keys: a put whose
    outcome is unknown is repeated. It gives up when a record cannot be stored within --timeout. Stopped, by that or by
    Ctrl-C, it says with which line to go on.
    """
    if format_name == "jsonl" and delimiter is not None:
        raise click.UsageError("jsonl has no delimiter")
    try:
        layout = Layout(
            Format(format_name),
            key or ("key" if format_name == "jsonl" else "1"),
            os.fsencode(delimiter) if delimiter is not None else b"\t",
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if with_verify and not file.is_repeatable:
        raise click.UsageError(f"{file.name} can be read only once: load it, and then compare it with --verify-only")

    def run(tally: Tally, act: Callable[[Loader, Records, Tally], Awaitable[None]]) -> Tally:
        async def each() -> None:
            urls: Sequence[str] = urls_of(url)
            async with AsyncClient(urls, timeout_seconds=timeout_seconds, waits=False) as client:
                await client.learn()
                urls = client.urls
            async with PipelinedClient(
                urls, timeout_seconds=timeout_seconds, attempt_seconds=5.0, keeps_session=False, sole_writer=True
            ) as client:
                records = off_thread(read_records(file.lines(LINE_BYTES_MAX), layout, from_line))
                await act(Loader(client, concurrency, lambda: advance(file.position)), records, tally)

        try:
            with progress(_LABELS[tally.verb], file.size) as advance, failing_in_one_line():
                asyncio.run(each())
        except KeyboardInterrupt:
            _tell(tally)
            note(f"stopped after {tally.summary}; {_how_to_go_on(tally)}")
            sys.exit(STOPPED)
        except click.ClickException as error:
            _tell(tally)
            if not tally.done:
                raise
            raise click.ClickException(f"{error.message}; {_how_to_go_on(tally)}") from error
        _tell(tally)
        if tally.gave_up is not None:
            note(_how_to_go_on(tally))
        return tally

    def put_all(loader: Loader, records: Records, tally: Tally) -> Awaitable[None]:
        return loader.load(records, tally, layout.content_type)

    tallies = []
    if not verify_only:
        tallies.append(run(Tally("loaded", frontier=Frontier(from_line)), put_all))
    if verify_only or (with_verify and tallies[0].gave_up is None):
        tallies.append(run(Tally("verified", frontier=Frontier(from_line)), Loader.verify))
    click.echo(_as_json(tallies) if as_json else "; ".join(tally.summary for tally in tallies))
    sys.exit(0 if all(tally.is_clean for tally in tallies) else 1)


def _as_json(tallies: Sequence[Tally]) -> str:
    """What came of each pass, by its verb."""
    return json.dumps(
        {
            tally.verb: {
                "done": tally.done,
                "failed": tally.failed,
                "different": len(tally.different),
                "seconds": round(tally.seconds, 3),
                "next_line": tally.frontier.next_line,
                "gave_up": tally.gave_up,
            }
            for tally in tallies
        }
    )


def _tell(tally: Tally) -> None:
    for problem in tally.problems:
        note(problem)


def _how_to_go_on(tally: Tally) -> str:
    line = tally.frontier.next_line
    return f"all lines before {line} are done with: go on with --from-line {line}, and all else as before"
