"""The `ringkv` command: nodes, clusters on this machine, and a client of either.

Exit codes: 0 done, 1 failed, 2 wrong usage. What was asked for goes to stdout, everything else to stderr. Each command
imports what it needs when it runs, so that `ringkv get` does not wait for a server's imports.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

import click

from app.client import Client, ClientError, InvalidUrlError

DEFAULT_URL = "http://127.0.0.1:8001"
VALUE_BYTES_MAX = 16 << 20  # of what is read from stdin or a file; a cluster takes far less and says so

T = TypeVar("T")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("ringkv"), "-V", "--version", prog_name="ringkv")
def main() -> None:
    """A strongly consistent, partitioned key-value store.

    `ringkv up` starts a cluster on this machine; `put`, `get` and the rest talk to any node of one.
    """


Command = Callable[..., None]

lease_option = click.option(
    "--lease-seconds",
    type=float,
    envvar="RINGKV_LEASE_SECONDS",
    help="How long a leader that a majority has confirmed answers reads with consistency=lease by itself; 0, the"
    " default, is never. Set it only where the rates of any two nodes' monotonic clocks differ by less than 10 %, or"
    " such reads may be old; others never are. Give it to all nodes alike. While it is set, a leader that fails is"
    " replaced only after a second or two.",
)


consistency_option = click.option(
    "--consistency",
    type=click.Choice(["linearizable", "lease", "session", "bounded", "stale"]),
    envvar="RINGKV_CONSISTENCY",
    help="The level of a read that does not ask for one.  [default: linearizable]",
)


def gateway_options(timeout_seconds: float) -> Callable[[Command], Command]:
    """--url and --timeout, for every command that talks to a gateway."""

    def add(command: Command) -> Command:
        command = click.option(
            "--timeout",
            "timeout_seconds",
            type=click.FloatRange(min=0.1, max=3600),
            default=timeout_seconds,
            show_default=True,
            metavar="SECONDS",
            envvar="RINGKV_TIMEOUT",
            help="How long to try before giving up.",
        )(command)
        return click.option(
            "--url",
            default=DEFAULT_URL,
            show_default=True,
            envvar="RINGKV_URL",
            help="A gateway; several, separated by commas, take over from each other.",
        )(command)

    return add


@main.command()
@click.option("--name", help="This node's name, unique in its cluster.")
@click.option("--data", metavar="DIR", help="Where this node keeps its state.")
@click.option("--http", metavar="HOST:PORT", help="Where to serve HTTP.")
@click.option("--peer", metavar="HOST:PORT", help="Where to listen for the other nodes.")
@click.option("--seeds", metavar="NAME=HOST:PORT,...", help="The initial members and their peer addresses, itself too.")
@click.option("--zone", help="Replicas of a partition prefer different zones.")
@click.option("--partitions", type=int, help="Of a new cluster: a power of two, up to 1024.")
@click.option("--replication-factor", type=int, help="Of a new cluster: how many nodes hold each partition.")
@click.option("--secret-file", metavar="FILE", help="What proves that a node belongs to the cluster.")
@consistency_option
@click.option(
    "--idempotency-seconds",
    type=float,
    help="How long the result of a write with an Idempotency-Key is kept.  [default: 86400]",
)
@lease_option
def node(**options: object) -> None:
    """Run one node in the foreground; without --seeds it is a cluster of one.

    Started again on the same directory it goes on where it ended. Every option may be given as RINGKV_* in the
    environment instead: RINGKV_NAME, RINGKV_SECRET_FILE and so on.
    """
    from app.server import run_node
    from app.settings import Settings, SettingsError

    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = Settings.load(given, os.environ)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    sys.exit(run_node(settings))


@main.command()
@click.option("--nodes", type=click.IntRange(1, 100), envvar="RINGKV_NODES", help="How many.  [default: 3]")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".ringkv"),
    show_default=True,
    envvar="RINGKV_DATA",
    help="Where their state is kept.",
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    envvar="RINGKV_HTTP_PORT",
    help="Of the first node, the others follow; 0 takes free ones.  [default: 8001]",
)
@click.option(
    "--peer-port",
    type=click.IntRange(0, 65535),
    envvar="RINGKV_PEER_PORT",
    help="As --http-port, for what the nodes say to each other.  [default: 9001]",
)
@click.option(
    "--partitions",
    type=click.IntRange(1, 1024),
    envvar="RINGKV_PARTITIONS",
    help="A power of two, fixed at the first start.  [default: 16]",
)
@consistency_option
@lease_option
def up(
    *,
    nodes: int | None,
    data: Path,
    http_port: int | None,
    peer_port: int | None,
    partitions: int | None,
    consistency: str | None,
    lease_seconds: float | None,
) -> None:
    """Run a cluster on this machine in the foreground; Ctrl-C stops it.

    A node that dies is started again. Started again on the same data, the cluster goes on where it ended, with the
    nodes, ports and partitions it had.
    """
    from app.settings import SettingsError, check_lease
    from app.supervisor import SupervisorError, Wish, run_cluster

    environ = dict(os.environ)
    if lease_seconds is not None:
        try:
            check_lease(lease_seconds)
        except SettingsError as error:
            raise click.UsageError(str(error)) from error
        environ["RINGKV_LEASE_SECONDS"] = str(lease_seconds)
    if consistency is not None:
        environ["RINGKV_CONSISTENCY"] = consistency
    if partitions is not None and partitions & (partitions - 1):
        raise click.UsageError("--partitions is a power of two")
    wish = Wish(nodes, http_port, peer_port, partitions)
    try:
        code = run_cluster(data, wish, environ, say=click.echo, log=_note)
    except SupervisorError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


@main.command()
@gateway_options(timeout_seconds=10.0)
@click.argument("key")
@click.argument("value", required=False)
@click.option("--file", type=click.File("rb"), help="Read the value from there; - is stdin, as without a VALUE.")
@click.option("--content-type", default="application/octet-stream", show_default=True, help="Given back with it.")
def put(
    *, url: str, timeout_seconds: float, key: str, value: str | None, file: BinaryIO | None, content_type: str
) -> None:
    """Store VALUE, or what stdin holds, under KEY."""
    if value is not None and file is not None:
        raise click.UsageError("give the value as an argument or with --file, not both")
    body = os.fsencode(value) if value is not None else _read_value(file or sys.stdin.buffer)
    if not content_type.isascii() or not content_type.isprintable():
        raise click.UsageError("--content-type is not a media type")
    _talk(url, timeout_seconds, lambda client: client.put(_key(key), body, content_type))


@main.command()
@gateway_options(timeout_seconds=10.0)
@click.argument("key")
@click.option(
    "--consistency",
    type=click.Choice(["linearizable", "lease", "session", "bounded", "stale"]),
    help="lease: from the leader alone, if leases are on. bounded: from any replica that can show how old it is."
    " stale: from any replica, even without a quorum, perhaps old.  [default: as the cluster is set]",
)
def get(*, url: str, timeout_seconds: float, key: str, consistency: str) -> None:
    """Write the value of KEY to stdout, byte for byte; exit 1 when there is none."""
    value = _talk(url, timeout_seconds, lambda client: client.get(_key(key), consistency))
    if value is None:
        raise click.ClickException(f"no value under key {key!r}")
    sys.stdout.buffer.write(value)
    sys.stdout.buffer.flush()


@main.command()
@gateway_options(timeout_seconds=10.0)
@click.argument("key")
def delete(*, url: str, timeout_seconds: float, key: str) -> None:
    """Remove KEY, whether or not it exists."""
    _talk(url, timeout_seconds, lambda client: client.delete(_key(key)))


@main.command()
@gateway_options(timeout_seconds=10.0)
@click.option("--json", "as_json", is_flag=True, help="Print what the gateway says as it is.")
def status(*, url: str, timeout_seconds: float, as_json: bool) -> None:
    """Show the nodes of a cluster, whether they are ready, and who leads which partition."""
    from app.status import format_status, probe

    cluster = _talk(url, timeout_seconds, lambda client: client.cluster())
    if as_json:
        click.echo(json.dumps(cluster, indent=2))
        return
    readiness = asyncio.run(probe(cluster, min(timeout_seconds, 2.0)))
    click.echo(format_status(cluster, readiness))


@main.command()
@gateway_options(timeout_seconds=60.0)
@click.argument("partition", type=click.IntRange(min=0))
@click.argument("nodes", nargs=-1, metavar="[NODE]...")
@click.option("--wait", "waits", is_flag=True, help="Come back only when the replicas are where they shall be.")
def replicas(*, url: str, timeout_seconds: float, partition: int, nodes: tuple[str, ...], waits: bool) -> None:
    """Show which nodes hold PARTITION, or have these hold it.

    \b
    voters     their majority decides
    learners   being filled before they vote
    target     what the voters shall be, where they are not yet

    Given nodes, and no others, shall hold it; leadership belongs with the first. The command comes back once that is
    decided. The replicas are then moved one by one, new ones first, while requests go on.
    """
    from app.replicas import format_replicas, wait_moved

    async def run(client: Client) -> dict[str, Any]:
        now = await (client.place(partition, nodes) if nodes else client.replicas(partition))
        return await wait_moved(client, now, nodes, timeout_seconds) if waits else now

    click.echo(format_replicas(_talk(url, timeout_seconds, run)))


@main.command()
@gateway_options(timeout_seconds=10.0)
@click.argument("partition", type=click.IntRange(min=0))
@click.argument("node")
def transfer(*, url: str, timeout_seconds: float, partition: int, node: str) -> None:
    """Have NODE, which must hold a replica, lead PARTITION."""
    _talk(url, timeout_seconds, lambda client: client.transfer(partition, node))


@main.command()
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

            async def each(client: Client) -> loading.Tally:
                await client.reach()
                await client.learn()
                return await action(loading.read_records(stream, layout), client, concurrency, progress)

            tally = _talk(url, timeout_seconds, each, sole_writer=True)
        for problem in tally.problems:
            _note(problem)
        return tally

    tallies = []
    if not verify_only:
        tallies.append(run(partial(loading.load, content_type=layout.content_type), "loading"))
    if verify_only or (with_verify and tallies[0].gave_up is None):
        tallies.append(run(loading.verify, "verifying"))
    click.echo("; ".join(tally.summary for tally in tallies))
    sys.exit(0 if all(tally.is_clean for tally in tallies) else 1)


@main.command()
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="What everything is drawn from.")
@click.option("--seeds", metavar="FROM-TO", help="Many seeds, instead of one.")
@click.option("--count", type=click.IntRange(1), help="So many seeds from --seed on.")
@click.option("--jobs", type=click.IntRange(1, 256), help="How many seeds at once.  [default: a processor each]")
@click.option("--nodes", type=click.IntRange(1, 16), default=5, show_default=True)
@click.option("--partitions", type=click.IntRange(1, 64), default=4, show_default=True, help="A power of two.")
@click.option("--steps", type=click.IntRange(1), default=50_000, show_default=True, help="Of the part with faults.")
@click.option("--faults", metavar="KIND,...", help="net, disk, crash, clock, membership, or none.  [default: all]")
@click.option("--only-faults", metavar="NUMBER,...", help="Of the faults drawn, let these alone strike; or none.")
@click.option("--trace", type=click.File("w", lazy=False), help="Write everything that happened there, line by line.")
@click.option("--shrink/--no-shrink", default=True, help="Look for a smaller run that fails.  [default: shrink]")
@click.option("--shrink-seconds", type=click.FloatRange(0), default=60.0, show_default=True, help="For how long.")
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


@main.command()
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
        _say(problem)
    if problems:
        raise click.ClickException(f"{directory}: {len(problems)} problem(s)")
    click.echo(f"{directory}: no damage found")


@main.command()
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
        _say(line)
    if is_replica(directory):
        _note("these are a replica's records, with b'\\x01' before each user's key; they must not take its place, and")
        _note("the newest may never have been acknowledged: that only a majority knows")
    if not repaired.is_whole:
        raise click.ClickException(f"{directory}: not all could be saved, or not for certain")


@main.command()
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
            _say(line)
    except OfflineError as error:
        raise click.ClickException(str(error)) from error


def _talk(
    url: str, timeout_seconds: float, action: Callable[[Client], Awaitable[T]], *, sole_writer: bool = False
) -> T:
    """Runs one exchange with the cluster; what goes wrong is one line and exit code 1."""

    async def run() -> T:
        urls = [part.strip() for part in url.split(",") if part.strip()]
        async with Client(urls, timeout_seconds=timeout_seconds, sole_writer=sole_writer) as client:
            return await action(client)

    try:
        return asyncio.run(run())
    except InvalidUrlError as error:
        raise click.UsageError(str(error)) from error
    except ClientError as error:
        doubt = "; it may have been applied" if error.may_have_applied else ""
        raise click.ClickException(f"{error}{doubt}") from error


def _key(text: str) -> bytes:
    """The bytes the shell passed, whatever they are."""
    key = os.fsencode(text)
    if not key:
        raise click.UsageError("the key is empty")
    return key


def _seeds(text: str) -> range:
    """FROM-TO, both included. Raises: ValueError."""
    first, dash, last = text.partition("-")
    if not (text.isascii() and dash and first.isdigit() and last.isdigit() and int(first) <= int(last)):
        raise ValueError(f"--seeds is FROM-TO, such as 1-200, not {text!r}")
    return range(int(first), int(last) + 1)


def _read_value(file: BinaryIO) -> bytes:
    value = file.read(VALUE_BYTES_MAX + 1)
    if len(value) > VALUE_BYTES_MAX:
        raise click.ClickException(f"the value is longer than {VALUE_BYTES_MAX} bytes")
    return value


def _say(text: str) -> None:
    """Echo it, also where it has the name of a file that is no text."""
    click.echo(os.fsencode(text).decode(errors="replace"))


def _note(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="ringkv")
