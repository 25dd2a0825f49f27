"""`ringkv watch`: changes as they happen."""

import json
from itertools import islice
from typing import Any

import click

from app.cli.numbers import IntegerRange
from app.cli.talking import client_at, encode_key, gateway_options, note, printable
from app.client import Change
from app.spelling import spell_together


@click.command()
@gateway_options(timeout_seconds=30.0)
@click.option("--key", help="Watch this key.")
@click.option("--prefix", help="Watch every key that begins with this; '' is every key there is.")
@click.option(
    "--after",
    metavar="ID",
    default="",
    help="Go on after the change with this id, which --json shows.  [default: from now on]",
)
@click.option("--count", type=IntegerRange(min=1), help="End after so many changes.")
@click.option("--json", "as_json", is_flag=True, help="Print each change as a line of JSON, with its id.")
def watch(
    *,
    url: str,
    timeout_seconds: float,
    key: str | None,
    prefix: str | None,
    after: str,
    count: int | None,
    as_json: bool,
) -> None:
    """Print every change of a key, or of all keys with a prefix, as it happens. Ctrl-C ends it.

    When a gateway is lost, the watch goes on at the next one, right after the last change. It gives up when no gateway
    answers for --timeout.
    """
    if (key is None) == (prefix is None):
        raise click.UsageError("give --key or --prefix")
    wish = {"key": encode_key(key)} if key is not None else {"prefix": encode_key(prefix) if prefix else b""}
    with client_at(url, timeout_seconds, waits=True) as client:
        changes = client.watch(**wish, after=after)
        try:
            with changes:
                note(f"watching; --after {changes.id} begins here")
                for change in islice(changes, count):
                    click.echo(_line(change, as_json=as_json))
        except KeyboardInterrupt:
            note(f"go on with --after {changes.id}")


def _line(change: Change, *, as_json: bool) -> str:
    shown = _show(change)
    if as_json:
        return json.dumps({"id": change.id, **shown}, ensure_ascii=False)
    words = [change.event, shown["key"], *([shown["value"]] if change.value is not None else ())]
    if shown["encoding"] != "utf8":
        words.append(f"({shown['encoding']})")
    return printable(" ".join(words))


def _show(change: Change) -> dict[str, Any]:
    """A change as the gateway tells it: key and value have one encoding."""
    told = {"key": change.key} if change.value is None else {"key": change.key, "value": change.value}
    texts, encoding = spell_together(*told.values())
    spelled = dict(zip(told, texts, strict=True))
    shown: dict[str, Any] = {"event": change.event, **spelled, "encoding": encoding, "revision": change.revision}
    return shown if change.content_type is None else {**shown, "content_type": change.content_type}
