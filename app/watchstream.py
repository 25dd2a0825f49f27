"""Watch: what brings a watch its streams, one after the other, to a thread that waits.

Each has a connection of its own, beside those of its client: a stream that is open would keep others waiting.
"""

import threading
import time
from collections.abc import Callable
from typing import Never, Self

from app.attempts import Gateways, Pause, Send, Steps
from app.blockingconnection import BlockingConnection
from app.calls import Call
from app.clienterrors import ClientError, CompactedError, InvalidArgumentTypeError, Response
from app.clientwatch import Change, Following
from app.forks import tell_of_forks
from app.httpwire import NotAnAnswerError
from app.sending import CONNECT_SECONDS_MAX, request_of, run, unanswered, unreachable
from app.urls import place_of

# A gateway says something every ten seconds.
SILENCE_SECONDS = 25.0

StepsOf = Callable[[Call[None]], Steps[None]]
OnPause = Callable[[Pause | None], object]


class Watch:
    """Changes as they happen, for threads: an iterator that ends only when it is closed, and a context manager.

    Entered, it has begun: every change from then on is told. It goes on at another gateway when its own is lost, and
    gives up when none has had the stream for as long as a call may take.

    id   from which another watch goes on right after what this one has handed out
    """

    def __init__(self, following: Following, steps_of: StepsOf, gateways: Gateways, on_pause: OnPause) -> None:
        self._following = following
        self._steps_of = steps_of
        self._gateways = gateways
        self._on_pause = on_pause
        self._url = ""
        self._is_closed = False
        self._begin()
        tell_of_forks(self)

    def _begin(self) -> None:
        self._connection: BlockingConnection | None = None
        self._closed = threading.Event()
        self._turn = threading.Lock()
        if self._is_closed:
            self._closed.set()

    def forked(self) -> None:
        """The parent's stream stays the parent's: this process goes on from `id` with one of its own."""
        connection = self._connection
        self._begin()
        if connection is not None:
            connection.close()
        self._following.rewind()

    def __reduce__(self) -> Never:
        raise InvalidArgumentTypeError("a watch cannot be pickled or copied: begin another, after its id")

    @property
    def id(self) -> str:
        return self._following.id

    def __enter__(self) -> Self:
        """Raises: CompactedError, if it cannot begin after the id that was given, and any ClientError."""
        self._until(lambda: self._following.has_begun)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        """Raises: CompactedError, when the changes after `id` are not kept any more, and any ClientError."""
        found: list[Change] = []
        self._until(lambda: self._following.take_into(found))
        if not found:
            raise StopIteration
        return found[0]

    def close(self) -> None:
        """End it, whoever waits for its next change, in whichever thread."""
        self._is_closed = True
        self._closed.set()
        connection = self._connection
        if connection is not None:
            connection.end()
        with self._turn:
            self._drop()

    def _until(self, is_enough: Callable[[], bool]) -> None:
        """Read on; whatever it fails of, it is over."""
        with self._turn:
            try:
                while not self._closed.is_set() and not is_enough():
                    self._advance()
            except WatchClosedError:
                self._drop()
            except BaseException as error:
                self._drop()
                if isinstance(error, ClientError):
                    self._is_closed = True
                    self._closed.set()
                raise

    def _advance(self) -> None:
        if self._connection is None:
            try:
                run(self._steps_of(self._following.call()), self._send, self._pause)
            except CompactedError:
                if not self._following.falls_back():
                    raise
            finally:
                self._on_pause(None)
            return
        try:
            data = self._connection.read(SILENCE_SECONDS)
        except (OSError, NotAnAnswerError):
            data = b""
        if not self._closed.is_set() and not (data and self._following.received(data)):
            self._drop()
            self._gateways.failed(self._url, time.monotonic())
            self._closed.wait(self._following.lost())

    def _pause(self, step: Pause) -> None:
        self._on_pause(step)
        self._closed.wait(step.seconds)

    def _send(self, step: Send) -> Response | ClientError:
        if self._closed.is_set():
            raise WatchClosedError
        try:
            connection = BlockingConnection.open(*place_of(step.url), min(step.timeout_seconds, CONNECT_SECONDS_MAX))
        except OSError as error:
            return unreachable(step, error)
        self._connection, self._url = connection, step.url
        try:
            answer = connection.begin(request_of(step), step.timeout_seconds)
        except (OSError, NotAnAnswerError) as error:
            self._drop()
            return unanswered(step, error)
        if answer.status != 200:
            self._drop()
        return answer

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class WatchClosedError(Exception):
    """It was closed while a stream was to be opened."""
