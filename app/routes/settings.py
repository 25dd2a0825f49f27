"""/docs/settings: what can be set on a node, and what is in force here, as a page."""

from html import escape

from fastapi import APIRouter, Request, Response

from app.routes.responses import PAGE_POLICY, gateway_of
from app.setting import Setting
from app.settings import ALL_SETTINGS, Settings

router = APIRouter(include_in_schema=False)

_STYLE = "/static/page.css"


@router.get("/docs/settings")
async def settings(request: Request) -> Response:
    """A table of all settings; their values are this node's, and secrets are not shown."""
    return Response(
        page(gateway_of(request).settings),
        headers={
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": PAGE_POLICY,
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
        },
    )


def page(settings: Settings) -> str:
    """The page, without a script."""
    rows = "\n".join(_row(item, settings) for item in ALL_SETTINGS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ringkv: settings</title>
<link rel="stylesheet" href="{_STYLE}">
</head>
<body>
<main>
<h1>Settings of a node</h1>
<p>Give a setting as an option of <code>ringkv node</code>, in the environment, or in a TOML file that
<code>--config</code> or <code>RINGKV_CONFIG</code> names; the first of them that is there wins. The values are those of
node {escape(settings.name)}. <code>ringkv settings</code> prints the same list. See also the
<a href="/docs">HTTP interface</a>.</p>
<table>
<thead><tr><th>Setting</th><th>Here</th><th>Default</th><th>May be</th><th>What it means</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</main>
</body>
</html>
"""


def _row(item: Setting, settings: Settings) -> str:
    holder = settings if hasattr(settings, item.name) else settings.limits
    value = getattr(holder, item.name)
    here = ("set" if value else "not set") if item.is_secret else _shown(value)
    default = "required" if item.required else "" if item.is_secret else _shown(item.default)
    return (
        f'<tr id="{item.name}"><td><code>{item.option if not item.is_secret else ""}</code><br>'
        f"<code>{item.variable}</code></td><td>{escape(here)}</td><td>{escape(default)}</td>"
        f"<td>{escape(item.range)}</td><td>{escape(item.text)}</td></tr>"
    )


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{name}={address}" for name, address in value.items())
    return "" if value is None else str(value)
