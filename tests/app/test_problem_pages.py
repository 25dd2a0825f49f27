"""/problems: every problem that the product can answer has its page, for a person and for a program."""

import ast
import html
import json
import re
from pathlib import Path

import httpx
import pytest

from app.problems import KINDS, Kind
from tests.app.running import Running

APP = Path(__file__).resolve().parent.parent.parent / "app"
HTML = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_no_code_is_made_up_elsewhere() -> None:
    """Whatever is a problem is a row of the table, which the pages are made from."""
    made = {
        path.name
        for path in APP.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Kind"
    }
    assert made == {"problems.py"}


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.code)
def test_a_row_explains_itself(kind: Kind) -> None:
    for sentence in (kind.text, kind.advice):
        assert sentence[:1].isupper() and sentence.endswith("."), sentence


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.code)
def test_a_type_is_a_page(gateway: Running, kind: Kind) -> None:
    plain = httpx.get(gateway.url + kind.type)
    page = httpx.get(gateway.url + kind.type, headers=HTML)
    document = httpx.get(gateway.url + kind.type, headers={"accept": "application/json"})

    assert plain.headers["content-type"].startswith("text/plain") and page.headers["content-type"].startswith(
        "text/html"
    )
    for text in (plain.text, html.unescape(page.text)):
        assert kind.code in text and kind.title in text and kind.text in text and kind.advice in text
        assert ("Nothing was applied." in text) is (kind.outcome == "not_applied")
    assert document.json()["code"] == kind.code and document.json()["outcome"] == kind.outcome


def test_all_are_listed(gateway: Running) -> None:
    listed = httpx.get(f"{gateway.url}/problems", headers={"accept": "application/json"}).json()
    page = httpx.get(f"{gateway.url}/problems", headers=HTML)

    assert [one["type"] for one in listed] == [kind.type for kind in KINDS.values()]
    assert all(f'href="{kind.type}"' in page.text for kind in KINDS.values())
    assert all(kind.title in httpx.get(f"{gateway.url}/problems").text for kind in KINDS.values())
    for link in set(re.findall(r'(?:src|href)="([^"]+)"', page.text)):
        assert httpx.get(gateway.url + link).status_code == 200


def test_what_is_no_problem_has_no_page(gateway: Running) -> None:
    for name in ("no-such-problem", "NO_QUORUM", "%3Cscript%3E", "a/b", ""):
        answer = httpx.get(f"{gateway.url}/problems/{name}", headers=HTML)
        assert (answer.status_code, answer.json()["code"]) == (404, "NO_SUCH_ROUTE")


def test_the_type_of_an_answer_leads_to_its_page(gateway: Running) -> None:
    with gateway.connect() as client:
        told = json.loads(client.ask(b"GET /v1/kv/none HTTP/1.1\r\nHost: x\r\n\r\n").body)

    assert "There is no such key" in httpx.get(gateway.url + told["type"]).text
