"""The cluster: `ringkv status`, `replicas` and `transfer`."""

import asyncio
import json
from typing import Any

import click
from click.shell_completion import CompletionItem

from app.cli.numbers import IntegerRange
from app.cli.talking import DEFAULT_URL, gateway_options, talk, urls_of
from app.client import Client, ClientError

_COMPLETION_SECONDS = 1.0


class NodeName(click.ParamType[str]):
    """A node's name, which a shell completes by asking the cluster."""

    name = "node"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = [str(node["name"]) for node in _look_up(ctx).get("nodes", [])]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class PartitionNumber(IntegerRange):
    """A partition's number, completed likewise, with its leader beside it."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = [(str(each["id"]), each.get("leader")) for each in _look_up(ctx).get("partitions", [])]
        return [
            CompletionItem(number, help=f"led by {leader}" if leader else "without a leader")
            for number, leader in found
            if number.startswith(incomplete)
        ]


def _look_up(ctx: click.Context) -> dict[str, Any]:
    """What a gateway says of the cluster; nothing, where none answers at once."""
    url = ctx.params.get("url") or DEFAULT_URL
    try:
        with Client(urls_of(url), timeout_seconds=_COMPLETION_SECONDS, waits=False) as client:
            return client.cluster()
    except (ClientError, ValueError):
        return {}


json_option = click.option("--json", "as_json", is_flag=True, help="Print all that is known, as JSON.")


@click.command()
@gateway_options(timeout_seconds=10.0)
@click.option("--all", "shows_all", is_flag=True, help="Show every partition, also where there are many.")
@json_option
def status(*, url: str, timeout_seconds: float, shows_all: bool, as_json: bool) -> None:
    """Show whether the cluster is well.

    \b
    The first line is the verdict: how many nodes are ready, how many partitions have a leader and all of their
    replicas, and how many more nodes may be lost. What is wrong is said below it.
    \b
    LEADS, HOLDS   partitions that the node leads, and of which it has a replica
    LAG            entries of the log that it has yet to apply, in the partition where these are most
    RECORDS        keys in its replicas, roughly
    STORED         bytes of its tables and its log
    DISK FREE      of the disk that its data is on; full: it refuses puts

    Every node is asked itself.
    """
    from app.status import format_status, look

    cluster = talk(url, timeout_seconds, lambda client: client.cluster())
    found = asyncio.run(look(cluster, min(timeout_seconds, 2.0)))
    click.echo(json.dumps(found.document(), indent=2) if as_json else format_status(found, shows_all=shows_all))


@click.command()
@gateway_options(timeout_seconds=60.0)
@click.argument("partition", type=PartitionNumber(min=0))
@click.argument("nodes", type=NodeName(), nargs=-1, metavar="[NODE]...")
@click.option("--wait", "waits", is_flag=True, help="Come back only when the replicas have moved.")
@click.option("--allow-fewer", is_flag=True, help="Name fewer nodes than the cluster keeps copies of each partition.")
@json_option
def replicas(
    *,
    url: str,
    timeout_seconds: float,
    partition: int,
    nodes: tuple[str, ...],
    waits: bool,
    allow_fewer: bool,
    as_json: bool,
) -> None:
    """Show which nodes hold PARTITION; or give it to the nodes that are named, and to no others.

    \b
    voters     the nodes whose majority decides
    learners   nodes that are being filled before they vote
    target     the nodes that shall be the voters, where they are not yet

    The first of the named nodes shall lead. The command comes back once the move is decided; the replicas then move
    one by one, new ones first, while requests go on.
    """
    from app.replicas import format_replicas, wait_moved

    def run(client: Client) -> dict[str, Any]:
        now = client.place(partition, nodes, allow_fewer=allow_fewer) if nodes else client.replicas(partition)
        return wait_moved(client, now, nodes, timeout_seconds) if waits else now

    found = talk(url, timeout_seconds, run)
    click.echo(json.dumps(found) if as_json else format_replicas(found))


@click.command()
@gateway_options(timeout_seconds=10.0)
@click.argument("partition", type=PartitionNumber(min=0))
@click.argument("node", type=NodeName())
@json_option
def transfer(*, url: str, timeout_seconds: float, partition: int, node: str, as_json: bool) -> None:
    """Give the leadership of PARTITION to NODE, which must hold a replica of it."""
    talk(url, timeout_seconds, lambda client: client.transfer(partition, node))
    told = {"partition": partition, "leader": node}
    click.echo(json.dumps(told) if as_json else f"OK, {node} leads partition {partition}")
