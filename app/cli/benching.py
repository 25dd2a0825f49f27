"""`ringkv bench`."""

import asyncio
import json
import signal
import sys
from typing import TextIO

import click

from app.cli.numbers import IntegerRange, NumberRange
from app.cli.talking import DEFAULT_URL
from app.clienterrors import InvalidUrlError


@click.command()
@click.option(
    "--url",
    default=DEFAULT_URL,
    show_default=True,
    envvar="RINGKV_URL",
    help="The gateways to use, separated by commas.",
)
@click.option(
    "--clients",
    type=IntegerRange(1, 1024),
    default=16,
    show_default=True,
    help="How many clients run at once, each with one request.",
)
@click.option("--seconds", type=NumberRange(0.1), default=10.0, show_default=True, help="How many seconds it takes.")
@click.option(
    "--keys",
    type=IntegerRange(1, 100_000),
    default=32,
    show_default=True,
    help="How many keys are used; all are new.",
)
@click.option(
    "--value-bytes",
    type=IntegerRange(1, 10_000),
    default=100,
    show_default=True,
    help="How long each value is, in bytes.",
)
@click.option(
    "--reads",
    type=NumberRange(0, 1),
    default=0.5,
    show_default=True,
    help="The share of gets; the others are puts.",
)
@click.option(
    "--timeout-ms",
    type=IntegerRange(10, 60_000),
    default=2_000,
    show_default=True,
    help="How long each request may take, in milliseconds.",
)
@click.option(
    "--history",
    type=click.File("w"),
    help="Write what each client did and saw to a file, one JSON object on each line.",
)
@click.option(
    "--check/--no-check",
    default=True,
    help="Check in the end that what the clients saw is linearizable.  [default: check]",
)
@click.option(
    "--live/--plain", default=None, help="Show a table, or one line each second.  [default: a table in a terminal]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def bench(
    *,
    url: str,
    clients: int,
    seconds: float,
    keys: int,
    value_bytes: int,
    reads: float,
    timeout_ms: int,
    history: TextIO | None,
    check: bool,
    live: bool | None,
    as_json: bool,
) -> None:
    """Put and get as fast as the cluster answers, and show how fast that is.

    The clients spread over the gateways, and go on with another gateway when theirs fails. In the end it is checked
    that what they saw is linearizable. The exit code is 1 if it is not, or if no operation succeeded. Ctrl-C ends the
    load early; the check is made all the same.
    """
    from app.bench import Bench, Plan, run_shown
    from app.benchview import facts, shown, summary

    plan = Plan(url.split(","), clients, keys, value_bytes, reads, seconds, timeout_ms)
    try:
        made = Bench(plan)
    except InvalidUrlError as error:
        raise click.UsageError(str(error)) from error

    async def run() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, made.stop)
        is_live = sys.stderr.isatty() if live is None else live
        with shown(sys.stderr, is_live=is_live) as show:
            await run_shown(made, show, 0.25 if is_live else 1.0)

    asyncio.run(run())
    if history is not None:
        history.write(made.history.dump())
    violation = made.judge() if check else None
    verdict = None if not check else violation is None
    click.echo(json.dumps(facts(made, verdict)) if as_json else summary(made))
    if violation is not None:
        raise click.ClickException(f"not linearizable: {violation}")
    if check and not as_json:
        click.echo("linearizable")
    if not made.total.latencies:
        raise click.ClickException(f"no operation succeeded at {url}")
