import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.clienterrors import Response
from app.connection import Connection, ConnectionLostError
from app.httpwire import encode_request

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def talk(serve: Server, drive: Callable[[Connection], Awaitable[None]]) -> None:
    """Runs `drive` with a connection to a server of one connection, which is cut at the end."""

    async def run() -> None:
        writers: list[asyncio.StreamWriter] = []

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            try:
                await serve(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass

        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        connection = await Connection.open("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            async with asyncio.timeout(10):
                await drive(connection)
        finally:
            connection.close()
            server.close()
            for writer in writers:
                writer.transport.abort()

    asyncio.run(run())


def get(target: str) -> bytes:
    return encode_request("GET", "host", target, {})


async def heads(reader: asyncio.StreamReader, count: int) -> list[bytes]:
    return [(await reader.readuntil(b"\r\n\r\n")).split(b" ")[1] for _ in range(count)]


def test_a_request_is_a_line_headers_and_a_body_with_its_length() -> None:
    assert encode_request("PUT", "h:1", "/a", {"X": "1"}, b"body") == (
        b"PUT /a HTTP/1.1\r\nHost: h:1\r\nX: 1\r\nContent-Length: 4\r\n\r\nbody"
    )
    assert encode_request("PUT", "h:1", "/a", {}).endswith(b"Content-Length: 0\r\n\r\n")
    assert b"Content-Length" not in encode_request("GET", "h:1", "/a", {})


def test_answers_find_their_requests_in_order() -> None:
    """Many requests leave in one write, and their answers may arrive torn anywhere."""
    count = 50

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        targets = await heads(reader, count)
        answers = b"".join(
            b"HTTP/1.1 204 No Content\r\nX: %b\r\n\r\n" % target
            if number % 3 == 0
            else b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Length: %d\r\n\r\n%b" % (target, len(target), target)
            for number, target in enumerate(targets)
        )
        for start in range(0, len(answers), 7):
            writer.write(answers[start : start + 7])
            await writer.drain()

    async def drive(connection: Connection) -> None:
        answers = await asyncio.gather(*(connection.send(get(f"/{number}")) for number in range(count)))
        for number, answer in enumerate(answers):
            is_empty = number % 3 == 0
            assert answer.headers["x"] == f"/{number}"
            assert (answer.status, answer.body) == ((204, b"") if is_empty else (200, b"/%d" % number))

    talk(serve, drive)


def test_a_cancelled_request_does_not_shift_the_others() -> None:
    """Its answer still comes, and is thrown away: nobody gets an answer that is not theirs."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for target in await heads(reader, 3):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + target)

    async def drive(connection: Connection) -> None:
        first, second, third = (connection.send(get(target)) for target in ("/1", "/2", "/3"))
        second.cancel()
        assert ((await first).body, (await third).body) == (b"/1", b"/3")

    talk(serve, drive)


def test_a_lost_connection_fails_every_request_on_it() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heads(reader, 2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    async def drive(connection: Connection) -> None:
        first, second = connection.send(get("/1")), connection.send(get("/2"))
        assert (await first).body == b"ok"
        with pytest.raises(ConnectionLostError):
            await second
        assert not connection.is_open
        with pytest.raises(ConnectionLostError):
            await connection.send(get("/3"))

    talk(serve, drive)


@pytest.mark.parametrize("nonsense", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 100, b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_not_http_ends_the_connection(nonsense: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heads(reader, 1)
        writer.write(nonsense)
        await reader.read()

    async def drive(connection: Connection) -> None:
        with pytest.raises(ConnectionLostError):
            await connection.send(get("/"))

    talk(serve, drive)


def test_an_answer_nobody_asked_for_ends_the_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heads(reader, 1)
        writer.write(2 * b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.read()

    async def drive(connection: Connection) -> None:
        assert await connection.send(get("/")) == Response(204, {}, b"")
        with pytest.raises(ConnectionLostError):
            await connection.send(get("/"))

    talk(serve, drive)


def test_an_answer_may_say_that_it_is_the_last() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heads(reader, 1)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()

    async def drive(connection: Connection) -> None:
        assert (await connection.send(get("/"))).body == b"ok"
        assert not connection.is_open

    talk(serve, drive)
