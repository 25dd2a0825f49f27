"""Gateways that answer as a script says, or not at all."""

import contextlib
import socket
import threading
from typing import Self

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class Scripted:
    """Answers one connection after the other, each with bytes, and then closes it.

    asked  the ids that requests came with
    """

    def __init__(self, *answers: bytes) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            link, _ = self._listener.accept()
            with link:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += link.recv(65_536)
                lines = request.decode().split("\r\n")
                self.asked += [line[15:] for line in lines if line.startswith("Last-Event-ID: ")] or [""]
                link.sendall(answer)
        self._listener.close()


class Silent:
    """Takes every connection, says this once, and then nothing more."""

    def __init__(self, answer: bytes = b"") -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._links: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        for link in self._links:
            link.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                self._links.append(link)
                link.sendall(self._answer)
