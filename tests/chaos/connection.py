"""One HTTP connection of a client that must know whether a node can have seen its request."""

import select
import socket


class Connection:
    """One connection to the node, opened when first needed and again after a failure."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def request(
        self, method: str, target: str, body: bytes, headers: str, timeout: float
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; status 0 if the node cannot have seen it, -1 if nobody knows."""
        sent = False
        if self._socket is not None and select.select([self._socket], [], [], 0)[0]:
            self.close()  # the node has closed it meanwhile, as it may
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, timeout)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(timeout)
            length = f"Content-Length: {len(body)}\r\n" if body or method in ("PUT", "POST") else ""
            head = f"{method} {target} HTTP/1.1\r\nHost: node\r\n{headers}{length}\r\n"
            sent = True
            self._socket.sendall(head.encode() + body)
            return self._receive(self._socket)
        except (OSError, ValueError):
            self.close()
            return (-1 if sent else 0), {}, b""

    def _receive(self, link: socket.socket) -> tuple[int, dict[str, str], bytes]:
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more(link)
        lines = data[:end].decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {}
        for line in lines[1:]:
            name, _, text = line.partition(":")
            headers[name.lower()] = text.strip()
        body = data[end + 4 :]
        length = 0 if status in (204, 304) else int(headers.get("content-length", 0))
        while len(body) < length:
            body += self._more(link)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, headers, body

    @staticmethod
    def _more(link: socket.socket) -> bytes:
        data = link.recv(65_536)
        if not data:
            raise ConnectionResetError("the node closed the connection")
        return data
