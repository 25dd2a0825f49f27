"""What the routes have in common: the gateway behind them, and problems as responses."""

import json
from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from app.answers import Answer, header_pairs
from app.fields import read_query
from app.gateway import Gateway
from app.middleware import CheckOrigin
from app.problems import (
    CHANGE_REFUSED,
    HISTORY_GONE,
    KEY_TOO_LONG,
    NO_QUORUM,
    NO_SUCH_KEY,
    NOT_A_REPLICA,
    OUTCOME_UNKNOWN,
    PAIR_TOO_LARGE,
    PRECONDITION_FAILED,
    STORAGE_FULL,
    UNKNOWN_PARAMETER,
    Problem,
    encode_problem,
)


class ProblemModel(BaseModel):
    """What went wrong, what became of the request, and whether it may be repeated (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(
        examples=["/problems/no-quorum"], description="A page of this node that explains it; /problems lists all"
    )
    title: str = Field(examples=["No quorum"])
    status: int = Field(examples=[503])
    detail: str = Field(examples=["partition 7 has no leader that reaches a majority"])
    code: str = Field(examples=["NO_QUORUM"])
    request_id: str = Field(examples=["9f86d081-2a"])
    outcome: str = Field(examples=["not_applied"], json_schema_extra={"enum": ["not_applied", "unknown"]})
    retryable: bool = Field(examples=[True])


# Of a page without a script: it may use our style sheet, and ask nobody for anything else.
PAGE_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

Documented = dict[int | str, dict[str, Any]]

_SCHEMA = {"$ref": "#/components/schemas/ProblemModel"}
_FAILURES: dict[int, tuple[str, Problem]] = {
    400: (
        "Malformed: an unknown, duplicate or bad parameter, header, key or body",
        Problem(UNKNOWN_PARAMETER, "query parameter 'colour' is unknown here", {"parameter": "colour"}),
    ),
    404: ("Not found", Problem(NO_SUCH_KEY, "there is no such key")),
    409: (
        "In conflict with what is going on",
        Problem(CHANGE_REFUSED, "partition 7 is in the middle of another change", {"partition": 7}),
    ),
    410: (
        "The changes after the id are not kept any more; `oldest` is the first id after which they are",
        Problem(HISTORY_GONE, "the changes after this id are not kept any more", {"oldest": "w1.AKggAKggADkZ5Xk"}),
    ),
    412: (
        "The condition does not hold; ETag says what is there",
        Problem(PRECONDITION_FAILED, "the key is at revision 8193"),
    ),
    413: (
        "Too large",
        Problem(
            PAIR_TOO_LARGE,
            "10300 bytes were sent; key and value together may have 10240",
            {"limit": 10_240, "size": 10_300},
        ),
    ),
    414: (
        "The key is too long",
        Problem(KEY_TOO_LONG, "the key has 1025 bytes; at most 1024 are allowed", {"limit": 1_024, "size": 1_025}),
    ),
    422: ("Understood, but not possible", Problem(NOT_A_REPLICA, "n9 holds no replica of partition 7")),
    503: (
        "Not now: no quorum, electing, overloaded, starting or shutting down; not applied",
        Problem(NO_QUORUM, "partition 7 has no leader that reaches a majority", {"partition": 7}),
    ),
    504: (
        "The deadline passed after the proposal: whether it applied is unknown",
        Problem(OUTCOME_UNKNOWN, "the deadline passed before partition 7 confirmed the write"),
    ),
    507: ("No disk space for writes", Problem(STORAGE_FULL, "the disk has no room for anything but reads and deletes")),
}


def problems(*statuses: int) -> Documented:
    """The documentation of a route's failures."""
    found: Documented = {}
    for status in statuses:
        text, problem = _FAILURES[status]
        example = json.loads(encode_problem(problem, "9f86d081-2a"))
        content = {"application/problem+json": {"schema": _SCHEMA, "example": example}}
        found[status] = {"description": text, "content": content}
        if problem.kind.retry_after is not None:
            schema = {"description": "Seconds to wait before trying again", "schema": {"type": "integer"}}
            found[status]["headers"] = {"Retry-After": schema}
    found["default"] = {
        "description": "Any other problem",
        "content": {"application/problem+json": {"schema": _SCHEMA}},
    }
    return found


class Api(FastAPI):
    """FastAPI, whose document knows what a problem is, and the schemas of what no model of its own describes."""

    schemas: Mapping[str, Any] = {}

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schema = ProblemModel.model_json_schema(ref_template="#/components/schemas/{model}")
        document.setdefault("components", {}).setdefault("schemas", {}).update(self.schemas, ProblemModel=schema)
        return document

    def build_middleware_stack(self) -> ASGIApp:
        """The check of the origin comes first, and last: the framework's own answer to a failure passes it, too."""
        return CheckOrigin(super().build_middleware_stack(), self.state.gateway.origins)


def gateway_of(request: Request) -> Gateway:
    """The gateway that the app was made for."""
    return cast(Gateway, request.app.state.gateway)


def response_of(answer: Answer) -> Response:
    """An answer of the shared handler as Starlette sends it."""
    response = Response(answer.body, answer.status)
    response.raw_headers = header_pairs(answer)
    return response


def problem_response(problem: Problem) -> Response:
    """A problem as Starlette sends it."""
    return response_of(problem.answer())


class ProblemError(Exception):
    """Carries a Problem out of a dependency."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


# These read their queries themselves.
_OWN_QUERIES = ("/v1/kv/", "/v1/batch", "/v1/txn", "/v1/watch")


async def refuse_unknown_parameters(request: Request) -> None:
    """A query parameter that the route does not know, or knows once and gets twice, is refused, never ignored."""
    query = request.scope["query_string"]
    route = request.scope.get("route")
    if not query or not isinstance(route, APIRoute) or route.path.startswith(_OWN_QUERIES):
        return
    known = [parameter.alias for parameter in route.dependant.query_params]
    # A route that reads its query itself documents it by hand.
    by_hand = (route.openapi_extra or {}).get("parameters", ())
    known += [parameter["name"] for parameter in by_hand if parameter["in"] == "query"]
    parameters = read_query(query, known)
    if isinstance(parameters, Problem):
        raise ProblemError(parameters)


def raw_target(request: Request) -> bytes:
    """Path and query as they were sent, percent-encoding and all."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    path = path.partition(b"?")[0]
    return path + b"?" + query if query else path
