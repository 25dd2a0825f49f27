"""What the commands share: where the cluster is, one exchange with it, keys, and what is said to whom."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click

from app.cli.notice import Notice
from app.cli.numbers import NumberRange
from app.client import Client, ClientError, InvalidArgumentError, InvalidSessionError, InvalidUrlError

DEFAULT_URL = "http://127.0.0.1:8001"

T = TypeVar("T")

Command = Callable[..., None]


def gateway_options(timeout_seconds: float) -> Callable[[Command], Command]:
    """--url and --timeout, for every command that talks to a gateway."""

    def add(command: Command) -> Command:
        command = click.option(
            "--timeout",
            "timeout_seconds",
            type=NumberRange(min=0.1, max=3600),
            default=timeout_seconds,
            show_default=True,
            metavar="SECONDS",
            envvar="RINGKV_TIMEOUT",
            help="How long to try before giving up.",
        )(command)
        return click.option(
            "--url",
            default=DEFAULT_URL,
            show_default=True,
            envvar="RINGKV_URL",
            help="A gateway; several, separated by commas, take over from each other.",
        )(command)

    return add


def talk(url: str, timeout_seconds: float, action: Callable[[Client], T]) -> T:
    """Runs one exchange with the cluster; what goes wrong is one line and exit code 1."""
    with client_at(url, timeout_seconds) as client:
        return action(client)


@contextmanager
def client_at(url: str, timeout_seconds: float, *, session: str | None = None, waits: bool = False) -> Iterator[Client]:
    """A client that says what it waits for; what goes wrong is one line and exit code 1."""
    heard = Notice(timeout_seconds).heard
    with (
        failing_in_one_line(),
        Client(urls_of(url), timeout_seconds=timeout_seconds, waits=waits, session=session, on_pause=heard) as client,
    ):
        yield client


@contextmanager
def talking_on(url: str, timeout_seconds: float) -> Iterator[Client]:
    """A client for what goes on for long: it knows all nodes, and waits for them when none can be reached."""
    with client_at(url, timeout_seconds) as client:
        client.learn()
        urls = client.urls
    heard = Notice(timeout_seconds).heard
    third = timeout_seconds / 3
    with (
        failing_in_one_line(),
        PatientClient(urls, timeout_seconds=timeout_seconds, attempt_seconds=third, on_pause=heard) as client,
    ):
        yield client


class PatientClient(Client):
    """A Client whose requests may each take long."""

    _is_even = True


@contextmanager
def failing_in_one_line() -> Iterator[None]:
    """What a client raises, as click says it."""
    try:
        yield
    except (InvalidUrlError, InvalidSessionError, InvalidArgumentError) as error:
        raise click.UsageError(str(error)) from error
    except ClientError as error:
        doubt = "; it may have been applied" if error.may_have_applied else ""
        raise click.ClickException(f"{error}{doubt}") from error


IN_SHELL = "in a shell of our own"
"""The object of a context whose command was typed into `ringkv shell`, where stdin holds the next commands."""


def is_in_shell() -> bool:
    """Whether the command that runs was typed into `ringkv shell`."""
    return bool(click.get_current_context().find_root().obj == IN_SHELL)


def urls_of(url: str) -> list[str]:
    """The URLs of --url."""
    return [part.strip() for part in url.split(",") if part.strip()]


def encode_key(text: str) -> bytes:
    """The bytes the shell passed, whatever they are."""
    key = os.fsencode(text)
    if not key:
        raise click.UsageError("the key is empty")
    return key


def say(text: str) -> None:
    """Echo it, also where it has the name of a file that is no text."""
    click.echo(os.fsencode(text).decode(errors="replace"))


def printable(text: str) -> str:
    """The text, with escapes for what would move the cursor or hide."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def note(text: str) -> None:
    """Echo it to stderr."""
    click.echo(text, err=True)
