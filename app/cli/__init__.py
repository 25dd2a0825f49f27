"""The `ringkv` command: nodes, clusters on this machine, and a client of either.

Exit codes: 0 done, 1 failed, 2 wrong usage. What was asked for goes to stdout, everything else to stderr. Each command
imports what it needs when it runs, so that `ringkv get` does not wait for a server's imports.
"""

from importlib.metadata import version

import click

from app.cli.batching import batch, txn
from app.cli.benching import bench
from app.cli.cluster import replicas, status, transfer
from app.cli.completion import completion
from app.cli.keys import append, delete, get, incr, persist, put, touch
from app.cli.loading import load
from app.cli.nodes import node, up
from app.cli.offline import inspect, repair, verify
from app.cli.scanning import export, import_, scan
from app.cli.settings import settings
from app.cli.simulating import simulate
from app.cli.watching import watch

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("ringkv"), "-V", "--version", prog_name="ringkv")
def main() -> None:
    """A strongly consistent, partitioned key-value store.

    `ringkv up` starts a cluster on this machine; `put`, `get` and the rest talk to any node of one.
    """


for _command in (
    *(put, get, delete, incr, append, touch, persist),
    *(batch, txn),
    watch,
    *(status, replicas, transfer),
    *(scan, export, import_),
    *(load, bench),
    *(node, up, settings),
    *(verify, repair, inspect),
    simulate,
    completion,
):
    main.add_command(_command)
