"""Who may ask from where: pages are kept out, programs are not looked at."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import playwright.sync_api as playwright
import pytest

from app.originpolicy import OriginPolicy
from app.origins import parse_hosts, parse_origins
from app.setting import SettingsError
from app.settings import Settings
from tests.app.fake_coordinator import FakeCoordinator
from tests.app.running import SETTINGS, Running, running

CHROMIUM = shutil.which("chromium")
PAGE = "https://app.example.com"
ALLOWING = replace(SETTINGS, allow_origin=f"{PAGE}, http://localhost:3000", allow_host="kv.example.com,*.kv.test")
EVERYWHERE = replace(SETTINGS, http="0.0.0.0:8001")
JSON = {"content-type": "application/json"}
WRITES = [
    ("PUT", "/v1/kv/k", b"v"),
    ("DELETE", "/v1/kv/k", b""),
    ("POST", "/v1/kv/n?op=incr", b""),
    ("POST", "/v1/kv/n?op=append", b"1"),
    ("POST", "/v1/kv/n?op=touch&ttl=9", b""),
    ("POST", "/v1/batch", b'{"ops":[{"op":"put","key":"b","value":"1"}]}'),
    ("POST", "/v1/txn", b'{"then":[{"op":"put","key":"b","value":"1"}]}'),
    ("POST", "/v1/import", b'{"key":"a","value":"1"}\n'),
    ("POST", "/v1/partitions/0/leader", b'{"node":"n2"}'),
    ("PUT", "/v1/partitions/0/replicas", b'{"nodes":["n2"]}'),
]
READS = ["/v1/kv/k", "/v1/kv?prefix=", "/v1/export", "/v1/watch?prefix=", "/v1/cluster", "/metrics", "/livez", "/docs"]
FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:3000"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": ""},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
]

Door = Callable[[Settings], AbstractContextManager[tuple[httpx.Client, FakeCoordinator]]]


@contextmanager
def front(settings: Settings, *, is_fast: bool = True) -> Iterator[tuple[httpx.Client, FakeCoordinator]]:
    with running(settings, is_fast=is_fast) as gateway, httpx.Client(base_url=gateway.url) as client:
        yield client, gateway.fake


def asgi(settings: Settings) -> AbstractContextManager[tuple[httpx.Client, FakeCoordinator]]:
    return front(settings, is_fast=False)


both_doors = pytest.mark.parametrize("door", [front, asgi])


@both_doors
def test_a_page_of_another_origin_changes_nothing(door: Door) -> None:
    with door(SETTINGS) as (client, fake):
        for method, target, body in WRITES:
            for fields in FOREIGN:
                answer = client.request(method, target, content=body, headers={**JSON, **fields})
                assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_ORIGIN"), (target, fields)
                assert "--allow-origin" in answer.json()["detail"]
                assert "access-control-allow-origin" not in answer.headers
        assert not fake.items and not fake.deadlines


@both_doors
def test_our_own_pages_and_programs_change_what_they_like(door: Door) -> None:
    with door(SETTINGS) as (client, _):
        own = str(client.base_url).rstrip("/")
        for fields in (
            {},
            {"origin": own},
            {"origin": own.upper()},
            {"origin": own, "sec-fetch-site": "same-origin"},
            {"sec-fetch-site": "none"},
        ):
            assert client.put("/v1/kv/k", content=b"v", headers=fields).status_code == 204, fields
            assert client.post("/v1/kv/n?op=incr", headers=fields).status_code == 200, fields


def test_a_page_behind_a_proxy_that_speaks_tls_is_our_own() -> None:
    with front(ALLOWING) as (client, _):
        for host, origin in (
            ("kv.example.com", "https://kv.example.com"),
            ("kv.example.com:443", "https://kv.example.com"),
            ("kv.example.com:80", "http://kv.example.com"),
            ("[::1]:8001", "http://[::1]:8001"),
        ):
            answer = client.put("/v1/kv/k", content=b"v", headers={"host": host, "origin": origin})
            assert answer.status_code == 204, (host, origin)
        for host, origin in (
            ("kv.example.com:8001", "http://kv.example.com:8002"),
            ("[::1]:8001", "http://[::2]:8001"),
        ):
            answer = client.put("/v1/kv/k", content=b"v", headers={"host": host, "origin": origin})
            assert answer.status_code == 403, (host, origin)


@both_doors
def test_a_page_that_is_allowed_may_read_every_answer(door: Door) -> None:
    with door(ALLOWING) as (client, _):
        fields = {"origin": PAGE, "sec-fetch-site": "cross-site"}
        answers = [
            client.put("/v1/kv/k", content=b"v", headers=fields),
            client.get("/v1/kv/k", headers=fields),
            client.get("/v1/kv/none", headers=fields),
            client.get("/v1/kv/%zz", headers=fields),
            client.put("/v1/kv/k", content=b"v" * 20_000, headers=fields),
            client.put("/v1/kv/k", content=b"v", headers={**fields, "if-none-match": "*"}),
            client.post("/v1/batch", content=b"{}", headers=fields),
            client.get("/v1/limits", headers=fields),
            client.get("/nowhere", headers=fields),
            client.get("/v1/export", headers=fields),
            client.post("/v1/import", content=b"{", headers=fields),
            client.put("/v1/kv/k", content=b"v", headers={**fields, **{f"a{n}": "1" for n in range(120)}}),
        ]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == PAGE, answer.request.url
            assert "ETag" in answer.headers["access-control-expose-headers"]
            assert answer.headers["vary"] == "origin"
        assert [answer.status_code for answer in answers[:8]] == [204, 200, 404, 400, 413, 412, 400, 200]
        for stranger in ({"origin": "https://other.example"}, {}):
            assert "access-control-allow-origin" not in client.get("/v1/kv/k", headers=stranger).headers


@both_doors
def test_a_preflight_is_answered_to_who_is_allowed(door: Door) -> None:
    asked = {"access-control-request-method": "PUT", "access-control-request-headers": "if-match, idempotency-key"}
    with door(ALLOWING) as (client, fake):
        for target in ("/v1/kv/k", "/v1/batch", "/v1/partitions/0/replicas", "/v1/watch?prefix="):
            answer = client.options(target, headers={**asked, "origin": PAGE})
            assert answer.status_code == 204
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert {"PUT", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
            named = answer.headers["access-control-allow-headers"].lower().split(", ")
            assert {"if-match", "if-none-match", "idempotency-key", "kv-session", "kv-timeout-ms", "content-type"} <= {
                *named
            }
            refused = client.options(target, headers={**asked, "origin": "https://evil.example"})
            assert (refused.status_code, refused.json()["code"]) == (403, "CROSS_ORIGIN")
            assert "access-control-allow-origin" not in refused.headers
        assert client.options("/v1/kv/k").headers["allow"], "what is no preflight is answered as ever"
        assert not fake.items


@both_doors
def test_whoever_is_called_by_a_foreign_name_is_not_us(door: Door) -> None:
    """A page whose name is made to lead here could otherwise read everything (DNS rebinding)."""
    with door(SETTINGS) as (client, fake):
        for host in (
            "evil.example",
            "evil.example:8001",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "a.b.",
            "kv.local",
        ):
            for target in READS:
                answer = client.get(target, headers={"host": host})
                assert (answer.status_code, answer.json()["code"]) == (421, "MISDIRECTED"), (host, target)
                assert "--allow-host" in answer.json()["detail"]
            assert client.put("/v1/kv/k", content=b"v", headers={"host": host}).status_code == 421
            same = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
            assert client.put("/v1/kv/k", content=b"v", headers=same).status_code == 421
        assert not fake.items


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        *(
            (SETTINGS, name)
            for name in ("127.0.0.1", "127.0.0.1:80", "localhost:8001", "LocalHost.", "app.localhost:1")
        ),
        *((SETTINGS, name) for name in ("[::1]", "[::1]:8001", "[fe80::1%eth0]:1", "10.1.2.3:8001", "[2001:db8::7]")),
        *((SETTINGS, name) for name in ("ringkv", "n1:8001", socket.gethostname(), "127.0.0.1:")),
        *((ALLOWING, name) for name in ("kv.example.com", "KV.Example.Com.:8001", "a.kv.test", "a.b.kv.test:1")),
        *(
            (EVERYWHERE, name)
            for name in ("ringkv.default.svc", "ringkv.default.svc.cluster.local:8001", "kv.internal")
        ),
        (replace(SETTINGS, http="kv.example.com:1"), "kv.example.com:2"),
        (
            replace(SETTINGS, seeds={"n1": "127.0.0.1:0", "n2": "n2.kv.example:2"}, secret=b"s" * 16),
            "n2.kv.example:8001",
        ),
        (replace(SETTINGS, allow_host="*"), "evil.example"),
    ],
)
def test_a_node_knows_its_names(settings: Settings, host: str) -> None:
    assert OriginPolicy(settings).refusal(b"GET", {b"host": host.encode()}) is None


@pytest.mark.parametrize("host", ["a b", "a/b", "evil.example@localhost", "[::1", "localhost:x", "a?b", "\\\\x", ":80"])
def test_what_is_no_host_is_malformed(host: str) -> None:
    problem = OriginPolicy(SETTINGS).refusal(b"GET", {b"host": host.encode()})

    assert problem is not None and problem.kind.code == "BAD_HEADER"


@pytest.mark.parametrize(
    ("settings", "host"),
    [(ALLOWING, "kv.test"), (ALLOWING, "evilkv.test"), (EVERYWHERE, "evil.example"), (EVERYWHERE, "local.example")],
)
def test_a_name_must_be_one_of_them(settings: Settings, host: str) -> None:
    problem = OriginPolicy(settings).refusal(b"GET", {b"host": host.encode()})

    assert problem is not None and problem.kind.status == 421


def test_a_node_that_joined_later_is_known_by_its_name() -> None:
    policy = OriginPolicy(SETTINGS)
    assert policy.refusal(b"GET", {b"host": b"n9.kv.example:1"}) is not None
    policy.members = lambda: {"N9.kv.example"}

    assert policy.refusal(b"GET", {b"host": b"n9.kv.example:1"}) is None


def test_any_origin_may_be_allowed() -> None:
    policy = OriginPolicy(replace(SETTINGS, allow_origin="*"))

    assert policy.refusal(b"PUT", {b"origin": b"https://evil.example"}) is None
    assert policy.grant({b"origin": b"null"}).startswith(b"access-control-allow-origin: null\r\n")


def test_the_target_names_a_host_too(gateway: Running) -> None:
    with gateway.connect() as client:
        for target in ("http://evil.example/v1/kv/k", "http://evil.example:80/livez", "HTTPS://a@evil.example/"):
            answer = client.ask(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert answer.status in {421, 400}
        assert client.ask(b"GET http://localhost:1/livez HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200
        twice = client.ask(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert (twice.status, json.loads(twice.body)["code"]) == (400, "BAD_HEADER")


def test_a_refused_import_is_not_read(gateway: Running) -> None:
    with gateway.connect() as client:
        client.send(b"POST /v1/import HTTP/1.1\r\nHost: x\r\nOrigin: null\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"10\r\n" + b'{"key":"evil","v' + b"\r\n")
        client.send(b"0\r\n\r\n")
        assert client.read_answer().status == 403
    assert b"evil" not in gateway.fake.items


@pytest.mark.parametrize("text", ["https://x.example/path", "x.example", "https://", "http://a:b:c", "*.example.com"])
def test_an_origin_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="allow_origin: expected SCHEME://HOST"):
        replace(SETTINGS, allow_origin=text)


@pytest.mark.parametrize("text", ["https://x.example", "x.example:80", "a b", "a/b"])
def test_a_host_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="allow_host: expected a name"):
        replace(SETTINGS, allow_host=text)


def test_lists_are_spelled_as_browsers_spell_them() -> None:
    assert parse_origins("HTTPS://X.Example:443/, http://[::1]:80,null") == {
        "https://x.example",
        "http://[::1]",
        "null",
    }
    assert parse_hosts("A.Example., *.b.example ,[::1]") == {"a.example", "*.b.example", "[::1]"}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium, which .ci/run installs")
def test_a_browser_is_kept_out_and_let_in(tmp_path: Path) -> None:
    """A page of one gateway asks another: refused, and allowed once the page's origin is."""
    ask = """async (url) => {
        const seen = [];
        for (const init of [{method: 'POST', mode: 'no-cors'}, {method: 'POST'}, {method: 'PUT', body: 'v',
                            headers: {'If-None-Match': '*', 'KV-Timeout-Ms': '900'}}]) {
            try {
                const answer = await fetch(url + (init.method === 'PUT' ? 'k' : 'n?op=incr'), init);
                seen.push([answer.type, answer.status, answer.headers.get('etag') !== null]);
            } catch (error) { seen.push('failed'); }
        }
        return seen;
    }"""
    with running(SETTINGS) as page_host:
        for allowed, expected in (
            ("", [["opaque", 0, False], "failed", "failed"]),
            (page_host.url, [["opaque", 0, False], ["cors", 200, True], ["cors", 204, True]]),
        ):
            with running(replace(SETTINGS, allow_origin=allowed)) as other, playwright.sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                page = browser.new_page()
                page.goto(f"{page_host.url}/livez")  # unlike the documentation's, its policy lets it ask anybody
                assert page.evaluate(ask, f"{other.url}/v1/kv/") == expected
                browser.close()
                assert bool(other.fake.items) is bool(allowed)
