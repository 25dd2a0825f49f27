"""The URLs of gateways: http://HOST:PORT, and nothing behind it."""

from urllib.parse import urlsplit

from app.clienterrors import InvalidArgumentTypeError, InvalidUrlError

_PORT = 80


def check_url(url: str) -> str:
    """The URL as it is written here: nothing behind the port. Raises: InvalidUrlError, InvalidArgumentTypeError."""
    if not isinstance(url, str):
        raise InvalidArgumentTypeError(f"the URL of a gateway must be a str, not {type(url).__name__}")
    place_of(url)
    return f"http://{urlsplit(url).netloc}"


def place_of(url: str) -> tuple[str, int]:
    """Host and port. Raises: InvalidUrlError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidUrlError(f"{url!r} is not a URL: {error}") from error
    is_plain = url.isascii() and url.isprintable() and " " not in url  # as what stands in a header field must be
    is_bare = parts.path in {"", "/"} and not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme != "http" or not host or port == 0 or not is_plain or not is_bare or not _may_be_host(host):
        raise InvalidUrlError(f"{url!r} is not the URL of a gateway: write http://HOST:PORT")
    return host, port or _PORT


def _may_be_host(host: str) -> bool:
    """Whether it can be looked up: each label of a name has 1 to 63 characters (RFC 1035, section 2.3.4)."""
    return len(host) < 254 and all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
