"""The URLs of gateways: http://HOST:PORT, and nothing behind it."""

from urllib.parse import urlsplit

from app.clienterrors import InvalidUrlError

_PORT = 80


def check_url(url: str) -> str:
    """The URL without a slash at its end. Raises: InvalidUrlError."""
    place_of(url)
    return url.rstrip("/")


def place_of(url: str) -> tuple[str, int]:
    """Host and port. Raises: InvalidUrlError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidUrlError(f"{url!r} is not a URL: {error}") from error
    if parts.scheme != "http" or not host or port == 0 or parts.path not in {"", "/"} or parts.query or parts.username:
        raise InvalidUrlError(f"{url!r} is not the URL of a gateway: write http://HOST:PORT")
    return host, port or _PORT
