"""`ringkv node` and `ringkv up`: one node, and a cluster on this machine."""

import os
import sys
from pathlib import Path

import click

from app.cli.talking import note

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


@click.command()
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


@click.command()
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
        code = run_cluster(data, wish, environ, say=click.echo, log=note)
    except SupervisorError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)
