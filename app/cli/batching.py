"""Many operations at once: `ringkv batch` and `txn`."""

import json
import sys
from collections.abc import Callable
from typing import Any, Never, TypeVar

import click
import msgspec

from app.calls import Changed, Number, Written
from app.cli.files import Source, SourceType
from app.cli.keys import asking, client_of, idempotency_option, show_bytes
from app.cli.numbers import IntegerRange
from app.cli.talking import Command, note, printable
from app.client import Batch, Client, ClientError, ConditionFailedError, Item, Transaction
from app.clientoperations import Operations, Results
from app.rules import LEVEL_NAMES, STALENESS_MS, STALENESS_MS_MAX

DOCUMENT_BYTES_MAX = 16 << 20  # of what is read; a cluster takes far less and says so

R = TypeVar("R", bound=Results)


def sending(command: Command) -> Command:
    """What both commands take."""
    file = click.option(
        "-f", "--file", type=SourceType(), required=True, help="The file with the JSON; - is standard input."
    )
    return asking(file(idempotency_option(command)))


@click.command()
@sending
@click.option(
    "--consistency", type=click.Choice(LEVEL_NAMES), help="The level of its gets.  [default: as the cluster is set]"
)
@click.option(
    "--max-staleness",
    type=IntegerRange(0, STALENESS_MS_MAX),
    metavar="MS",
    help=f"How old the answers may be, in milliseconds, with --consistency bounded.  [default: {STALENESS_MS}]",
)
def batch(
    *, file: Source, consistency: Any, max_staleness: int | None, idempotency_key: str | None, **where: Any
) -> None:
    """Do many operations in one request, each for itself. The exit code is 1 when one of them failed.

    \b
    {"ops": [{"op": "put", "key": "a", "value": "1", "ttl": 60}, {"op": "get", "key": "b"},
             {"op": "incr", "key": "n", "by": 5}, {"op": "delete", "key": "AP8=", "encoding": "base64"}]}

    There are append, touch and persist as well, and each operation may have if_match and if_none_match.
    """
    if max_staleness is not None and consistency != "bounded":
        raise click.UsageError("--max-staleness belongs to --consistency bounded")
    operations = Batch.of(_read(file, "ops")["ops"])
    results = _ask(
        where,
        lambda client: client.batch(
            operations, consistency=consistency, max_staleness=max_staleness, idempotency_key=idempotency_key
        ),
    )
    if not where["as_json"]:
        _tell(operations, results)
    sys.exit(1 if results.errors else 0)


@click.command()
@sending
def txn(*, file: Source, idempotency_key: str | None, **where: Any) -> None:
    """Compare, and then write and read all or nothing. All keys must be in one partition: give them the same {tag}.

    \b
    {"if":   [{"key": "{a}/balance", "value": "100"}, {"key": "{a}/lock", "exists": false}],
     "then": [{"op": "put", "key": "{a}/balance", "value": "90"}],
     "else": [{"op": "get", "key": "{a}/balance"}]}

    A comparison is of value, revision or exists; "is" may be eq, ne, lt, le, gt or ge. The exit code is 0 whichever
    branch was taken: the first line of the output says which.
    """
    document = _read(file, "if", "then", "else")
    transaction = Transaction.of(document["if"], document["then"], document["else"])
    decided = _ask(where, lambda client: client.txn(transaction, idempotency_key=idempotency_key))
    if not where["as_json"]:
        click.echo("succeeded" if decided.succeeded else "not succeeded")
        _tell(transaction.then if decided.succeeded else transaction.otherwise, decided)


def _read(file: Source, *names: str) -> dict[str, list[dict[str, Any]]]:
    """The document, with a list under each of these names. Wrong usage is what the gateway could not even be sent."""
    name = file.name
    body = file.whole(DOCUMENT_BYTES_MAX)
    try:
        document = json.loads(body, parse_constant=_refuse)
        msgspec.msgpack.encode(document)
    except (ValueError, OverflowError, RecursionError) as error:
        raise click.UsageError(f"{name} is not JSON that can be sent: {error}") from error
    if not isinstance(document, dict) or not document.keys() <= set(names):
        raise click.UsageError(f"{name} must hold an object with {', '.join(names)}, and nothing else")
    lists = {member: document.get(member, []) for member in names}
    for member, found in lists.items():
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise click.UsageError(f"{name}: {member} must be a list of objects")
    if not any(lists.values()):
        raise click.UsageError(f"{name}: there is nothing to do in it")
    return lists


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is no number of JSON")


def _ask(where: dict[str, Any], action: Callable[[Client], R]) -> R:
    """One exchange; with --json, its results are told."""
    with client_of(where) as client:
        results = action(client)
        if where["as_json"]:
            succeeded = getattr(results, "succeeded", None)
            told: dict[str, Any] = {} if succeeded is None else {"succeeded": succeeded}
            told |= {"results": [_show(result) for result in results], "session": client.session}
            click.echo(json.dumps(told, ensure_ascii=False))
    return results


def _tell(operations: Operations, results: Results) -> None:
    """A line for each: what it came to, to stdout; or why it failed, to stderr."""
    for document, result in zip(operations.documents, results, strict=True):
        words = f"{document['op']} {document['key']}"
        if isinstance(result, ClientError):
            doubt = "; it may have been applied" if result.may_have_applied else ""
            note(printable(f"{words}: {result}{doubt}"))
        else:
            click.echo(printable(f"{words}: {_result(result)}"))


def _result(result: object) -> str:
    if result is None:
        return "(no such key)"
    if isinstance(result, Written):
        return f"revision {result.revision}"
    if isinstance(result, Number):
        return str(result.value)
    assert isinstance(result, Item | Changed), "there are no other results"
    shown = show_bytes("value", result.value)
    return shown["value"] + (" (base64)" if "encoding" in shown else "")


def _show(result: object) -> dict[str, Any]:
    """A result, as the gateway gives it."""
    if result is None:
        return {"status": 404, "code": "NO_SUCH_KEY", "outcome": "not_applied", "retryable": False}
    if isinstance(result, ClientError):
        shown = {"status": getattr(result, "status", 504), "code": result.code}
        if isinstance(result, ConditionFailedError) and result.revision is not None:
            shown["revision"] = result.revision
        detail = getattr(result, "detail", str(result))
        return {**shown, "detail": detail, "outcome": result.outcome, "retryable": result.retryable}
    if isinstance(result, Written):
        return {"status": 204, "revision": result.revision}
    if isinstance(result, Number):
        return {"status": 200, "value": result.value, "revision": result.revision, "expires_in": result.expires_in}
    assert isinstance(result, Item | Changed), "there are no other results"
    return {
        "status": 200,
        "revision": result.revision,
        **show_bytes("value", result.value),
        "content_type": result.content_type,
        "expires_in": result.expires_in,
    }
