"""`ringkv watch`: changes as they happen."""

import json
from typing import Any
from urllib.parse import quote_from_bytes

import click

from app.cli.talking import encode_key, gateway_options, note
from app.eventsource import Event, EventSource, EventSourceError


@click.command()
@gateway_options(timeout_seconds=30.0)
@click.option("--key", help="Watch this key.")
@click.option("--prefix", help="Or every key that begins so; '' is all there are.")
@click.option("--after", metavar="ID", default="", help="Go on right after this id, as --json told it.  [default: now]")
@click.option("--count", type=click.IntRange(min=1), help="End after so many changes.")
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
    """Print every change of a key, or of all keys with a prefix, as it happens; Ctrl-C ends it.

    When its gateway is lost it goes on at the next, right after the last change, and gives up when none is there for
    --timeout.
    """
    if (key is None) == (prefix is None):
        raise click.UsageError("give --key or --prefix")
    query = (
        f"key={_quote(encode_key(key))}"
        if key is not None
        else f"prefix={_quote(encode_key(prefix) if prefix else b'')}"
    )
    urls = [part.strip() for part in url.split(",") if part.strip()]
    try:
        source = EventSource(urls, f"/v1/watch?{query}", after=after, timeout_seconds=timeout_seconds)
        _print(source, count, as_json=as_json)
    except EventSourceError as error:
        raise click.ClickException(str(error)) from error


def _print(source: EventSource, count: int | None, *, as_json: bool) -> None:
    """All changes, or so many. Raises: EventSourceError."""
    left = count
    try:
        for event in source.events():
            if event.event == "ready":
                note(f"watching; --after {event.id} begins here")
                continue
            click.echo(_line(event, as_json=as_json))
            left = left - 1 if left is not None else None
            if left == 0:
                return
    except KeyboardInterrupt:
        note(f"go on with --after {source.id}")


def _quote(text: bytes) -> str:
    return quote_from_bytes(text, safe="")


def _line(event: Event, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"id": event.id, **json.loads(event.data)}, ensure_ascii=False)
    change: dict[str, Any] = json.loads(event.data)
    words = [change["event"], change["key"]]
    if change["event"] == "put":
        words.append(change["value"])
    if change["encoding"] != "utf8":
        words.append(f"({change['encoding']})")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in " ".join(words))
