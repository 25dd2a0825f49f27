"""Every failure of a route as a problem document: those of the framework, too."""

from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app.problems import (
    BAD_BODY,
    BAD_HEADER,
    BAD_PARAMETER,
    METHOD_NOT_ALLOWED,
    NO_SUCH_ROUTE,
    Problem,
    problem_of,
)
from app.routes.responses import ProblemError, problem_response
from raftgroups import RaftGroupError

_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_PLACE_LENGTH_MAX = 100


def install_errors(app: FastAPI) -> None:
    """Give `app` its exception handlers."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(RaftGroupError, _failed)
    app.add_exception_handler(Exception, _failed)


async def _refused(request: Request, error: Exception) -> Response:
    status = cast(HTTPException, error).status_code
    if status == 404:
        return problem_response(Problem(NO_SUCH_ROUTE, f"{request.method} {request.url.path} leads nowhere"))
    if status == 405:
        allowed = ", ".join(sorted(_allowed_methods(request)))
        head = f"allow: {allowed}\r\n".encode()
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": allowed})
        return problem_response(Problem(METHOD_NOT_ALLOWED, f"{request.method} is not allowed here", head=head))
    return problem_response(Problem(BAD_BODY, "the body is not JSON that can be read"))


async def _invalid(request: Request, error: Exception) -> Response:
    first = cast(RequestValidationError, error).errors()[0]
    what = first["msg"].removeprefix("Value error, ")
    if first["loc"][0] != "body":
        source, name = (str(part) for part in first["loc"][:2])
        return problem_response(Problem(BAD_PARAMETER, f"{source} parameter {name!r}: {what}", {"parameter": name}))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        detail = "header Content-Type must be application/json: with curl, add -H 'Content-Type: application/json'"
        return problem_response(Problem(BAD_HEADER, detail, {"header": "Content-Type"}))
    if first["type"] == "json_invalid":
        detail = f"the body is not JSON that can be read: {first['ctx']['error']} at character {first['loc'][1]}"
        return problem_response(Problem(BAD_BODY, detail))
    place = ".".join(str(part) for part in first["loc"])[:_PLACE_LENGTH_MAX]
    return problem_response(Problem(BAD_BODY, f"{place}: {what}", {"parameter": place}))


async def _problem(_: Request, error: Exception) -> Response:
    return problem_response(cast(ProblemError, error).problem)


async def _left(_: Request, __: Exception) -> Response:
    return Response(status_code=204)  # nobody reads it


async def _failed(request: Request, error: Exception) -> Response:
    return problem_response(problem_of(error, writes=request.method not in {"GET", "HEAD"}))


def _allowed_methods(request: Request) -> set[str]:
    """Of all routes on this path; the framework names those of the first only."""
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    allowed = {
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    }
    return allowed | {"OPTIONS"} | ({"HEAD"} if "GET" in allowed else set())
