"""Hosts and origins as the settings `allow_host` and `allow_origin` spell them: lists, separated by commas.

host    := name | "*." name | address | "*"            origin  := scheme "://" host [":" port] | "null" | "*"
"""

import ipaddress
import re
from urllib.parse import urlsplit

from app.setting import SettingsError

ANY = "*"

_NAME = re.compile(r"(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_hosts(text: str) -> set[str]:
    """The names of `allow_host`, in lower case. Raises: SettingsError."""
    names = set(_parts(text))
    for name in names:
        if name != ANY and not _NAME.fullmatch(name) and not is_address(name):
            raise SettingsError(
                "allow_host: expected a name without scheme and port, as in kv.example.com or *.example.com, "
                f"not {name!r}"
            )
    return {name.lower().removesuffix(".") for name in names}


def parse_origins(text: str) -> frozenset[str]:
    """The origins of `allow_origin`, as browsers spell them. Raises: SettingsError."""
    return frozenset(origin if origin in {ANY, "null"} else _origin(origin) for origin in _parts(text))


def _origin(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if not parts.scheme or not parts.hostname or parts.username or parts.path.strip("/") or parts.query:
        raise SettingsError(f"allow_origin: expected SCHEME://HOST or SCHEME://HOST:PORT, not {text!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_default = port is None or _DEFAULT_PORTS.get(parts.scheme) == port
    return f"{parts.scheme}://{host}" if is_default else f"{parts.scheme}://{host}:{port}"


def _parts(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def is_address(name: str) -> bool:
    """Whether it is an IP address, with or without brackets."""
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
