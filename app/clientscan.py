"""Scans of a client: keys in order, page by page, each from whichever gateway answers."""

from typing import TypedDict

import msgspec

from app.arguments import Level, Text, read_bytes, read_freshness, read_integer, read_options
from app.calls import Call, expect, query_of, stranger, takes_session
from app.clienterrors import Response
from app.clientitem import Item, Key, read_spelled
from app.spelling import Encoding

PAGE_KEYS = 1_000


class ScanOptions(TypedDict, total=False):
    """What a scan may be asked for.

    start           only keys from this one on
    end             only keys before this one
    limit           no more keys than so many
    reverse         the last key first; start and end mean the same
    page_keys       how many come in one answer; a cluster allows 1,000, unless it is set to less
    consistency     the least that each page must be; None: as the cluster is set
    max_staleness   how old it may be, in milliseconds, with consistency="bounded"
    """

    start: Text
    end: Text
    limit: int
    reverse: bool
    page_keys: int
    consistency: Level | None
    max_staleness: int


class Page(msgspec.Struct):
    """A part of the keys, and the cursor behind which there are more; None at the end."""

    items: list[msgspec.Raw]
    cursor: str | None


class Scan:
    """How far a scan has come."""

    def __init__(self, prefix: Text, options: ScanOptions, *, keys_only: bool) -> None:
        """Raises: InvalidArgumentError, InvalidArgumentTypeError."""
        read_options(options, ScanOptions.__annotations__)
        limit = options.get("limit")
        self._left = None if limit is None else read_integer("limit", limit, 0)
        self._page_keys = read_integer("page_keys", options.get("page_keys", PAGE_KEYS), 1)
        self._consistency = options.get("consistency")
        start, end = options.get("start"), options.get("end")
        self._query: dict[str, str | bytes | None] = {
            "prefix": read_bytes("prefix", prefix) or None,
            "start": None if start is None else read_bytes("start", start),
            "end": None if end is None else read_bytes("end", end),
            "reverse": "true" if options.get("reverse") else None,
            "keys_only": "true" if keys_only else None,
            **read_freshness(self._consistency, options.get("max_staleness")),
        }
        self._cursor: str | None = ""

    def call(self) -> Call[Page] | None:
        """What asks for the next page; None, if there is none."""
        limit = self._page_keys if self._left is None else min(self._page_keys, self._left)
        if self._cursor is None or not limit:
            return None
        return Call(
            "GET",
            "/v1/kv" + query_of(**self._query, limit=str(limit), cursor=self._cursor or None),
            _read_page,
            takes_session=takes_session(self._consistency),
        )

    def took(self, page: Page) -> None:
        """Go on behind this page."""
        self._cursor = page.cursor
        if self._left is not None:
            self._left -= len(page.items)


class _Entry(msgspec.Struct):
    key: str
    revision: int
    key_encoding: Encoding = "utf8"
    value: str = ""
    encoding: Encoding = "utf8"
    content_type: str = ""
    expires_in: float | None = None


def lines_of(page: Page) -> list[bytes]:
    """The keys of a page and what they hold, as they were answered: JSON, a line each, without its end."""
    return [bytes(item) for item in page.items]


def items_of(page: Page) -> list[Item]:
    """The keys of a page and what they hold. Raises: NotAGatewayError."""
    return [
        Item(
            key=read_spelled(entry.key, entry.key_encoding),
            value=read_spelled(entry.value, entry.encoding),
            revision=entry.revision,
            content_type=entry.content_type,
            expires_in=entry.expires_in,
        )
        for entry in _entries_of(page)
    ]


def keys_of(page: Page) -> list[Key]:
    """The keys of a page that came without values. Raises: NotAGatewayError."""
    return [
        Key(key=read_spelled(entry.key, entry.key_encoding), revision=entry.revision) for entry in _entries_of(page)
    ]


_decoder = msgspec.json.Decoder(Page)
_entry_decoder = msgspec.json.Decoder(_Entry)


def _entries_of(page: Page) -> list[_Entry]:
    try:
        return [_entry_decoder.decode(item) for item in page.items]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise stranger(is_write=False) from error


def _read_page(response: Response) -> Page:
    expect(response, 200, is_write=False)
    try:
        return _decoder.decode(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise stranger(is_write=False) from error
