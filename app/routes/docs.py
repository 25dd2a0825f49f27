"""/docs: Swagger UI, from files of our own; a strict policy keeps the page from asking any other host.

static/swagger-ui holds what the page needs of the npm package swagger-ui-dist 5.35.0, unchanged, with its licenses.
"""

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from app.problems import NO_SUCH_ROUTE, Problem
from app.routes.responses import problem_response

router = APIRouter(include_in_schema=False)

_TYPES = {
    "docs.js": "text/javascript; charset=utf-8",
    "docs.css": "text/css; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "swagger-ui/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui/swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui/favicon-32x32.png": "image/png",
    "swagger-ui/LICENSE": "text/plain; charset=utf-8",
    "swagger-ui/NOTICE": "text/plain; charset=utf-8",
    "swagger-ui/swagger-ui-bundle.js.LICENSE.txt": "text/plain; charset=utf-8",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/docs")
async def docs() -> Response:
    """The interactive documentation."""
    return Response(
        _read("docs.html"),
        headers={
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": _POLICY,
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
        },
    )


@router.get("/")
async def home() -> Response:
    """The documentation is the first page, until there is a better one."""
    return Response(status_code=307, headers={"location": "/docs"})


@router.get("/static/{name:path}")
async def static(request: Request, name: str) -> Response:
    """One of the files that the page needs; no other file is served."""
    if name not in _TYPES:
        return problem_response(Problem(NO_SUCH_ROUTE, f"there is no file {name}"))
    body = _read(name)
    headers = {"content-type": _TYPES[name], "cache-control": "no-cache", "etag": _tag(name)}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers)


@cache
def _read(name: str) -> bytes:
    return files("app").joinpath("static", *name.split("/")).read_bytes()


@cache
def _tag(name: str) -> str:
    return f'"{hashlib.sha256(_read(name)).hexdigest()[:16]}"'
