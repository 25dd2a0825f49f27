"""What the routes have in common: the gateway behind them, and problems as responses."""

from typing import Any, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from app.answers import Answer, header_pairs
from app.fields import read_query
from app.gateway import Gateway
from app.problems import Problem


class ProblemModel(BaseModel):
    """What went wrong, what became of the request, and whether it may be repeated (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["/problems/no-quorum"])
    title: str = Field(examples=["No quorum"])
    status: int = Field(examples=[503])
    detail: str = Field(examples=["partition 7 has no leader that reaches a majority"])
    code: str = Field(examples=["NO_QUORUM"])
    request_id: str = Field(examples=["9f86d081-2a"])
    outcome: str = Field(examples=["not_applied"], json_schema_extra={"enum": ["not_applied", "unknown"]})
    retryable: bool = Field(examples=[True])


Documented = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Documented:
    """The documentation of a route's failures."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemModel"}}}
    texts = {
        400: "Malformed: an unknown, duplicate or bad parameter, header, key or body",
        404: "Not found",
        405: "Method not allowed",
        413: "Too large",
        414: "The key is too long",
        422: "Understood, but not possible",
        503: "Not now: no quorum, electing, overloaded, starting or shutting down; not applied",
        504: "The deadline passed after the proposal: the outcome is unknown",
        507: "No disk space for writes",
    }
    found: Documented = {status: {"description": texts[status], "content": content} for status in statuses}
    found["default"] = {"description": "Any other problem", "model": ProblemModel}
    return found


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


def refuse_unknown_parameters(request: Request) -> None:
    """A query parameter that the route does not know, or knows once and gets twice, is refused, never ignored."""
    query = request.scope["query_string"]
    route = request.scope.get("route")
    if not query or not isinstance(route, APIRoute) or route.path.startswith("/v1/kv/"):
        return
    known = [parameter.alias for parameter in route.dependant.query_params]
    parameters = read_query(query, known)
    if isinstance(parameters, Problem):
        raise ProblemError(parameters)


def raw_target(request: Request) -> bytes:
    """Path and query as they were sent, percent-encoding and all."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    path = path.partition(b"?")[0]
    return path + b"?" + query if query else path
