"""What a client's watch has heard, and from where it goes on; without sending anything.

A stream that is lost goes on at another gateway, right after the newest id; so no change is missing, and none comes
twice. Only where the history does not reach back so far any more it cannot: that is a CompactedError.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

import msgspec

from app.arguments import Text, read_bytes, read_field, read_key
from app.attempts import PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN
from app.calls import Call, expect, query_of, stranger
from app.clienterrors import (
    CompactedError,
    InvalidArgumentError,
    NotAGatewayError,
    ProblemError,
    Response,
    error_of,
)
from app.clientitem import read_spelled
from app.events import EventParser
from app.spelling import Encoding

Kind = Literal["put", "delete", "expire"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of one key.

    event          put; delete, also of a key that was absent; or expire
    value          None, unless it was put, as is content_type
    revision       that the key is at since; the writes of one transaction share it
    id             from which another watch goes on right after this change
    """

    event: Kind
    key: bytes
    value: bytes | None
    revision: int
    content_type: str | None
    id: str


class Following:
    """How far a watch has come.

    id   right after what was handed out; empty before it has begun
    """

    def __init__(self, *, key: Text | None, prefix: Text | None, after: str) -> None:
        """Raises: InvalidArgumentError, unless one of key and prefix is given; and of what neither can be."""
        if (key is None) == (prefix is None):
            raise InvalidArgumentError('a watch is of a key or of a prefix: give one of them; prefix="" is all keys')
        name, what = ("key", read_key(key)) if key is not None else ("prefix", read_bytes("prefix", prefix or ""))
        self._target = "/v1/watch" + query_of(**{name: what})
        self._newest = read_field("after", after)
        self._parser = EventParser(after)
        self._waiting: deque[Change] = deque()
        self._pause = PAUSE_SECONDS_MIN
        self._end: CompactedError | None = None
        self._whole = after if _is_whole(after) else ""
        self._since_whole: set[tuple[bytes, int, Kind]] = set()
        self._told_already: set[tuple[bytes, int, Kind]] = set()
        self.id = after
        self.has_begun = False

    def call(self) -> Call[None]:
        """What asks for the stream that goes on from here."""
        headers = {"Accept": "text/event-stream"}
        if self._newest:
            headers["Last-Event-ID"] = self._newest
        return Call("GET", self._target, _read_head, headers, takes_session=False)

    def received(self, data: bytes) -> bool:
        """Take in what came of the stream; gives whether it goes on. Raises: NotAGatewayError."""
        try:
            events = self._parser.feed(data)
        except ValueError as error:
            raise stranger(is_write=False) from error
        for event in events:
            self._newest = event.id
            if event.event == "ready":
                self.has_begun = True
            elif event.event == "error":
                failure = _failure_in(event.data)
                self._end = failure if isinstance(failure, CompactedError) else None
                return False
            else:
                self._pause = PAUSE_SECONDS_MIN
                if event.data:
                    self._take_in(_change_in(event.data, event.id))
            if _is_whole(event.id):
                self._whole = event.id
                self._since_whole.clear()
        if not self._waiting:
            self.id = self._newest
        return True

    def _take_in(self, change: Change) -> None:
        mark = (change.key, change.revision, change.event)
        self._since_whole.add(mark)
        if mark in self._told_already:
            self._told_already.discard(mark)
        else:
            self._waiting.append(change)

    def falls_back(self) -> bool:
        """Go on from the last whole id, where no node knows any more what the newest, a short one, stands for.

        What has come since is told again then, and left out here. False: there is no such id.
        """
        if _is_whole(self._newest) or not self._whole:
            return False
        self._newest = self._whole
        self._parser = EventParser(self._whole)
        self._told_already |= self._since_whole
        self._since_whole.clear()
        return True

    def take(self) -> Change | None:
        """The next change that was received, if there is one. Raises: CompactedError, when there can be no other."""
        if not self._waiting:
            if self._end is not None:
                raise self._end
            return None
        change = self._waiting.popleft()
        self.id = change.id if self._waiting else self._newest
        return change

    def take_into(self, found: list[Change]) -> bool:
        """Whether there was a next change, which is in `found` then. Raises: as `take`."""
        change = self.take()
        if change is not None:
            found.append(change)
        return change is not None

    def rewind(self) -> None:
        """Go on right after what was handed out, as if nothing more had come; a copy may be of a moment in between."""
        self._newest = self.id
        self._parser = EventParser(self.id)
        self._waiting.clear()
        # What has come since is not what was handed out since.
        self._whole = self.id if _is_whole(self.id) else ""
        self._since_whole.clear()

    def lost(self) -> float:
        """The stream has ended: how many seconds to wait before the next one."""
        if self._end is not None:
            return 0.0
        self._parser = EventParser(self._newest)
        pause, self._pause = self._pause, min(2 * self._pause, PAUSE_SECONDS_MAX)
        return pause


def _is_whole(id_: str) -> bool:
    """Whether it needs no node to remember what it stands for."""
    return id_.startswith("w1.")


class _Change(msgspec.Struct):
    event: Kind
    key: str
    revision: int
    encoding: Encoding = "utf8"
    value: str | None = None
    content_type: str | None = None


_decoder = msgspec.json.Decoder(_Change)


def _change_in(data: str, id_: str) -> Change:
    try:
        told = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise stranger(is_write=False) from error
    return Change(
        event=told.event,
        key=read_spelled(told.key, told.encoding),
        value=None if told.value is None else read_spelled(told.value, told.encoding),
        revision=told.revision,
        content_type=told.content_type,
        id=id_,
    )


def _failure_in(data: str) -> ProblemError | NotAGatewayError:
    """Why a gateway ends a stream."""
    try:
        status = msgspec.json.decode(data, type=_Status).status
    except msgspec.MsgspecError as error:
        raise stranger(is_write=False) from error
    failure = error_of(Response(status, {}, data.encode()), is_write=False)
    return failure if isinstance(failure, ProblemError) else NotAGatewayError(str(failure))


class _Status(msgspec.Struct):
    status: int


def _read_head(response: Response) -> None:
    expect(response, 200, is_write=False)
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise stranger(is_write=False)
