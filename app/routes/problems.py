"""/problems: what each `type` of a problem document means, for whoever opens it: a person, or a program."""

from collections.abc import Mapping
from html import escape

import msgspec
from fastapi import APIRouter, Request, Response

from app.problems import KINDS, NO_SUCH_ROUTE, Kind, Problem
from app.routes.responses import PAGE_POLICY, problem_response

router = APIRouter(include_in_schema=False)

_OUTCOMES = {
    "not_applied": "Nothing was applied.",
    "unknown": "Whether it was applied is not known; of a read there is nothing to know.",
}
_HEAD = {
    "content-security-policy": PAGE_POLICY,
    "cache-control": "no-cache",
    "vary": "accept",
}


@router.get("/problems")
async def problems(request: Request) -> Response:
    """All of them."""
    if _wants(request) == "json":
        return _json([_document(kind) for kind in KINDS.values()])
    if _wants(request) == "html":
        rows = "\n".join(
            f'<tr><td><a href="{kind.type}">{escape(kind.title)}</a></td><td>{kind.status}</td>'
            f"<td><code>{kind.code}</code></td><td>{escape(kind.text)}</td></tr>"
            for kind in KINDS.values()
        )
        head = "<thead><tr><th>Problem</th><th>Status</th><th>Code</th><th>What has happened</th></tr></thead>"
        return _html("Problems", f"<table>\n{head}\n<tbody>\n{rows}\n</tbody>\n</table>")
    return _plain("\n".join(_plain_text(kind) for kind in KINDS.values()))


@router.get("/problems/{name}")
async def problem(request: Request, name: str) -> Response:
    """One of them."""
    kind = KINDS.get(name)
    if kind is None:
        return problem_response(Problem(NO_SUCH_ROUTE, f"there is no problem {name[:100]!r}; /problems lists all"))
    if _wants(request) == "json":
        return _json(_document(kind))
    if _wants(request) == "html":
        body = "\n".join(f"<p>{escape(text)}</p>" for text in (kind.text, _fate(kind), kind.advice))
        facts = f"<p><code>{kind.code}</code>, status {kind.status}</p>"
        return _html(kind.title, f'{facts}\n{body}\n<p><a href="/problems">All problems</a></p>')
    return _plain(_plain_text(kind))


def _fate(kind: Kind) -> str:
    again = "It may be repeated as it is." if kind.retryable else "Repeating it as it is will not help."
    if kind.outcome == "unknown":
        again = "It may be repeated under the Idempotency-Key that it had."
    return f"{_OUTCOMES[kind.outcome]} {again}"


def _document(kind: Kind) -> Mapping[str, object]:
    return {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "code": kind.code,
        "outcome": kind.outcome,
        "retryable": kind.retryable,
        "text": kind.text,
        "advice": kind.advice,
    }


def _plain_text(kind: Kind) -> str:
    return f"{kind.title} ({kind.code}, status {kind.status})\n{kind.text}\n{_fate(kind)}\n{kind.advice}\n"


def _wants(request: Request) -> str:
    """A browser names HTML, a program JSON; curl names nothing, and is read by a person."""
    accept = request.headers.get("accept", "").lower()
    return "html" if "text/html" in accept else "json" if "json" in accept else "plain"


def _json(document: object) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json", headers=_HEAD)


def _plain(text: str) -> Response:
    return Response(text, media_type="text/plain", headers=_HEAD)


def _html(title: str, body: str) -> Response:
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ringkv: {escape(title)}</title>
<link rel="stylesheet" href="/static/page.css">
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{body}
</main>
</body>
</html>
"""
    return Response(page, media_type="text/html", headers=_HEAD)
