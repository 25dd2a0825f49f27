"""`ringkv simulate`: a whole cluster on simulated time."""

import os
import sys
from typing import TextIO

import click

from app.cli.numbers import IntegerRange, NumberRange


@click.command()
@click.option(
    "--seed", type=IntegerRange(0), default=1, show_default=True, help="The seed that everything follows from."
)
@click.option("--seeds", metavar="FROM-TO", help="Run all seeds of a range instead of one.")
@click.option("--count", type=IntegerRange(1), help="Run so many seeds, from --seed on.")
@click.option("--jobs", type=IntegerRange(1, 256), help="How many seeds run at once.  [default: one on each processor]")
@click.option("--nodes", type=IntegerRange(1, 16), default=5, show_default=True, help="How many nodes.")
@click.option(
    "--partitions",
    type=IntegerRange(1, 64),
    default=4,
    show_default=True,
    help="How many partitions: a power of two.",
)
@click.option(
    "--steps",
    type=IntegerRange(1),
    default=50_000,
    show_default=True,
    help="How many steps the part with faults has.",
)
@click.option(
    "--faults",
    metavar="KIND,...",
    help="The kinds of faults: net, disk, crash, clock, membership; or none.  [default: all]",
)
@click.option(
    "--only-faults", metavar="NUMBER,...", help="Let only these faults strike, by their numbers in the run; or none."
)
@click.option(
    "--trace", type=click.File("w", lazy=False), help="Write everything that happens to a file, line by line."
)
@click.option(
    "--shrink/--no-shrink", default=True, help="When a run fails, look for a smaller one that fails.  [default: shrink]"
)
@click.option(
    "--shrink-seconds",
    type=NumberRange(0),
    default=60.0,
    show_default=True,
    help="How many seconds to look for a smaller run.",
)
def simulate(
    *,
    seed: int,
    seeds: str | None,
    count: int | None,
    jobs: int | None,
    nodes: int,
    partitions: int,
    steps: int,
    faults: str | None,
    only_faults: str | None,
    trace: TextIO | None,
    shrink: bool,
    shrink_seconds: float,
) -> None:
    """Run a whole cluster on simulated time, with faults, and check that it keeps its promises.

    Everything follows from the options: the same ones give the same run, event for event, on any machine. Nothing real
    is touched. When a promise is broken the exit code is 1, and the last line is the command that shows it again.
    """
    from app.simulation.campaign import Campaign, options_of

    if seeds is not None and count is not None:
        raise click.UsageError("give --seeds or --count, not both")
    try:
        options = options_of(seed, nodes, partitions, steps, faults, only_faults)
        numbers = _seeds(seeds) if seeds is not None else range(seed, seed + (count or 1))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if trace is not None and len(numbers) > 1:
        raise click.UsageError("--trace is for one seed")
    keep_trace = trace.write if trace is not None else None
    campaign = Campaign(options, numbers, jobs or len(os.sched_getaffinity(0)), keep_trace, click.echo)
    is_clean = campaign.run(shrink_seconds if shrink else 0.0)
    sys.exit(0 if is_clean else 1)


def _seeds(text: str) -> range:
    """FROM-TO, both included. Raises: ValueError."""
    first, dash, last = text.partition("-")
    if not (text.isascii() and dash and first.isdigit() and last.isdigit() and int(first) <= int(last)):
        raise ValueError(f"--seeds is FROM-TO, such as 1-200, not {text!r}")
    return range(int(first), int(last) + 1)
