"""A client of the gateways: what `ringkv put`, `get`, `delete`, `status` and `load` speak through.

Several URLs are several doors to one cluster: when one fails, the next is tried. A request is repeated by itself only
when it certainly was not applied; a caller that is the only writer of its keys may have unknown outcomes repeated too,
because putting the same value twice is putting it once.
"""

import asyncio
import json
from collections.abc import Sequence
from random import Random
from typing import Any, ClassVar, Self
from urllib.parse import quote_from_bytes, urlsplit

from app.connection import Connection, ConnectionLostError, Response, encode_request

ATTEMPT_SECONDS_MAX = 5.0
ANSWER_GRACE_SECONDS = 1.0  # a gateway answers 504 by itself at its deadline; wait that much longer for it
PAUSE_SECONDS_MIN = 0.05
PAUSE_SECONDS_MAX = 1.0
_JSON = {"Content-Type": "application/json"}
REPEATED_STATUSES = frozenset({429, 503, 504})  # throttled; electing or draining; out of time


class ClientError(Exception):
    """Base of what a Client raises; its text is one line for a person.

    may_have_applied   the command may have taken effect
    is_lasting         trying went on for all the time there was: the next command will hardly fare better
    """

    may_have_applied: ClassVar[bool] = False
    is_lasting: bool = True


class InvalidUrlError(ClientError):
    """Not the URL of a gateway."""


class NotAGatewayError(ClientError):
    """Something else listens there."""


class UnreachableError(ClientError):
    """No connection could be made, so nothing was sent."""


class RefusedError(ClientError):
    """The gateway answered with a problem: the command was not applied."""

    def __init__(self, response: Response) -> None:
        problem = _decode_problem(response)
        super().__init__(f"{problem['detail']} (status {response.status}, {problem['code']})")
        self.status = response.status
        self.is_lasting = response.status in REPEATED_STATUSES or response.status == 507


class OutcomeUnknownError(ClientError):
    """No answer, or an answer that says so: the command may have been applied."""

    may_have_applied = True


class Client:
    """The routes of a cluster as methods.

    timeout_seconds   how long one call may take, with all its attempts
    sole_writer       nobody else writes the keys this client writes: outcomes that are unknown are repeated, and
                      gateways that cannot be reached are waited for
    """

    def __init__(
        self, urls: Sequence[str], *, timeout_seconds: float, sole_writer: bool = False, rng: Random | None = None
    ) -> None:
        self._gateways = [_Gateway(url) for url in urls]
        if not self._gateways:
            raise InvalidUrlError("no URL of a gateway was given")
        self._spares: list[_Gateway] = []
        self._timeout_seconds = timeout_seconds
        self._sole_writer = sole_writer
        self._rng = rng or Random()
        self._turn = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for gateway in (*self._gateways, *self._spares):
            gateway.close()

    async def put(self, key: bytes, value: bytes, content_type: str = "application/octet-stream") -> None:
        _expect(await self._ask("PUT", _kv(key), {"Content-Type": content_type}, value), 204)

    async def get(self, key: bytes, consistency: str = "linearizable") -> bytes | None:
        """The value, or None where there is none."""
        response = await self._ask("GET", f"{_kv(key)}?consistency={consistency}")
        if response.status == 404 and response.headers.get("content-type", "").startswith("application/problem+json"):
            return None
        _expect(response, 200)
        return response.body

    async def delete(self, key: bytes) -> None:
        _expect(await self._ask("DELETE", _kv(key)), 204)

    async def cluster(self) -> dict[str, Any]:
        """What `GET /v1/cluster` says."""
        response = await self._ask("GET", "/v1/cluster")
        return _decode(response, {"nodes", "partitions"})

    async def replicas(self, partition: int) -> dict[str, Any]:
        """What `GET /v1/partitions/{id}/replicas` says."""
        return _decode_replicas(await self._ask("GET", f"/v1/partitions/{partition}/replicas"))

    async def place(self, partition: int, nodes: Sequence[str]) -> dict[str, Any]:
        """Has these nodes hold a partition; the answer is that of `replicas`, and the moves come after it."""
        body = json.dumps({"nodes": list(nodes)}).encode()
        return _decode_replicas(await self._ask("PUT", f"/v1/partitions/{partition}/replicas", _JSON, body))

    async def transfer(self, partition: int, node: str) -> None:
        """Has one of its nodes lead a partition."""
        body = json.dumps({"node": node}).encode()
        _expect(await self._ask("POST", f"/v1/partitions/{partition}/leader", _JSON, body), 200)

    async def reach(self) -> None:
        """Finds a gateway that listens. Raises: UnreachableError when there is none."""
        failures = []
        for gateway in self._gateways:
            try:
                await gateway.connect(self._timeout_seconds)
                return
            except UnreachableError as error:
                failures.append(error)
        raise failures[0]

    async def learn(self) -> None:
        """Asks who else is in the cluster: when no given gateway can be reached, those are tried as well."""
        known = {gateway.netloc for gateway in self._gateways}
        addresses = {str(node.get("http") or "") for node in (await self.cluster())["nodes"]} - known - {""}
        self._spares = [_Gateway(f"http://{address}") for address in sorted(addresses)]

    async def ask_once(self, target: str) -> Response:
        """One GET of the first gateway, whatever its answer, without a second try."""
        return await self._gateways[0].ask("GET", target, {}, b"", self._timeout_seconds)

    async def _ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """The answer, after as many attempts as are safe and as the time allows."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_seconds
        pause, unreachable = PAUSE_SECONDS_MIN, 0
        while True:
            gateway = self._gateways[self._turn % len(self._gateways)]
            self._turn += 1
            attempt = min(ATTEMPT_SECONDS_MAX, max(deadline - loop.time(), PAUSE_SECONDS_MIN))
            try:
                response = await gateway.ask(method, target, headers or {}, body, attempt)
                if response.status not in REPEATED_STATUSES:
                    return response
                failure = _failure(response)
            except UnreachableError as error:
                failure = error
                unreachable += 1
                if unreachable == len(self._gateways):
                    self._gateways, self._spares = [*self._gateways, *self._spares], []
                if unreachable < len(self._gateways):
                    continue
            except OutcomeUnknownError as error:
                failure = error
            if not self._may_repeat(method, failure) or loop.time() + pause > deadline:
                raise failure
            await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    def _may_repeat(self, method: str, failure: ClientError) -> bool:
        if isinstance(failure, UnreachableError):
            return self._sole_writer
        return self._sole_writer or method == "GET" or not failure.may_have_applied


class _Gateway:
    """One URL, and the connection to it while there is one."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port or 80
        except ValueError as error:
            raise InvalidUrlError(f"{url!r} is not a URL: {error}") from error
        if parts.scheme != "http" or not self._host or parts.path not in {"", "/"} or parts.query or parts.username:
            raise InvalidUrlError(f"{url!r} is not the URL of a gateway: write http://HOST:PORT")
        self._url = url.rstrip("/")
        self.netloc = parts.netloc
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    async def ask(
        self, method: str, target: str, headers: dict[str, str], body: bytes, timeout_seconds: float
    ) -> Response:
        """Raises: UnreachableError before, OutcomeUnknownError after the request was sent."""
        connection = await self.connect(timeout_seconds)
        headers = {**headers, "KV-Timeout-Ms": str(max(1, int(timeout_seconds * 1000)))}
        try:
            async with asyncio.timeout(timeout_seconds + ANSWER_GRACE_SECONDS):
                return await connection.send(encode_request(method, self.netloc, target, headers, body))
        except TimeoutError as error:
            connection.close()  # Answers come in order: those behind the missing one would wait as long.
            raise OutcomeUnknownError(f"{self._url} did not answer within {timeout_seconds:g} s") from error
        except ConnectionLostError as error:
            raise OutcomeUnknownError(f"{self._url} was lost before it answered: {error}") from error

    async def connect(self, timeout_seconds: float) -> Connection:
        async with self._opening:
            if self._connection is None or not self._connection.is_open:
                try:
                    async with asyncio.timeout(timeout_seconds):
                        self._connection = await Connection.open(self._host, self._port)
                except OSError as error:
                    raise UnreachableError(f"cannot reach {self._url}: {_reason(error)}") from error
            return self._connection


def _reason(error: OSError) -> str:
    """Plain words: asyncio gives a refused connection a text of its own, and a timeout has none."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer"
    return error.strerror or str(error)


def _kv(key: bytes) -> str:
    return "/v1/kv/" + quote_from_bytes(key, safe="")


def _expect(response: Response, status: int) -> None:
    if response.status != status:
        raise RefusedError(response)


def _decode(response: Response, members: set[str]) -> dict[str, Any]:
    """The JSON object of an answer, which has these members."""
    _expect(response, 200)
    try:
        found = json.loads(response.body)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not members <= found.keys():
        raise NotAGatewayError("what answers there is no gateway of ringkv")
    return found


def _decode_replicas(response: Response) -> dict[str, Any]:
    return _decode(response, {"partition", "voters", "learners", "target"})


def _failure(response: Response) -> ClientError:
    """What an answer of one of REPEATED_STATUSES means for the command."""
    problem = _decode_problem(response)
    if problem["outcome"] == "unknown":
        return OutcomeUnknownError(f"{problem['detail']} (status {response.status}, {problem['code']})")
    return RefusedError(response)


def _decode_problem(response: Response) -> dict[str, str]:
    """The problem document of an answer, or what can be said without one."""
    try:
        problem = json.loads(response.body)
    except ValueError:
        problem = None
    fields = problem if isinstance(problem, dict) else {}
    detail = fields.get("detail") or fields.get("title") or "the gateway gave no reason"
    outcome = fields.get("outcome") or ("unknown" if response.status == 504 else "not_applied")
    return {"detail": str(detail), "code": str(fields.get("code") or "NO_CODE"), "outcome": str(outcome)}
