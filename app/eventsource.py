"""Event source: a stream of server-sent events that goes on elsewhere when it is lost.

    stream := (field* LF)*        field := name ":" [" "] text LF        of a comment the name is empty

Of the WHATWG standard this is what a watch needs: `event`, `id` and `data` on one line each. What comes without data
is no event, but its id counts.
"""

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.clienterrors import InvalidUrlError
from app.urls import place_of

# A watch says something every ten seconds.
SILENCE_SECONDS = 25.0
PAUSE_SECONDS = 0.2
_LASTING = frozenset((429, 503, 504))


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is the newest so far, from which a later stream goes on."""

    event: str
    id: str
    data: str


class EventSourceError(Exception):
    """The stream cannot go on; the text is one line for a person."""


class EventSource:
    """The events of a path, from any of several URLs, each once.

    id                of the newest event, "" before the first
    timeout_seconds   how long it may take until a stream that was lost goes on
    """

    def __init__(
        self,
        urls: Sequence[str],
        path: str,
        *,
        after: str = "",
        timeout_seconds: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.id = after
        self._addresses = [_address(url) for url in urls]
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep

    def events(self) -> Iterator[Event]:
        """All that come. Raises: EventSourceError, when no URL has had the stream for `timeout_seconds`."""
        deadline = time.monotonic() + self._timeout_seconds
        turn = 0
        while True:
            failure = "the stream ended"
            host, port = self._addresses[turn % len(self._addresses)]
            turn += 1
            try:
                for event in self._stream(host, port):
                    deadline = time.monotonic() + self._timeout_seconds
                    if event.event == "error":
                        failure = _detail(event.data)
                    else:
                        yield event
            except _RefusedError as error:
                failure = str(error)
                if not error.is_lasting:
                    raise EventSourceError(failure) from error
            except (OSError, http.client.HTTPException) as error:
                failure = f"http://{host}:{port}: {str(error) or type(error).__name__}"
            if time.monotonic() > deadline:
                raise EventSourceError(failure)
            if turn % len(self._addresses) == 0:
                self._sleep(PAUSE_SECONDS)

    def _stream(self, host: str, port: int) -> Iterator[Event]:
        link = http.client.HTTPConnection(host, port, timeout=min(SILENCE_SECONDS, self._timeout_seconds))
        with contextlib.closing(link):
            headers = {"Accept": "text/event-stream"}
            if self.id:
                headers["Last-Event-ID"] = self.id
            link.request("GET", self._path, headers=headers)
            answer = link.getresponse()
            if answer.status != 200:
                raise _RefusedError(answer.status, _detail(answer.read().decode(errors="replace")))
            if link.sock is not None:
                link.sock.settimeout(SILENCE_SECONDS)
            for event in parse_events(answer, self.id):
                self.id = event.id
                if event.data:
                    yield event


class _RefusedError(Exception):
    """Another answer than a stream."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{detail} (status {status})")
        self.is_lasting = status in _LASTING


def parse_events(lines: Iterable[bytes], last_id: str = "") -> Iterator[Event]:
    """The events of a stream, also those without data; one that is cut off is none."""
    fields: dict[str, str] = {}
    for raw in lines:
        line = raw.decode().rstrip("\r\n")
        if line:
            name, _, text = line.partition(":")
            fields[name] = text.removeprefix(" ")
        elif raw.endswith(b"\n") and fields:
            last_id = fields.get("id", last_id)
            yield Event(fields.get("event", "message"), last_id, fields.get("data", ""))
            fields = {}


def _address(url: str) -> tuple[str, int]:
    try:
        return place_of(url)
    except InvalidUrlError as error:
        raise EventSourceError(str(error)) from error


def _detail(text: str) -> str:
    """What a problem document says."""
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return "the gateway gave no reason"
