"""The documentation page in a real browser: it renders, and asks nobody but the node."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import playwright.sync_api as playwright
import pytest

from tests.app.running import Running

CHROMIUM = shutil.which("chromium")


def test_the_page_and_its_files_come_from_the_node(gateway: Running) -> None:
    page = httpx.get(f"{gateway.url}/docs")

    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 5
    for link in links:
        assert link.startswith("/static/")
        assert httpx.get(gateway.url + link).status_code == 200


def test_files_are_not_sent_twice(gateway: Running) -> None:
    url = f"{gateway.url}/static/swagger-ui/swagger-ui.css"
    first = httpx.get(url)

    assert httpx.get(url, headers={"If-None-Match": first.headers["etag"]}).status_code == 304


@pytest.mark.parametrize("name", ["../server.py", "%2e%2e/server.py", "docs.html", "swagger-ui", "/etc/passwd", ""])
def test_no_other_file_is_served(gateway: Running, name: str) -> None:
    with gateway.connect() as client:
        answer = client.ask(f"GET /static/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    assert answer.status == 404


def test_the_licenses_of_what_is_shipped_are_shipped(gateway: Running) -> None:
    assert "Apache License" in httpx.get(f"{gateway.url}/static/swagger-ui/LICENSE").text
    assert "Licensed under the MIT License" in (
        httpx.get(f"{gateway.url}/static/swagger-ui/swagger-ui-bundle.js.LICENSE.txt").text
    )


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium, which .ci/run installs")
def test_the_page_works_with_no_other_host(gateway: Running, tmp_path: Path) -> None:
    """Every request of the page goes to the node; what the browser itself asks for would be refused, and is off."""
    net_log = tmp_path / "net.json"
    shown = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--disable-default-apps", "--disable-extensions", "--enable-logging=stderr", "--window-size=1200,1600"),
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--log-net-log={net_log}",
            # Nothing but the node can be reached, by name or by number.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--screenshot={tmp_path / 'docs.png'}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            f"{gateway.url}/docs",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    text = re.sub(r"<[^>]+>|\u200b", "", shown.stdout)
    for expected in ("/v1/kv/{key}", "Store a value", "/v1/cluster", "/readyz"):
        assert expected in text
    assert "Content Security Policy" not in shown.stderr, "the policy blocks what the page needs"
    # The browser has errands of its own, which lead nowhere here; a page's requests name the page as their origin.
    asked = [(event["params"].get("initiator", ""), event["params"]["url"]) for event in _requests(net_log)]
    of_the_page = {url for origin, url in asked if origin.startswith("http")}
    assert {origin for origin, _ in asked if origin.startswith("http")} == {gateway.url}
    assert f"{gateway.url}/openapi.json" in of_the_page
    assert {url for url in of_the_page if not url.startswith(f"{gateway.url}/")} == set()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium, which .ci/run installs")
def test_who_clicks_puts_and_gets(gateway: Running) -> None:
    """With nothing filled in but the key and the value."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        )
        page = browser.new_page()
        page.goto(f"{gateway.url}/docs")

        put = _opened(page, "put_key")
        put.locator("textarea").first.fill("by hand")
        written = _executed(put, key="clicked/ä")
        read = _executed(_opened(page, "get_key"), key="clicked/ä")
        browser.close()

    assert (written, read) == ("204", "200")
    assert gateway.fake.items["clicked/ä".encode()].value == b"by hand"


def _opened(page: playwright.Page, operation: str) -> playwright.Locator:
    block = page.locator(f"#operations-data-{operation}")
    block.locator(".opblock-summary-control").first.click()
    return block


def _executed(block: playwright.Locator, key: str) -> str:
    """The status of the answer, once there is one."""
    block.locator("tr[data-param-name=key] input").fill(key)
    block.locator("button.execute").click()
    return block.locator(".live-responses-table .response-col_status").last.inner_text().split()[0]


def _requests(net_log: Path) -> list[dict[str, dict[str, str]]]:
    text = net_log.read_text()
    try:
        log = json.loads(text)
    except json.JSONDecodeError:  # the browser left before it closed the list
        log = json.loads(text.rstrip().rstrip(",") + "]}")
    return [event for event in log["events"] if {"url", "method"} <= event.get("params", {}).keys()]
