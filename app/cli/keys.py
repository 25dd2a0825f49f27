"""One key: `ringkv put`, `get`, `delete`, `incr`, `append`, `touch` and `persist`."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import click

from app.calls import Changed, Entry, Number, Value, Written
from app.cli.files import Source, SourceType
from app.cli.numbers import IntegerRange, NumberRange
from app.cli.talking import Command, client_at, encode_key, gateway_options, is_in_shell
from app.client import Client, IfMatch
from app.rules import (
    INTEGER_MAX,
    INTEGER_MIN,
    LEVEL_NAMES,
    STALENESS_MS,
    STALENESS_MS_MAX,
    TTL_SECONDS_MAX,
    TTL_SECONDS_MIN,
    whole_number,
)
from app.spelling import spell

VALUE_BYTES_MAX = 16 << 20  # of what is read from stdin or a file; a cluster takes far less and says so
TTL = NumberRange(TTL_SECONDS_MIN, TTL_SECONDS_MAX)

R = TypeVar("R", Written, Number, Changed, Written | Changed, Entry | None)

json_option = click.option("--json", "as_json", is_flag=True, help="Print all that the gateway says, as JSON.")
file_option = click.option(
    "--file",
    type=SourceType(unpacks=False),
    help="Read the value from a file; - is standard input, as without a VALUE.",
)
session_option = click.option(
    "--session",
    metavar="TOKEN",
    envvar="RINGKV_SESSION",
    help="The session that --json showed before: reads with --consistency session see what was written and seen then.",
)


class Revision(click.ParamType[int]):
    """A revision, or * for any."""

    name = "REV"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        revision = value if value == "*" else whole_number(value, 0, INTEGER_MAX)
        if revision is not None:
            return revision
        return self.fail(f"{value!r} is neither a revision nor *", param, ctx)


idempotency_option = click.option(
    "--idempotency-key",
    metavar="KEY",
    help="A name for this write. Repeated with the same name, it is done once.  [default: a new one]",
)


def asking(command: Command) -> Command:
    """What every command about one key takes."""
    return gateway_options(timeout_seconds=10.0)(session_option(json_option(command)))


def changing(command: Command) -> Command:
    """What every command takes that changes a key."""
    if_match = click.option(
        "--if-match",
        type=Revision(),
        help="Do it only if the key is at this revision, which --json shows; * is any, so that the key must exist.",
    )
    return asking(if_match(idempotency_option(command)))


@click.command()
@changing
@click.argument("key")
@click.argument("value", required=False)
@file_option
@click.option(
    "--content-type",
    default="application/octet-stream",
    show_default=True,
    help="The media type, which is given back with the value.",
)
@click.option("--ttl", type=TTL, metavar="SECONDS", help="How long until the key expires.")
@click.option("--if-absent", is_flag=True, help="Store it only if there is no such key yet.")
def put(
    *,
    key: str,
    value: str | None,
    file: Source | None,
    content_type: str,
    ttl: float | None,
    if_absent: bool,
    if_match: IfMatch,
    idempotency_key: str | None,
    **where: Any,
) -> None:
    """Store VALUE under KEY; without a VALUE, what comes in on standard input."""
    if not content_type.isascii() or not content_type.isprintable():
        raise click.UsageError("--content-type is not a media type")
    if if_absent and if_match is not None:
        raise click.UsageError("--if-match and --if-absent contradict each other")
    body = _body(value, file)
    _change(
        where,
        key,
        lambda client, name: client.put(
            name,
            body,
            ttl=ttl,
            if_match=if_match,
            if_absent=if_absent,
            content_type=content_type,
            idempotency_key=idempotency_key,
        ),
    )


@click.command()
@asking
@click.argument("key")
@click.option(
    "--consistency",
    type=click.Choice(LEVEL_NAMES),
    help="How fresh the answer must be. linearizable: it has all that was written before. lease: the same, from the"
    " leader alone, if leases are on. session: it has what --session has seen. bounded: from a replica that shows how"
    " old it is. stale: from any replica, even without a quorum, perhaps old.  [default: as the cluster is set]",
)
@click.option(
    "--max-staleness",
    type=IntegerRange(0, STALENESS_MS_MAX),
    metavar="MS",
    help=f"How old it may be, with --consistency bounded.  [default: {STALENESS_MS}]",
)
def get(*, key: str, consistency: Any, max_staleness: int | None, **where: Any) -> None:
    """Print the value of KEY, byte for byte. The exit code is 1 when there is no such key."""
    if max_staleness is not None and consistency != "bounded":
        raise click.UsageError("--max-staleness belongs to --consistency bounded")
    found = _ask(
        where, key, lambda client, name: client.get(name, consistency=consistency, max_staleness=max_staleness)
    )
    if found is None:
        raise click.ClickException(f"no value under key {key!r}")
    if isinstance(found, Value) and not where["as_json"]:
        sys.stdout.buffer.write(found.value)
        if is_in_shell() and not found.value.endswith(b"\n"):
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()


@click.command()
@changing
@click.argument("key", required=False)
@click.option("--prefix", metavar="KEY", help="Delete all keys that begin with this instead.")
@click.option("--start", metavar="KEY", help="Of these keys, or of all, delete only those from this one on.")
@click.option("--end", metavar="KEY", help="Of these keys, or of all, delete only those before this one.")
@click.option("--all", "everything", is_flag=True, help="Delete every key there is.")
def delete(
    *,
    key: str | None,
    if_match: IfMatch,
    idempotency_key: str | None,
    everything: bool,
    prefix: str | None,
    start: str | None,
    end: str | None,
    **where: Any,
) -> None:
    """Delete KEY, whether or not it exists; or a range of keys, and print how many there were.

    A range is deleted piece by piece: a key that is written meanwhile may stay.
    """
    bounds = {"prefix": prefix, "start": start, "end": end}
    has_bounds = any(bounds.values())
    if (key is not None) + has_bounds + everything != 1:
        raise click.UsageError("give a KEY, or some of --prefix, --start and --end, or --all")
    if key is not None:
        _change(
            where, key, lambda client, name: client.delete(name, if_match=if_match, idempotency_key=idempotency_key)
        )
        return
    if if_match is not None:
        raise click.UsageError("--if-match is about a single KEY")
    with client_of(where) as client:
        given = {name: encode_key(text) for name, text in bounds.items() if text}
        deleted = client.delete_range(**given, everything=everything, idempotency_key=idempotency_key)
    if where["as_json"]:
        click.echo(json.dumps({"deleted": deleted, "session": client.session}))
    else:
        click.echo(f"OK, {deleted} {'key' if deleted == 1 else 'keys'} deleted")


@click.command(context_settings={"ignore_unknown_options": True})
@changing
@click.argument("key")
@click.argument("by", type=IntegerRange(INTEGER_MIN, INTEGER_MAX), default=1)
def incr(*, key: str, by: int, if_match: IfMatch, idempotency_key: str | None, **where: Any) -> None:
    """Add BY (1 if it is not given) to the number under KEY, and print the sum. A key that is not there counts as 0."""
    number = _ask(
        where, key, lambda client, name: client.incr(name, by, if_match=if_match, idempotency_key=idempotency_key)
    )
    if not where["as_json"]:
        click.echo(number.value)


@click.command()
@changing
@click.argument("key")
@click.argument("value", required=False)
@file_option
def append(
    *,
    key: str,
    value: str | None,
    file: Source | None,
    if_match: IfMatch,
    idempotency_key: str | None,
    **where: Any,
) -> None:
    """Append VALUE, or what comes in on standard input, to the value of KEY. A key that is absent counts as empty."""
    body = _body(value, file)
    _change(
        where, key, lambda client, name: client.append(name, body, if_match=if_match, idempotency_key=idempotency_key)
    )


@click.command()
@changing
@click.argument("key")
@click.argument("ttl", type=TTL, metavar="SECONDS")
def touch(*, key: str, ttl: float, if_match: IfMatch, idempotency_key: str | None, **where: Any) -> None:
    """Let KEY, which must exist, expire after SECONDS from now."""
    _change(
        where, key, lambda client, name: client.touch(name, ttl, if_match=if_match, idempotency_key=idempotency_key)
    )


@click.command()
@changing
@click.argument("key")
def persist(*, key: str, if_match: IfMatch, idempotency_key: str | None, **where: Any) -> None:
    """Take the time to live from KEY, which must exist, so that it stays."""
    _change(where, key, lambda client, name: client.persist(name, if_match=if_match, idempotency_key=idempotency_key))


@contextmanager
def client_of(where: dict[str, Any]) -> Iterator[Client]:
    """A client of the gateways and the session of the options; what goes wrong is one line and exit code 1."""
    with client_at(where["url"], where["timeout_seconds"], session=where["session"]) as client:
        yield client


def _change(where: dict[str, Any], key: str, action: Callable[[Client, bytes], Written | Changed]) -> None:
    """As `_ask`, and without --json the new revision is printed."""
    result = _ask(where, key, action)
    if not where["as_json"]:
        click.echo(f"OK, revision {result.revision}")


def _ask(where: dict[str, Any], key: str, action: Callable[[Client, bytes], R]) -> R:
    """One exchange about a key; with --json, its result is told."""
    name = encode_key(key)
    with client_of(where) as client:
        result = action(client, name)
        if where["as_json"] and result is not None:
            fields = asdict(result)
            told = {**show_bytes("key", name), **fields}
            if isinstance(fields.get("value"), bytes):
                told |= show_bytes("value", fields["value"])
            click.echo(json.dumps({**told, "session": client.session}, ensure_ascii=False))
    return result


def show_bytes(name: str, raw: bytes) -> dict[str, str]:
    """Bytes inside JSON: as text where they are UTF-8, else in base64, and then `encoding` says so."""
    text, encoding = spell(raw)
    told = {} if encoding == "utf8" else {"encoding" if name == "value" else f"{name}_encoding": encoding}
    return {name: text, **told}


def _body(value: str | None, file: Source | None) -> bytes:
    if value is not None and file is not None:
        raise click.UsageError("give the value as an argument or with --file, not both")
    if value is not None:
        return os.fsencode(value)
    if file is None and is_in_shell():
        raise click.UsageError("give the value after the key, or a file with --file")
    try:
        return (file or Source("-")).whole(VALUE_BYTES_MAX)
    except ValueError as error:
        raise click.UsageError(f"{error}: give the value after the key, or a file with --file") from error
