"""A command whose options are settings, made from their declarations when it is asked for them."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from app.setting import Setting


class SettingsCommand(click.Command):
    """A command that takes settings as options, grouped in its help.

    groups  heading, settings: called only when the command is used, for the settings' module imports a server's
    """

    def __init__(
        self, *args: Any, groups: Callable[[], Iterable[tuple[str, Iterable[Setting]]]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._groups = groups
        self._made: list[tuple[str, list[click.Parameter]]] | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*(option for _, options in self._options() for option in options), *super().get_params(ctx)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, options in (*self._options(), ("Options", super().get_params(ctx))):
            rows = [row for option in options if (row := option.get_help_record(ctx)) is not None]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def _options(self) -> list[tuple[str, list[click.Parameter]]]:
        if self._made is None:
            self._made = [(heading, [option_of(item) for item in settings]) for heading, settings in self._groups()]
        return self._made


def option_of(item: Setting) -> click.Option:
    """The option of a setting. What it is given is checked with all the others, by Settings.load."""
    facts = [item.range] if item.range else []
    if item.required:
        facts = ["required", *facts]
    elif item.default not in (None, "", b""):
        facts = [f"default: {item.default:g}" if item.kind is float else f"default: {item.default}", *facts]
    help_text = f"{item.text}  [{'; '.join(facts)}]" if facts else item.text
    names = [item.option, item.name]
    if item.is_list:
        return click.Option(names, metavar=_metavar(item), help=help_text, type=str, multiple=True, callback=_joined)
    return click.Option(names, metavar=_metavar(item), help=help_text, type=str)


def _joined(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> str | None:
    return ",".join(values) if values else None


def _metavar(item: Setting) -> str:
    known = {
        "http": "HOST:PORT",
        "peer": "HOST:PORT",
        "seeds": "NAME=HOST:PORT,...",
        "data": "DIR",
        "allow_host": "NAME,...",
        "allow_origin": "ORIGIN,...",
    }
    if item.name.endswith(("file", "config")):
        return "FILE"
    if item.choices:
        return "WORD"
    return known.get(item.name, "NUMBER" if item.kind in {int, float} else "TEXT")
