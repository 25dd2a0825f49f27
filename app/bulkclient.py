"""BulkClient: what the command line says to a cluster when it moves many keys: scans, exports and imports.

Several URLs are several doors to one cluster: when one fails, the next is tried, until the time is up. A page goes on
where the one before ended, at whichever door. An import is sent in parts of some thousand lines; a part that failed is
sent again as a whole, so nobody else may write its keys meanwhile.
"""

import http.client
import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from app.clienterrors import InvalidUrlError
from app.urls import place_of

PART_LINES_MAX = 5_000
PART_BYTES_MAX = 1 << 20
ERRORS_SHOWN_MAX = 20
_PAUSE_SECONDS = 0.2
_REPEATED_STATUSES = frozenset((429, 503, 504))


class BulkError(Exception):
    """It did not work; the text is one line for a person."""


class BadUrlError(BulkError):
    """Not the URL of a gateway."""


@dataclass(slots=True)
class Tally:
    """What came of an import; the errors are those of the first lines that failed."""

    imported: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    ends: int = 0

    @property
    def summary(self) -> str:
        return f"imported {self.imported}, failed {self.failed}"


class BulkClient:
    """One cluster, behind some of its URLs.

    timeout_seconds  how long to try until a page, a part or the beginning of an export is there
    """

    def __init__(self, urls: Iterable[str], timeout_seconds: float) -> None:
        self._doors = [_door(url) for url in urls]
        if not self._doors:
            raise BadUrlError("no URL of a gateway was given")
        self._timeout_seconds = timeout_seconds

    def scan(self, query: Mapping[str, bytes | str], count: int | None = None) -> Iterator[dict[str, Any]]:
        """The items of a scan, page by page; no more than `count`. Raises: BulkError."""
        most = int(json.loads(self._ask("GET", "/v1/limits"))["scan_keys_max"])
        cursor: str | None = ""
        while cursor is not None:
            limit = most if count is None else min(most, count)
            if not limit:
                return
            asked = urlencode({**query, "limit": limit, "cursor": cursor})
            page = json.loads(self._ask("GET", f"/v1/kv?{asked}"))
            yield from page["items"]
            if count is not None:
                count -= len(page["items"])
            cursor = page["cursor"]

    def export(self, query: Mapping[str, bytes | str]) -> Iterator[bytes]:
        """The lines of an export, the end included. Raises: BulkError, also where it was cut off."""
        response, link = self._begin("GET", f"/v1/export?{urlencode(query)}", b"")
        try:
            last = b""
            while line := response.readline():
                last = line
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise BulkError(f"the export was cut off: {_reason(error)}") from error
        finally:
            link.close()
        end = _object(last)
        if end.get("complete") is not True:
            detail = _object(json.dumps(end.get("error"))).get("detail", "it was cut off")
            raise BulkError(f"the export is not complete: {detail}")

    def import_lines(self, lines: Iterable[bytes], tally: Tally) -> Iterator[int]:
        """Send all lines; gives how many bytes are done after each part. Raises: BulkError."""
        before = 0
        for part in _parts(lines):
            found = json.loads(self._ask("POST", "/v1/import", b"".join(part)))
            tally.imported += found["imported"]
            tally.failed += found["failed"]
            for error in found["errors"][: ERRORS_SHOWN_MAX - len(tally.errors)]:
                tally.errors.append(f"line {before + error['line']}: {error['detail']}")
            tally.ends += sum(line.startswith(b'{"complete":true') for line in part)
            before += len(part)
            yield sum(map(len, part))

    def _ask(self, method: str, target: str, body: bytes = b"") -> bytes:
        response, link = self._begin(method, target, body)
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise BulkError(f"the answer was cut off: {_reason(error)}") from error
        finally:
            link.close()

    def _begin(
        self, method: str, target: str, body: bytes
    ) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        """The answer 200 of whichever door gives it, while there is time."""
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            host, port = self._doors[0]
            link = http.client.HTTPConnection(host, port, timeout=self._timeout_seconds)
            try:
                link.request(method, target, body or None)
                response = link.getresponse()
                if response.status == 200:
                    return response, link
                problem = _object(response.read())
                failure = f"{problem.get('detail', 'the gateway gave no reason')} (status {response.status})"
                if response.status not in _REPEATED_STATUSES:
                    raise BulkError(failure)
            except (OSError, http.client.HTTPException) as error:
                failure = f"cannot reach http://{host}:{port}: {_reason(error)}"
            except BaseException:
                link.close()
                raise
            link.close()
            self._doors.append(self._doors.pop(0))
            pause = _PAUSE_SECONDS * random.uniform(0.5, 1.0)
            if time.monotonic() + pause >= deadline:
                raise BulkError(failure)
            time.sleep(pause)


def _door(url: str) -> tuple[str, int]:
    try:
        return place_of(url)
    except InvalidUrlError as error:
        raise BadUrlError(str(error)) from error


def _parts(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and (len(part) == PART_LINES_MAX or size + len(line) > PART_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield part


def _object(text: bytes | str) -> dict[str, Any]:
    """The JSON object that it is, or an empty one."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was lost"
    return str(error) or type(error).__name__
