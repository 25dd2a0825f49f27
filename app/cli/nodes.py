"""`ringkv node` and `ringkv up`: one node, and a cluster on this machine."""

import os
import sys
from pathlib import Path

import click

from app.cli.numbers import IntegerRange
from app.cli.options import SettingsCommand
from app.cli.settings import variables_of
from app.cli.talking import note
from app.setting import Setting, SettingsError, settings_of


def _groups() -> list[tuple[str, list[Setting]]]:
    from app.settings import CONFIG, SECRET_FILE, Limits, Settings

    own = [item for item in settings_of(Settings) if not item.is_secret]
    return [
        ("Required", [item for item in own if item.required]),
        ("Settings", [*(item for item in own if not item.required), SECRET_FILE, CONFIG]),
        ("Limits of requests and connections", list(settings_of(Limits))),
    ]


@click.command(cls=SettingsCommand, groups=_groups)
@click.pass_context
def node(ctx: click.Context, /, **options: object) -> None:
    """Run one node in the foreground; without --seeds it is a cluster of one.

    Started again on the same directory it goes on where it ended. Every option may be given in the environment
    instead (RINGKV_NAME, RINGKV_SECRET_FILE and so on), or in the file of --config. `ringkv settings` explains all.
    """
    from app.server import run_node
    from app.settings import Settings

    try:
        settings = Settings.load(options, os.environ)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    sys.exit(run_node(settings, _unknown_variables(ctx)))


def _unknown_variables(ctx: click.Context) -> list[str]:
    from app.settings import unknown_variables

    root = ctx.find_root()
    commands = root.command
    assert isinstance(commands, click.Group), "the command line is a group of commands"
    every = filter(None, (commands.get_command(root, name) for name in commands.list_commands(root)))
    return unknown_variables(os.environ, variables_of(every))


@click.command()
@click.option("--nodes", type=IntegerRange(1, 100), envvar="RINGKV_NODES", help="How many nodes.  [default: 3]")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".ringkv"),
    show_default=True,
    envvar="RINGKV_DATA",
    help="The directory where all nodes keep their state.",
)
@click.option(
    "--http-port",
    type=IntegerRange(0, 65535),
    envvar="RINGKV_HTTP_PORT",
    help="The HTTP port of the first node; the others have the next ones. 0 takes free ports.  [default: 8001]",
)
@click.option(
    "--peer-port",
    type=IntegerRange(0, 65535),
    envvar="RINGKV_PEER_PORT",
    help="The same for the ports where the nodes listen for each other.  [default: 9001]",
)
@click.option(
    "--partitions",
    type=IntegerRange(1, 1024),
    envvar="RINGKV_PARTITIONS",
    help="How many partitions: a power of two, fixed at the first start.  [default: 16]",
)
@click.option("--config", envvar="RINGKV_CONFIG", metavar="FILE", help="A TOML file with settings of all nodes.")
@click.option("--consistency", metavar="LEVEL", help="The level of a read that does not ask for one.")
@click.option("--lease-seconds", metavar="SECONDS", help="How long a leader may answer lease reads by itself.")
def up(
    *,
    nodes: int | None,
    data: Path,
    http_port: int | None,
    peer_port: int | None,
    partitions: int | None,
    **settings: str | None,
) -> None:
    """Run a cluster on this machine in the foreground; Ctrl-C stops it.

    A node that dies is started again. Started again on the same data, the cluster goes on where it ended, with the
    nodes, ports and partitions it had. Every other setting of its nodes is given in the environment, or in a file
    (`ringkv settings`).
    """
    from app.settings import check_settings
    from app.supervisor import SupervisorError, Wish, run_cluster

    given = {f"RINGKV_{name.upper()}": value for name, value in settings.items() if value is not None}
    environ = {**os.environ, **given}
    try:
        check_settings(environ)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    if partitions is not None and partitions & (partitions - 1):
        raise click.UsageError("--partitions is a power of two")
    wish = Wish(nodes, http_port, peer_port, partitions)
    try:
        code = run_cluster(data, wish, environ, say=click.echo, log=note)
    except SupervisorError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)
