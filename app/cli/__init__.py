"""The `ringkv` command: nodes, clusters on this machine, and a client of either.

Exit codes: 0 done, 1 failed, 2 wrong usage. What was asked for goes to stdout, everything else to stderr. A command is
imported when it is used, so that `ringkv get` waits for nobody else's imports.
"""

from importlib import import_module
from typing import Any

import click

from app.cli.output import failing_output_in_one_line

__all__ = ["main"]

# By section and name: where the command is, and its line in the list of all.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Keys": {
        "get": ("keys.get", "Print the value of a key."),
        "put": ("keys.put", "Store a value under a key."),
        "delete": ("keys.delete", "Delete a key, or all keys with a prefix."),
        "incr": ("keys.incr", "Add to the number under a key."),
        "append": ("keys.append", "Append to the value of a key."),
        "touch": ("keys.touch", "Give a key a new time to live."),
        "persist": ("keys.persist", "Take the time to live from a key."),
        "scan": ("scanning.scan", "List keys in order, with their values."),
        "watch": ("watching.watch", "Print changes as they happen."),
        "batch": ("batching.batch", "Do many operations in one request."),
        "txn": ("batching.txn", "Compare, then write all or nothing."),
        "shell": ("shell.shell", "Type commands one after the other."),
    },
    "Files": {
        "load": ("loading.load", "Store each line of a text file."),
        "export": ("scanning.export", "Write all keys to a file."),
        "import": ("scanning.import_", "Store what an export has written."),
    },
    "Cluster": {
        "up": ("nodes.up", "Start a cluster on this machine."),
        "node": ("nodes.node", "Start one node."),
        "status": ("cluster.status", "Show whether the cluster is well."),
        "replicas": ("cluster.replicas", "Show or move the replicas of a partition."),
        "transfer": ("cluster.transfer", "Move the leadership of a partition."),
        "settings": ("settings.settings", "List every setting of a node."),
    },
    "Disk": {
        "verify": ("offline.verify", "Look for damage on the disk of a stopped node."),
        "repair": ("offline.repair", "Save what is whole of a damaged store."),
        "inspect": ("offline.inspect", "Print what is in a file of a store."),
    },
    "Tools": {
        "bench": ("benching.bench", "Measure how fast a cluster is."),
        "simulate": ("simulating.simulate", "Run a simulated cluster with faults."),
        "completion": ("completion.completion", "Print the script for completion in a shell."),
    },
}


class Commands(click.Group):
    """Finds each command in the module that has it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for commands in SECTIONS.values():
            if cmd_name in commands:
                module, _, attribute = commands[cmd_name][0].rpartition(".")
                command = getattr(import_module(f"app.cli.{module}"), attribute)
                assert isinstance(command, click.Command), "the table names commands"
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in (known := self.list_commands(ctx)):
            from app.setting import nearest

            hint = nearest(args[0], dict.fromkeys(known))
            ctx.fail(f"there is no command {args[0]!r}{hint}; `ringkv --help` lists all")
        return super().resolve_command(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with failing_output_in_one_line():  # --help and --version print while the line is read
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with failing_output_in_one_line():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, summary) for name, (_, summary) in commands.items()], col_max=12)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"ringkv, version {version('ringkv')}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-V",
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def main() -> None:
    """A strongly consistent, partitioned key-value store.

    Start a cluster on this machine with `ringkv up`. All other commands talk to http://127.0.0.1:8001, or to the
    gateways that --url or RINGKV_URL names.
    """
