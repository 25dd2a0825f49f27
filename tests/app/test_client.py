"""Client and AsyncClient against gateways that fail on demand; what they decide is in test_attempts."""

import asyncio
import contextlib
import inspect
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.attempts import Pause
from app.client import (
    AsyncClient,
    Client,
    ClientClosedError,
    ClientError,
    ConditionFailedError,
    InvalidSessionError,
    InvalidUrlError,
    NotAGatewayError,
    OutcomeUnknownError,
    TooLargeError,
    UnavailableError,
    UnreachableError,
    Value,
)
from app.clienterrors import Response, error_of
from app.pipeline import PipelinedClient
from app.sending import CALLS_MAX
from tests.app.fake_gateway import FakeGateway, Fate
from tests.app.running import eventually

Talk = Callable[..., Any]


def _with_client(urls: list[str], drive: Callable[[Any], list[Any]], **options: Any) -> Any:
    """The results of steps, which are names of methods and their arguments, one after the other."""
    with Client(urls, **options) as client:
        return [getattr(client, name)(*arguments, **more) for name, arguments, more in drive(client)]


def _with_async_client(kind: type[AsyncClient]) -> Talk:
    def talk(urls: list[str], drive: Callable[[Any], list[Any]], **options: Any) -> Any:
        async def run() -> list[Any]:
            async with kind(urls, **options) as client:
                return [await getattr(client, name)(*arguments, **more) for name, arguments, more in drive(client)]

        return asyncio.run(run())

    return talk


@pytest.fixture(params=["Client", "AsyncClient", "PipelinedClient"])
def talk(request: pytest.FixtureRequest) -> Talk:
    """Runs steps with each kind of client: they differ in nothing but how they send."""
    kinds: dict[str, Talk] = {
        "Client": _with_client,
        "AsyncClient": _with_async_client(AsyncClient),
        "PipelinedClient": _with_async_client(PipelinedClient),
    }
    return kinds[request.param]


def step(name: str, *arguments: Any, **more: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    return name, arguments, more


def in_order(*fates: Fate) -> Callable[[str, bytes, int], Fate]:
    return lambda method, key, count: fates[count] if count < len(fates) else Fate.SERVED


def test_both_clients_have_the_same_methods() -> None:
    """One interface: names, parameters and what they are called with."""

    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(method).parameters) for name, method in found if not name.startswith("_")}

    own = {"make_sender"}

    assert {name: names for name, names in methods(AsyncClient).items() if name not in own} == methods(Client)


@pytest.mark.parametrize(
    "url", ["", "localhost:8001", "https://h", "http://", "http://h/path", "http://h:x", "http://h?q", "http://u@h"]
)
def test_what_is_no_url_of_a_gateway_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrlError):
        Client([url])


@pytest.mark.parametrize("session", ["", "x", "1-", "1-0-g", "ä"])
def test_what_is_no_session_is_refused(session: str) -> None:
    with pytest.raises(InvalidSessionError):
        Client("http://h", session=session)


def test_every_byte_of_a_key_goes_percent_encoded(talk: Talk) -> None:
    key = bytes(range(256))
    with FakeGateway() as gateway:
        steps = [step("put", key, b"v"), step("get", key), step("delete", key), step("get", key)]
        _, found, _, gone = talk([gateway.url], lambda _: steps)

        assert (found.value, gone) == (b"v", None)
        assert gateway.targets[0].startswith("/v1/kv/%00%01")


@pytest.mark.parametrize("key", [b".", b"..", b"a/../b", b"%2F", b"?x", b"#", b"//"])
def test_no_key_is_resolved_as_a_path(talk: Talk, key: bytes) -> None:
    with FakeGateway() as gateway:
        talk([gateway.url], lambda _: [step("put", key, b"v")])

        assert list(gateway.data) == [key]


def test_a_value_has_its_receipt(talk: Talk) -> None:
    with FakeGateway() as gateway:
        gateway.data[b"k"] = (b"\x00v", "image/png")
        (found,) = talk([gateway.url], lambda _: [step("get", "k")])

        assert found == Value(
            value=b"\x00v",
            revision=5,
            content_type="image/png",
            expires_in=None,
            consistency="linearizable",
            staleness_ms=0,
            served_by="n2;role=leader",
        )


def test_a_head_has_no_value() -> None:
    """A fake that answers HEAD like GET would confuse a connection; what is asked is all that is shown here."""
    with FakeGateway() as gateway:
        with Client(gateway.url) as client:
            assert client.head("k") is None
        assert gateway.requests == [("HEAD", b"k")]


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.APPLIED_UNKNOWN, Fate.CUT_BEFORE, Fate.CUT_AFTER, Fate.BUSY])
def test_a_counter_is_exact_whatever_is_lost(talk: Talk, fate: Fate) -> None:
    """A write is repeated with the Idempotency-Key it had, so it is done once."""
    with FakeGateway(in_order(fate, fate)) as gateway:
        counted = talk([gateway.url], lambda _: [step("incr", "n"), step("incr", "n")])

        assert [number.value for number in counted] == [1, 2]
        tokens = [headers["idempotency-key"] for headers in gateway.headers]
        assert len(set(tokens[:3])) == 1
        assert tokens[3] not in tokens[:3]


def test_a_silent_gateway_is_left_for_another(talk: Talk) -> None:
    with FakeGateway(lambda *_: Fate.SILENT) as silent, FakeGateway() as other:
        (number,) = talk([other.url, silent.url], lambda _: [step("incr", "n")], attempt_seconds=0.2)

        assert number.value == 1
        assert silent.headers[0]["idempotency-key"] == other.headers[0]["idempotency-key"]


def test_the_callers_own_idempotency_key_goes_along(talk: Talk) -> None:
    with FakeGateway() as gateway:
        counted = talk([gateway.url], lambda _: [step("incr", "n", idempotency_key="mine")] * 2)

        assert [number.value for number in counted] == [1, 1]


def test_a_sole_writer_repeats_plain_writes_without_a_key(talk: Talk) -> None:
    with FakeGateway(in_order(Fate.CUT_AFTER)) as gateway:
        steps = [
            step("put", "k", "v"),
            step("put", "other", "v", if_absent=True),
            step("delete", "k"),
            step("incr", "n"),
        ]
        talk([gateway.url], lambda _: steps, sole_writer=True)

        assert ["idempotency-key" in headers for headers in gateway.headers] == [False, False, True, False, True]


def test_the_session_is_what_all_answers_told_together(talk: Talk) -> None:
    with FakeGateway() as gateway:
        clients = []

        def drive(client: Any) -> list[Any]:
            clients.append(client)
            steps = [step("put", "k", "v"), step("get", "k"), step("get", "k", consistency="session")]
            return [step("get", "none"), *steps]

        talk([gateway.url], drive)

        tokens = [headers.get("kv-session") for headers in gateway.headers]
        assert tokens == ["1-0-0", "1-0-0", "1-0-0.7-1", "1-0-0.7-1.9-1"]
        assert clients[0].session == "1-0-0.7-1.9-1"


def test_a_session_goes_on_in_another_client(talk: Talk) -> None:
    with FakeGateway() as gateway:
        talk([gateway.url], lambda _: [step("get", "k", consistency="session")], session="1-3-ff")

        assert gateway.headers[0]["kv-session"] == "1-3-ff"


@pytest.mark.parametrize("level", ["bounded", "stale"])
def test_levels_that_know_no_session_get_none(talk: Talk, level: str) -> None:
    with FakeGateway() as gateway:
        talk([gateway.url], lambda _: [step("get", "k", consistency=level)])

        assert "kv-session" not in gateway.headers[0]


def test_the_deadline_goes_along(talk: Talk) -> None:
    with FakeGateway() as gateway:
        talk([gateway.url], lambda _: [step("get", "k")], timeout_seconds=2.0, attempt_seconds=0.5)

        assert 400 < int(gateway.headers[0]["kv-timeout-ms"]) < 500


def test_every_gateway_is_tried_before_a_call_is_given_up(talk: Talk) -> None:
    with FakeGateway(lambda *_: Fate.REFUSED) as electing, FakeGateway() as ready:
        talk([electing.url, ready.url], lambda _: [step("put", "k", "v")] * 2)

        assert ready.data[b"k"][0] == b"v"


def test_time_bounds_the_attempts(talk: Talk) -> None:
    with FakeGateway(lambda *_: Fate.REFUSED) as gateway:
        with pytest.raises(UnavailableError) as refusal:
            talk([gateway.url], lambda _: [step("put", "k", "v")], timeout_seconds=0.3)

        error = refusal.value
        assert (error.code, error.outcome, error.retryable, error.is_lasting) == (
            "NO_QUORUM",
            "not_applied",
            True,
            True,
        )
        assert 1 < len(gateway.requests) < 10


def test_a_gateway_that_never_answers_leaves_the_outcome_unknown(talk: Talk) -> None:
    with FakeGateway(lambda *_: Fate.SILENT) as gateway:
        with pytest.raises(OutcomeUnknownError, match="did not answer within") as lost:
            talk([gateway.url], lambda _: [step("put", "k", "v")], timeout_seconds=0.2)

        assert (lost.value.outcome, lost.value.retryable) == ("unknown", False)


def test_a_read_without_an_answer_has_nothing_unknown_about_it(talk: Talk) -> None:
    with FakeGateway(lambda *_: Fate.SILENT) as gateway:
        gateway.data[b"k"] = (b"v", "")
        with pytest.raises(OutcomeUnknownError) as lost:
            talk([gateway.url], lambda _: [step("get", "k")], timeout_seconds=0.2)

        assert (lost.value.outcome, lost.value.retryable) == ("not_applied", True)


def test_nobody_there_is_said_at_once_to_who_does_not_wait(talk: Talk) -> None:
    with FakeGateway() as gateway:
        gone = gateway.url
    with pytest.raises(UnreachableError) as error:
        talk([gone, gone], lambda _: [step("put", "k", "v")], timeout_seconds=60, waits=False)

    assert str(error.value) == f"cannot reach {gone}: connection refused"


def test_who_waits_goes_on_when_the_gateway_is_back() -> None:
    async def drive(url: str, port: int) -> None:
        async with AsyncClient(url) as client:
            putting = asyncio.create_task(client.put(b"k", b"v"))
            await asyncio.wait([putting], timeout=0.2)
            assert not putting.done()
            with FakeGateway(port=port) as gateway:
                await putting
                assert gateway.data[b"k"][0] == b"v"

    with FakeGateway() as gone:
        url, port = gone.url, gone.port
    asyncio.run(drive(url, port))


def test_refusals_have_types(talk: Talk) -> None:
    with FakeGateway(in_order(Fate.TOO_LARGE)) as gateway:
        gateway.data[b"k"] = (b"v", "")
        with pytest.raises(TooLargeError) as large:
            talk([gateway.url], lambda _: [step("put", "k", "v")])
        with pytest.raises(ConditionFailedError) as failed:
            talk([gateway.url], lambda _: [step("put", "k", "v", if_absent=True)])

        assert (large.value.code, large.value.status, large.value.retryable) == ("PAIR_TOO_LARGE", 413, False)
        assert (failed.value.revision, failed.value.outcome) == (1, "not_applied")


def test_contradictions_are_refused_before_anything_is_sent(talk: Talk) -> None:
    with FakeGateway() as gateway:
        with pytest.raises(ValueError):
            talk([gateway.url], lambda _: [step("put", "k", "v", if_match=1, if_absent=True)])
        with pytest.raises(ValueError):
            talk([gateway.url], lambda _: [step("get", "")])

        assert gateway.requests == []


@pytest.mark.parametrize("page", [b"<html>", b"[]", b"{}", b"\xff"])
def test_what_is_no_gateway_is_said(talk: Talk, page: bytes) -> None:
    with FakeGateway() as gateway:
        gateway.data[b"/v1/cluster"] = (page, "text/html")
        with pytest.raises(NotAGatewayError):
            talk([gateway.url], lambda _: [step("cluster")])


def test_the_rest_of_the_cluster_takes_over_where_the_given_gateway_is_gone() -> None:
    async def drive(given: FakeGateway) -> None:
        async with AsyncClient(given.url) as client:
            await client.learn()
            given.__exit__()
            await asyncio.gather(*(client.put(b"%d" % number, b"v") for number in range(20)))

    with FakeGateway() as other:
        given = FakeGateway().__enter__()
        cluster = {"nodes": [{"http": url.removeprefix("http://")} for url in (given.url, other.url)], "partitions": []}
        given.data[b"/v1/cluster"] = (json.dumps(cluster).encode(), "application/json")
        asyncio.run(drive(given))

        assert len(other.data) == 20


@pytest.mark.parametrize("kind", [AsyncClient, PipelinedClient])
def test_many_requests_at_once_find_their_answers(kind: type[AsyncClient]) -> None:
    async def drive(url: str) -> None:
        async with kind(url) as client:
            await asyncio.gather(*(client.put(b"%d" % number, b"%d" % number) for number in range(200)))
            found = await asyncio.gather(*(client.get(b"%d" % number) for number in range(200)))
            assert [value.value for value in found if value] == [b"%d" % number for number in range(200)]

    with FakeGateway() as gateway:
        asyncio.run(drive(gateway.url))


@pytest.mark.parametrize("count", [500, 5_000])
def test_any_number_of_gathered_calls_wait_for_their_turn(count: int) -> None:
    """They use a bounded number of connections, one after the other."""

    async def drive(url: str) -> None:
        async with AsyncClient(url) as client:
            await asyncio.gather(*(client.put(b"%d" % number, b"v") for number in range(count)))

    with FakeGateway() as gateway:
        asyncio.run(drive(gateway.url))

        assert len(gateway.data) == count
        assert gateway.connections <= CALLS_MAX


def test_any_number_of_threads_wait_for_their_turn() -> None:
    with FakeGateway() as gateway, Client(gateway.url) as client:
        failures: list[Exception] = []

        def put(number: int) -> None:
            try:
                for count in range(5):
                    client.put(f"{number}/{count}", "v")
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=put, args=(number,)) for number in range(500)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        assert failures == []
        assert len(gateway.data) == 2_500
        assert gateway.connections <= CALLS_MAX


def test_the_time_of_a_call_begins_with_its_turn() -> None:
    """What it waits for other calls of its client is not the gateway's fault."""

    async def drive(url: str) -> None:
        async with AsyncClient(url, timeout_seconds=1.0) as client, contextlib.AsyncExitStack() as others:
            for _ in range(CALLS_MAX):
                await others.enter_async_context(client._sender.turn())
            putting = asyncio.create_task(client.put("k", "v"))
            await asyncio.wait([putting], timeout=1.2)
            assert not putting.done()
            await others.aclose()
            await putting

    with FakeGateway() as gateway:
        asyncio.run(drive(gateway.url))


def test_a_call_that_is_cancelled_leaves_no_answer_for_the_next() -> None:
    """Wherever it is cut off: before its turn, while it is sent, or before its answer has come (redis-py #2624)."""

    async def drive(url: str) -> None:
        async with AsyncClient(url) as client:
            await asyncio.gather(*(client.put(b"%d" % number, b"%d" % number) for number in range(300)))
            for steps in range(12):
                tasks = [asyncio.create_task(client.get(b"%d" % number)) for number in range(300)]
                for _ in range(steps):
                    await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                found = await asyncio.gather(*tasks, return_exceptions=True)
                for number, value in enumerate(found):
                    if not isinstance(value, asyncio.CancelledError):
                        assert isinstance(value, Value), value
                        assert value.value == b"%d" % number

    with FakeGateway() as gateway:
        asyncio.run(drive(gateway.url))


def test_calls_that_wait_for_a_leader_keep_no_other_from_its_turn() -> None:
    """More of them than there are turns: those give theirs away while they pause."""

    async def drive(url: str) -> None:
        async with AsyncClient(url, timeout_seconds=20) as client:
            waiting = [asyncio.create_task(client.put(b"dead %d" % number, b"v")) for number in range(3 * CALLS_MAX)]
            await asyncio.gather(*(client.put(b"%d" % number, b"v") for number in range(200)))
            assert not any(task.done() for task in waiting)
            has_leader.set()
            await asyncio.gather(*waiting)

    has_leader = threading.Event()
    with FakeGateway(
        lambda _, key, __: Fate.REFUSED if key.startswith(b"dead") and not has_leader.is_set() else Fate.SERVED
    ) as gateway:
        asyncio.run(drive(gateway.url))


def test_a_client_that_is_closed_says_so(talk: Talk) -> None:
    with FakeGateway() as gateway:
        clients: list[Any] = []

        def drive(client: Any) -> list[Any]:
            clients.append(client)
            return [step("put", "k", "v")]

        talk([gateway.url], drive)
        (client,) = clients
        for name, arguments in (("put", ("k", "v")), ("get", ("k",)), ("cluster", ()), ("probe", ("/readyz",))):
            method = getattr(client, name)

            async def call() -> Any:
                found = method(*arguments)  # noqa: B023  # it is called here
                return await found if inspect.isawaitable(found) else found

            with pytest.raises(ClientClosedError) as error:
                asyncio.run(call())
            assert (error.value.outcome, error.value.may_have_applied) == ("not_applied", False)
        assert len(gateway.requests) == 1


def test_a_write_on_its_way_when_the_client_is_closed_may_be_done() -> None:
    with FakeGateway(lambda *_: Fate.SILENT) as gateway:
        client = Client(gateway.url, attempt_seconds=10)
        failures: list[ClientError] = []

        def put() -> None:
            try:
                client.put("k", "v")
            except ClientError as error:
                failures.append(error)

        thread = threading.Thread(target=put)
        thread.start()
        eventually(lambda: len(gateway.requests) == 1)
        client.close()
        thread.join(5)

        assert [type(error) for error in failures] == [OutcomeUnknownError]


def test_a_pause_is_told_of_with_its_reason() -> None:
    told: list[Pause | None] = []
    with FakeGateway(in_order(Fate.REFUSED)) as gateway, Client(gateway.url, on_pause=told.append) as client:
        client.put("k", "v")

    pause, end = told
    assert pause is not None
    assert end is None
    assert str(pause.reason) == "partition 7 has no leader that reaches a majority (status 503, NO_QUORUM)"
    assert 9 < pause.left_seconds <= 10


def test_what_is_not_http_is_a_lost_answer(talk: Talk) -> None:
    """Nobody knows what such a server did with the request."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen()
        with pytest.raises(ClientError) as error:
            talk(
                [f"http://127.0.0.1:{silent.getsockname()[1]}"], lambda _: [step("put", "k", "v")], timeout_seconds=0.2
            )

    assert error.value.may_have_applied


@pytest.mark.parametrize("status", [404, 501])
def test_an_answer_of_no_gateway_says_where_to_look(status: int) -> None:
    stranger = error_of(Response(status, {"content-type": "text/html"}, b"<html>"), is_write=False)
    head = error_of(Response(status, {"content-type": "application/problem+json"}, b""), is_write=False)

    assert "what answers there is no gateway of ringkv; check the address and the port of --url" in str(stranger)
    assert "the gateway gave no reason" in str(head)
