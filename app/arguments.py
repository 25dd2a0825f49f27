"""Arguments: what a caller may give to a client, checked at the call, before anything is sent.

Each reader returns what it read. Raises: InvalidArgumentError, which is a ValueError, too; InvalidArgumentTypeError,
which is a TypeError, too. What depends on how a cluster is set, such as how long a key may be, that says by itself.
"""

import operator
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, SupportsIndex

from app.clienterrors import InvalidArgumentError, InvalidArgumentTypeError
from app.rules import (
    IDEMPOTENCY_KEY_BYTES_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    LEVEL_NAMES,
    STALENESS_MS_MAX,
    LevelName,
    ttl_ms_of,
)

Text = bytes | bytearray | memoryview | str  # a str stands for its UTF-8
Level = LevelName
IfMatch = int | Literal["*"] | None
Seconds = float | timedelta

KEY_BYTES_MAX = 65_535  # of any cluster, however it is set
VALUE_BYTES_MAX = 1 << 20  # the same
TIMEOUT_SECONDS_MAX = 30 * 86_400.0

_SHOWN_LENGTH_MAX = 100
_TTL_DIGITS = 12  # after the point: so few that a float has no others by accident, and more than are read


def read_bytes(name: str, given: object) -> bytes:
    """The bytes of a str, a bytes, a bytearray or a memoryview, as they are now."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, str):
        try:
            return given.encode()
        except UnicodeEncodeError as error:
            what = f"{name} has a half of a surrogate pair at {error.start}, which is no text: give bytes"
            raise InvalidArgumentError(f"{what}, with os.fsencode() if it is the name of a file") from error
    if isinstance(given, bytearray | memoryview):
        try:
            return bytes(given)
        except (ValueError, BufferError) as error:
            raise InvalidArgumentError(f"{name} cannot be read: {error}") from error
    raise _wrong_type(name, "a str or bytes", given)


def read_key(given: Text, name: str = "the key") -> bytes:
    """A key that is one."""
    key = read_bytes(name, given)
    if not key:
        raise InvalidArgumentError(f"{name} is empty")
    if len(key) > KEY_BYTES_MAX:
        raise InvalidArgumentError(f"{name} has {len(key)} bytes; no cluster takes more than {KEY_BYTES_MAX}")
    return key


def read_value(given: Text) -> bytes:
    """A value; None is none, as deleting is another call."""
    value = read_bytes("the value", given)
    if len(value) > VALUE_BYTES_MAX:
        raise InvalidArgumentError(f"the value has {len(value)} bytes; no cluster takes more than {VALUE_BYTES_MAX}")
    return value


def read_ttl(given: Seconds) -> float:
    """Seconds until a key is gone."""
    seconds = given.total_seconds() if isinstance(given, timedelta) else _number("ttl", given, "seconds or a timedelta")
    try:
        ttl_ms_of(seconds)
    except ValueError as error:
        raise InvalidArgumentError(f"ttl {error}, not {_shown(given)}") from error
    return float(seconds)


def spell_ttl(seconds: float) -> str:
    """In decimal digits: what becomes of parts of a millisecond the cluster decides."""
    return f"{seconds:.{_TTL_DIGITS}f}".rstrip("0").rstrip(".")


def read_seconds(name: str, given: float) -> float:
    """How long something may take."""
    seconds = _number(name, given, "seconds")
    if not 0 < seconds <= TIMEOUT_SECONDS_MAX:
        most = f"{TIMEOUT_SECONDS_MAX:.0f}"
        raise InvalidArgumentError(f"{name} must be more than 0 and at most {most} seconds, not {_shown(given)}")
    return float(seconds)


def read_integer(name: str, given: SupportsIndex, least: int = INTEGER_MIN, most: int = INTEGER_MAX) -> int:
    """A whole number within bounds."""
    number = _integer(name, given, "a whole number")
    if not least <= number <= most:
        raise InvalidArgumentError(f"{name} must be from {least} to {most}, not {_shown(number)}")
    return number


def read_flag(name: str, given: object) -> bool:
    """True or False, and nothing that only counts as one of them."""
    if not isinstance(given, bool):
        raise _wrong_type(name, "True or False", given)
    return given


def read_revision(name: str, given: SupportsIndex) -> int:
    """A revision, as an answer had it."""
    return read_integer(name, given, 0)


def read_condition(if_match: IfMatch, *, if_absent: bool = False) -> IfMatch:
    """What is expected of a key: a revision, "*" or nothing."""
    if if_match is None:
        return None
    if if_absent:
        raise InvalidArgumentError("if_match and if_absent contradict each other: give one of them")
    if isinstance(if_match, str):
        if if_match == "*":
            return "*"
        raise InvalidArgumentError(f'if_match must be a revision, as an int, or "*", not {_shown(if_match)}')
    return read_revision("if_match", if_match)


def read_freshness(consistency: Level | None, max_staleness: int | None) -> dict[str, str | None]:
    """The level of a read and how old it may be, as parameters of a query."""
    if consistency is not None:
        check_is("consistency", consistency, str)
        if consistency not in LEVEL_NAMES:
            raise InvalidArgumentError(
                f"consistency must be one of {', '.join(LEVEL_NAMES)}, not {_shown(consistency)}"
            )
    if max_staleness is None:
        return {"consistency": consistency, "max_staleness": None}
    milliseconds = read_integer("max_staleness", max_staleness, 0, STALENESS_MS_MAX)
    if consistency != "bounded":
        raise InvalidArgumentError('max_staleness belongs to consistency="bounded"')
    return {"consistency": consistency, "max_staleness": str(milliseconds)}


def read_content_type(given: str) -> str:
    """What can stand in a header field; whether it is a media type, the cluster says."""
    return read_field("content_type", given, spaces=True)


def read_idempotency_key(given: str) -> str:
    """What can stand in an Idempotency-Key."""
    key = read_field("idempotency_key", given)
    if not 0 < len(key) <= IDEMPOTENCY_KEY_BYTES_MAX:
        raise InvalidArgumentError(f"idempotency_key must have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} characters")
    return key


def read_field(name: str, given: object, *, spaces: bool = False) -> str:
    """Visible ASCII characters, and spaces where there may be some."""
    if not isinstance(given, str):
        raise _wrong_type(name, "a str", given)
    if not (given.isascii() and given.isprintable()) or (" " in given and not spaces):
        raise InvalidArgumentError(f"{name} must have visible ASCII characters only, not {_shown(given)}")
    return given


def read_names(name: str, given: object) -> list[str]:
    """Several names: a str alone would be taken for its letters."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise _wrong_type(name, "a list of str", given)
    return [read_name(name, each) for each in given]


def read_name(name: str, given: object) -> str:
    """One name of something."""
    if not isinstance(given, str):
        raise _wrong_type(name, "a str", given)
    read_bytes(name, given)
    return given


def read_options(given: Mapping[str, object], known: Collection[str]) -> None:
    """Nothing but what is known."""
    for name in given:
        if name not in known:
            raise InvalidArgumentTypeError(f"{name!r} is no option here; these are: {', '.join(sorted(known))}")


def check_is(name: str, given: object, kind: type) -> None:
    """Raises: InvalidArgumentTypeError, if it is of another type."""
    if not isinstance(given, kind):
        raise _wrong_type(name, f"a {kind.__name__}", given)


def _number(name: str, given: object, unit: str) -> float:
    return given if isinstance(given, float) else _integer(name, given, f"a number of {unit}")


def _integer(name: str, given: Any, wanted: str) -> int:
    if isinstance(given, bool):
        raise _wrong_type(name, wanted, given)
    try:
        return operator.index(given)
    except TypeError as error:
        raise _wrong_type(name, wanted, given) from error


def _wrong_type(name: str, wanted: str, given: object) -> InvalidArgumentTypeError:
    kind = type(given).__name__
    found = "None" if given is None else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    return InvalidArgumentTypeError(f"{name} must be {wanted}, not {found}")


def _shown(given: object) -> str:
    """What was given, if it is short."""
    try:
        text = repr(given)
    except ValueError:  # Python spells no number of more than 4,300 digits.
        return "a number of very many digits"
    return text if len(text) <= _SHOWN_LENGTH_MAX else f"{text[:_SHOWN_LENGTH_MAX]}…"
