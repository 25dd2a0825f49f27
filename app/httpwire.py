"""HTTP/1.1 over the wire, as a client speaks it: requests as bytes, and bytes as responses; without a socket.

httptools frames the responses (RFC 9112, section 6): by Content-Length, by chunks, or by the end of the connection.
"""

from collections import deque
from collections.abc import Mapping

import httptools

from app.clienterrors import Response

HEAD_BYTES_MAX = 1 << 18  # what sends a longer one is no gateway


def encode_request(method: str, host: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """The bytes of one request; a body always goes with its length."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method not in {"GET", "HEAD", "DELETE"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


class NotAnAnswerError(Exception):
    """What arrived answers nothing that was asked, or is cut off; the text says so for a person."""


class ResponseParser:
    """Answers in the order of their requests.

    keeps_alive   another request may follow on this connection
    head          of the answer that is arriving, as a Response without a body; None before all its fields are there
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._asked: deque[bool] = deque()  # whether each was HEAD, whose answer has no body whatever it says
        self._done: list[Response] = []
        self._head_bytes = 0  # of what has come of a head that is not all there
        self.keeps_alive = True
        self._begin()

    def _begin(self) -> None:
        self.head: Response | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._is_skipped = False

    @property
    def waits(self) -> bool:
        """Something was asked that has no whole answer yet."""
        return bool(self._asked)

    def asked(self, *, is_head: bool = False) -> None:
        """A request has been sent."""
        self._asked.append(is_head)

    def feed(self, data: bytes) -> list[Response]:
        """The answers that are whole now. Raises: NotAnAnswerError, after which the connection is of no use."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keeps_alive = False
            if not self._done:  # Whole answers that came before it are good.
                raise NotAnAnswerError("it does not answer in HTTP") from error
        if self._is_skipped:  # The parser waits for a body that does not come.
            self._parser = httptools.HttpResponseParser(self)
            self.keeps_alive = self.keeps_alive and not self._asked and data.endswith(b"\r\n\r\n")
            self._begin()
        done, self._done = self._done, []
        if self.head is None and not done:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                raise NotAnAnswerError("it answers with a head without an end")
        return done

    def end(self) -> list[Response]:
        """The connection has ended. Raises: NotAnAnswerError, if an answer is missing."""
        self.keeps_alive = False
        head = self.head
        if head is not None and not {"content-length", "transfer-encoding"} & head.headers.keys():
            self._answered()
        if self._asked:
            raise NotAnAnswerError("the gateway closed the connection")
        done, self._done = self._done, []
        return done

    def take_body(self) -> bytes:
        """What has come of the body since this was asked last, of an answer that is read as it comes."""
        body, self._body = b"".join(self._body), []
        return body

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        if not self._asked:
            raise ValueError("nothing was asked")
        self._head_bytes = 0
        self.head = Response(status, self._headers, b"")
        if self._asked[0]:
            self.keeps_alive = self._parser.should_keep_alive()
            self._is_skipped = True
            self._answered()

    def on_body(self, body: bytes) -> None:
        if not self._is_skipped:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self.head is not None and not self._is_skipped:
            self.keeps_alive = self._parser.should_keep_alive()
            self._answered()

    def _answered(self) -> None:
        assert self.head is not None, "an answer begins with a head"
        self._asked.popleft()
        self._done.append(Response(self.head.status, self.head.headers, self.take_body()))
        self.head = None
