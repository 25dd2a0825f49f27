"""A setting of a node as its declaration says it: what it means, its default, and what it may be.

`setting()` declares a field of a settings dataclass; `settings_of()` reads the declarations back, and is what the
command line, the configuration file, `ringkv settings` and the page /docs/settings are made from.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from difflib import get_close_matches
from typing import Any

_KEY = "ringkv.setting"


class SettingsError(ValueError):
    """A setting is missing, malformed or unsafe; the text names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    name       of the field; unit last, bound after it (`head_bytes_max`)
    kind       the type of its values
    text       what it means, as sentences
    default    None where it is required, or where there is none
    required   there is no default
    least, most  bounds of a number, both included
    choices    the only values of a text
    is_list    of texts: separated by commas, or given as an option several times
    is_secret  its value is never shown, nor taken from an argument list or a configuration file
    """

    name: str
    kind: Any
    text: str
    default: Any
    required: bool
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    is_list: bool = False
    is_secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"RINGKV_{self.name.upper()}"

    @property
    def option(self) -> str:
        """The option on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def range(self) -> str:
        """What it may be, for a person: `from 1 to 1024`, `one of a, b`, or nothing."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return f"from {self.least:.12g} to {self.most:.12g}" if self.least is not None else ""

    def check(self, value: Any) -> None:
        """Raises: SettingsError, where a number is out of its bounds or a text is none of the choices."""
        if self.least is not None and self.most is not None and not self.least <= value <= self.most:
            raise SettingsError(f"{self.name} must be {self.range}, not {value:.12g}")
        if self.choices and value not in self.choices:
            raise SettingsError(f"{self.name} must be {self.range}, not {value!r}")

    def convert(self, value: object) -> Any:
        """The value that a text, or a value of a configuration file, stands for.

        Raises: SettingsError.
        """
        if self.kind in {int, float}:
            return self._number(value)
        if isinstance(self.kind, type) and isinstance(value, self.kind) and not isinstance(value, str):
            return value
        if self.is_list and isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = ",".join(value)
        if not isinstance(value, str):
            raise SettingsError(f"{self.name}: expected a text, not {value!r}")
        if self.choices:
            self.check(value)
        return self.kind(value) if self.choices else value

    def _number(self, value: object) -> Any:
        wanted = "a whole number" if self.kind is int else "a number"
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise SettingsError(f"{self.name}: expected {wanted}, not {value!r}")
        if isinstance(value, float) and self.kind is int:
            raise SettingsError(f"{self.name}: expected {wanted}, not {value!r}")
        try:
            return self.kind(value)
        except ValueError:
            raise SettingsError(f"{self.name}: expected {wanted}, not {value!r}") from None


def setting(
    default: Any = MISSING,
    *,
    text: str,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    factory: Callable[[], Any] | None = None,
    is_list: bool = False,
    is_secret: bool = False,
) -> Any:
    """Declare a field: what Setting says, beside its name and type."""
    assert (least is None) == (most is None), "a number has both bounds or none"
    facts = {"text": text, "least": least, "most": most, "choices": choices, "is_list": is_list, "is_secret": is_secret}
    metadata = {_KEY: facts}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata, repr=not is_secret)
    return dataclasses.field(default=default, metadata=metadata, repr=not is_secret)


def settings_of(kind: type) -> Iterator[Setting]:
    """The settings that a dataclass declares, in its order."""
    for item in dataclasses.fields(kind):
        if _KEY not in item.metadata:
            continue
        required = item.default is MISSING and item.default_factory is MISSING
        default = None if item.default is MISSING else item.default
        yield Setting(item.name, item.type, default=default, required=required, **item.metadata[_KEY])


def nearest(name: str, known: Mapping[str, object]) -> str:
    """` (did you mean X?)` for a name that is not known, where one is like it."""
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
