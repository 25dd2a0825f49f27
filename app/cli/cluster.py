"""The cluster: `ringkv status`, `replicas` and `transfer`."""

import asyncio
import json
from typing import Any

import click
from click.shell_completion import CompletionItem

from app.cli.talking import DEFAULT_URL, gateway_options, talk, urls_of
from app.client import Client, ClientError

_COMPLETION_SECONDS = 1.0


class NodeName(click.ParamType[str]):
    """A node's name, which a shell completes by asking the cluster."""

    name = "node"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = [str(node["name"]) for node in _look_up(ctx).get("nodes", [])]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class PartitionNumber(click.IntRange):
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


@click.command()
@gateway_options(timeout_seconds=10.0)
@click.option("--json", "as_json", is_flag=True, help="Print what the gateway says as it is.")
def status(*, url: str, timeout_seconds: float, as_json: bool) -> None:
    """Show the nodes of a cluster, whether they are ready, and who leads which partition."""
    from app.status import format_status, probe

    cluster = talk(url, timeout_seconds, lambda client: client.cluster())
    if as_json:
        click.echo(json.dumps(cluster, indent=2))
        return
    readiness = asyncio.run(probe(cluster, min(timeout_seconds, 2.0)))
    click.echo(format_status(cluster, readiness))


@click.command()
@gateway_options(timeout_seconds=60.0)
@click.argument("partition", type=PartitionNumber(min=0))
@click.argument("nodes", type=NodeName(), nargs=-1, metavar="[NODE]...")
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

    def run(client: Client) -> dict[str, Any]:
        now = client.place(partition, nodes) if nodes else client.replicas(partition)
        return wait_moved(client, now, nodes, timeout_seconds) if waits else now

    click.echo(format_replicas(talk(url, timeout_seconds, run)))


@click.command()
@gateway_options(timeout_seconds=10.0)
@click.argument("partition", type=PartitionNumber(min=0))
@click.argument("node", type=NodeName())
def transfer(*, url: str, timeout_seconds: float, partition: int, node: str) -> None:
    """Have NODE, which must hold a replica, lead PARTITION."""
    talk(url, timeout_seconds, lambda client: client.transfer(partition, node))
