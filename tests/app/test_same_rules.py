"""The same odd lifetimes, sizes, keys, spellings and conditions at every door: each gives the same answer.

Doors: PUT, POST touch, batch, transaction, import, Client and the command line, all over one gateway.
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from app.calls import encode_key
from app.cli import main
from app.client import Batch, Client, ClientError, Transaction
from raftgroups import Item
from tests.app.running import Running, running, settings_with

REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Door:
    """A way in.

    put     stores a pair, with a lifetime in seconds if there is one; says whether it did
    """

    name: str
    put: Callable[[Running, bytes, bytes, str | None], bool]


def by_put(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    query = {} if ttl is None else {"ttl": ttl}
    return httpx.put(url_of(gateway, key), params=query, content=value).status_code == 204


def by_touch(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    return by_put(gateway, key, value, None) and (
        ttl is None or httpx.post(url_of(gateway, key), params={"op": "touch", "ttl": ttl}).status_code == 200
    )


def by_append(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    done = httpx.post(url_of(gateway, key), params={"op": "append"}, content=value).status_code == 200
    return done and (ttl is None or httpx.post(url_of(gateway, key), params={"op": "touch", "ttl": ttl}).is_success)


def operation(key: bytes, value: bytes, ttl: str | None) -> str:
    """JSON whose number is spelled as it was given."""
    spelled = {"op": "put", "key": base64_of(key), "value": base64_of(value), "encoding": "base64"}
    text = json.dumps(spelled)
    return text if ttl is None else f'{text[:-1]}, "ttl": {ttl}}}'


def by_batch(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    answer = post(gateway, "batch", f'{{"ops": [{operation(key, value, ttl)}]}}')
    return answer.status_code == 200 and answer.json()["results"][0]["status"] == 204


def by_transaction(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    return post(gateway, "txn", f'{{"then": [{operation(key, value, ttl)}]}}').status_code == 200


def by_import(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    entry = {
        "key": base64_of(key),
        "key_encoding": "base64",
        "value": base64_of(value),
        "encoding": "base64",
    }
    text = json.dumps(entry)
    line = text if ttl is None else f'{text[:-1]}, "expires_in": {ttl}}}'
    return bool(httpx.post(f"{gateway.url}/v1/import", content=line).json()["imported"])


def by_client(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    with Client(gateway.url) as client:
        return succeeds(lambda: client.put(key, value, ttl=None if ttl is None else float(ttl)))


def by_client_touch(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    with Client(gateway.url) as client:
        return succeeds(lambda: client.put(key, value)) and (
            ttl is None or succeeds(lambda: client.touch(key, float(ttl)))
        )


def by_client_batch(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    def run() -> None:
        batch = Batch()
        slot = batch.put(key, value, ttl=None if ttl is None else float(ttl))
        with Client(gateway.url) as client:
            client.batch(batch)[slot]

    return succeeds(run)


def by_client_transaction(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    def run() -> None:
        transaction = Transaction()
        transaction.then.put(key, value, ttl=None if ttl is None else float(ttl))
        with Client(gateway.url) as client:
            client.txn(transaction)

    return succeeds(run)


def by_command(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    options = () if ttl is None else ("--ttl", ttl)
    name = key.decode("utf-8", "surrogateescape")
    return CliRunner().invoke(main, ["put", "--url", gateway.url, *options, "--", name], input=value).exit_code == 0


def by_command_touch(gateway: Running, key: bytes, value: bytes, ttl: str | None) -> bool:
    name = key.decode("utf-8", "surrogateescape")
    return by_command(gateway, key, value, None) and (
        ttl is None or CliRunner().invoke(main, ["touch", "--url", gateway.url, "--", name, ttl]).exit_code == 0
    )


DOORS = [
    *(Door("PUT", by_put), Door("touch", by_touch), Door("append", by_append)),
    *(Door("batch", by_batch), Door("txn", by_transaction), Door("import", by_import)),
    *(Door("Client.put", by_client), Door("Client.touch", by_client_touch)),
    *(Door("Client.batch", by_client_batch), Door("Client.txn", by_client_transaction)),
    *(Door("ringkv put", by_command), Door("ringkv touch", by_command_touch)),
]
doors = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)


def url_of(gateway: Running, key: bytes) -> str:
    return f"{gateway.url}/v1/kv/{encode_key(key)}"


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def post(gateway: Running, what: str, body: str) -> httpx.Response:
    return httpx.post(f"{gateway.url}/v1/{what}", content=body, headers={"Content-Type": "application/json"})


def succeeds(act: Callable[[], object]) -> bool:
    try:
        act()
    except ClientError:
        return False
    return True


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with running(settings_with(key_bytes_max=20, pair_bytes_max=30)) as started:
        yield started


def stored(gateway: Running, door: Door, key: bytes, value: bytes, ttl: str | None) -> Item | None:
    """What is there afterwards; None, if the door refused it."""
    gateway.fake.items.clear()
    return gateway.fake.items[key] if door.put(gateway, key, value, ttl) else None


@doors
@pytest.mark.parametrize(
    ("ttl", "ttl_ms"),
    [
        ("0.001", 1),
        ("0.0010001", 2),
        ("0.29", 290),
        ("1", 1_000),
        ("1.0004", 1_001),
        ("1.000000001", 1_001),
        ("1.00000000000000001", 1_000),
        ("0.30000000000000004", 300),
        ("2.3", 2_300),
        ("59.5", 59_500),
        ("3153600000", 3_153_600_000_000),
        *((refused, None) for refused in ("0.0005", "0.000999999", "0", "0.0", "3153600000.001", "99999999999")),
    ],
)
def test_a_lifetime(gateway: Running, door: Door, ttl: str, ttl_ms: int | None) -> None:
    item = stored(gateway, door, b"k", b"v", ttl)

    assert (None if item is None else item.expires_ms - gateway.fake.clock_ms) == ttl_ms


@doors
@pytest.mark.parametrize(
    ("key", "value", "fits"),
    [
        (b"k" * 20, b"v" * 10, True),
        (b"k" * 20, b"v" * 11, False),
        (b"k", b"v" * 29, True),
        (b"k", b"v" * 30, False),
        (b"k" * 21, b"", False),
        ("ä".encode() * 10, b"", True),
        ("ä".encode() * 10 + b"k", b"", False),
        (b"\xff/%2F ", b"\x00\xff", True),
        (b"{.}/..", b"", True),
        (b"-k", b"\r\n", True),
    ],
)
def test_a_size_and_a_key(gateway: Running, door: Door, key: bytes, value: bytes, fits: bool) -> None:
    item = stored(gateway, door, key, value, None)

    assert (item is not None) is fits
    assert item is None or item.value == value


def condition_by_header(gateway: Running, members: dict[str, Any]) -> int:
    names = {"if_match": "If-Match", "if_none_match": "If-None-Match"}

    def spell(given: Any) -> str:
        return (
            given
            if given == "*"
            else ", ".join(f'"{each}"' for each in (given if isinstance(given, list) else [given]))
        )

    headers = {names[name]: spell(given) for name, given in members.items()}
    return httpx.put(url_of(gateway, b"k"), content=b"v", headers=headers).status_code


def condition_by_batch(gateway: Running, members: dict[str, Any]) -> int:
    answer = post(gateway, "batch", json.dumps({"ops": [{"op": "put", "key": "k", "value": "v", **members}]}))
    status = answer.json()["results"][0]["status"] if answer.status_code == 200 else answer.status_code
    assert isinstance(status, int)
    return status


@pytest.mark.parametrize("ask", [condition_by_header, condition_by_batch])
@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"if_match": 7}, 204),
        ({"if_match": [8, 7, 7]}, 204),
        ({"if_match": "*"}, 204),
        ({"if_match": 8}, 412),
        ({"if_match": (1 << 63) - 1}, 412),
        ({"if_match": list(range(1, 65))}, 204),
        ({"if_match": list(range(1, 66))}, 400),
        ({"if_none_match": "*"}, 412),
        ({"if_none_match": "*", "if_match": 7}, 422),
    ],
)
def test_a_condition(gateway: Running, ask: Callable[..., int], members: dict[str, Any], status: int) -> None:
    gateway.fake.items = {b"k": Item(7, b"")}

    assert ask(gateway, members) == status


def test_what_is_left_of_a_lifetime(gateway: Running) -> None:
    """By GET, batch, scan and export: whole seconds are those that a scan says, rounded up."""
    for left_ms in (1, 999, 1_000, 1_001, 59_500):
        gateway.fake.items = {b"k": Item(7, b"v", "", gateway.fake.clock_ms + left_ms)}

        by_get = int(httpx.get(url_of(gateway, b"k")).headers["kv-expires-in"])
        in_batch = post(gateway, "batch", '{"ops": [{"op": "get", "key": "k"}]}').json()["results"][0]["expires_in"]
        in_scan = httpx.get(f"{gateway.url}/v1/kv").json()["items"][0]["expires_in"]
        in_export = json.loads(httpx.get(f"{gateway.url}/v1/export").text.splitlines()[0])["expires_in"]

        assert in_scan == in_export == left_ms / 1_000
        assert by_get == in_batch == -(-left_ms // 1_000)


@pytest.mark.parametrize("spelled", ["/w=", "/w", "_w==", "/w== ", "ä"])
def test_what_is_not_base64(gateway: Running, spelled: str) -> None:
    put = json.dumps({"op": "put", "key": "aw==", "value": spelled, "encoding": "base64"})
    line = json.dumps({"key": "k", "value": spelled, "encoding": "base64"})

    answers = [
        post(gateway, "batch", f'{{"ops": [{put}]}}').json()["detail"],
        post(gateway, "txn", f'{{"then": [{put}]}}').json()["detail"],
        httpx.post(f"{gateway.url}/v1/import", content=line).json()["errors"][0]["detail"],
    ]

    assert answers == ["ops[0].value is not base64", "then[0].value is not base64", "value is not base64"]
