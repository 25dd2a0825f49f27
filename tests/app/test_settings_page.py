"""/docs/settings: the reference of all settings, made from their declarations."""

import html
import re
from dataclasses import replace

import httpx

from app.routes.settings import page
from app.settings import ALL_SETTINGS, Limits, Settings
from tests.app.running import Running


def test_the_page_lists_every_setting_with_what_is_in_force() -> None:
    settings = Settings(name="n1", data="d", http="127.0.0.1:1", peer="127.0.0.1:2", secret=b"0123456789abcdef")
    shown = page(replace(settings, limits=Limits(pair_bytes_max=20_480), seeds={"n1": "127.0.0.1:2"}))

    for item in ALL_SETTINGS:
        assert f"<code>{item.variable}</code>" in shown and html.escape(item.text) in shown
    assert "<td>20480</td><td>10240</td><td>from 1 to 1048576</td>" in shown
    assert "<td>n1=127.0.0.1:2</td>" in shown
    assert "0123456789abcdef" not in shown and "<td>set</td>" in shown


def test_the_page_asks_nobody_but_the_node(gateway: Running) -> None:
    answer = httpx.get(f"{gateway.url}/docs/settings")

    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    for link in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert httpx.get(gateway.url + link).status_code == 200
