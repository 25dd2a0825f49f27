"""One key: `ringkv put`, `get` and `delete`."""

import os
import sys
from typing import BinaryIO

import click

from app.cli.talking import encode_key, gateway_options, talk

VALUE_BYTES_MAX = 16 << 20  # of what is read from stdin or a file; a cluster takes far less and says so


@click.command()
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
    talk(url, timeout_seconds, lambda client: client.put(encode_key(key), body, content_type))


@click.command()
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
    value = talk(url, timeout_seconds, lambda client: client.get(encode_key(key), consistency))
    if value is None:
        raise click.ClickException(f"no value under key {key!r}")
    sys.stdout.buffer.write(value)
    sys.stdout.buffer.flush()


@click.command()
@gateway_options(timeout_seconds=10.0)
@click.argument("key")
def delete(*, url: str, timeout_seconds: float, key: str) -> None:
    """Remove KEY, whether or not it exists."""
    talk(url, timeout_seconds, lambda client: client.delete(encode_key(key)))


def _read_value(file: BinaryIO) -> bytes:
    value = file.read(VALUE_BYTES_MAX + 1)
    if len(value) > VALUE_BYTES_MAX:
        raise click.ClickException(f"the value is longer than {VALUE_BYTES_MAX} bytes")
    return value
