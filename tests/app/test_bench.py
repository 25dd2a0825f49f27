import asyncio
import io

import pytest

from app.bench import Bench, Interval, Plan, run_shown
from app.benchview import facts, line, shown, summary, table
from tests.app.fake_gateway import FakeGateway, Fate
from tests.app.test_cli import run


@pytest.fixture
def nobody() -> str:
    """The URL of a gateway that has just gone."""
    with FakeGateway() as gateway:
        return gateway.url


def bench(url: str, **plan: object) -> Bench:
    """One that has run for a moment."""
    made = Bench(Plan([url], **{"clients": 4, "keys": 3, "seconds": 0.3, "timeout_ms": 500, **plan}))  # type: ignore[arg-type]  # its fields
    asyncio.run(made.run())
    return made


def test_what_clients_do_is_counted_and_remembered() -> None:
    with FakeGateway() as gateway:
        made = bench(gateway.url, reads=0.5)

    assert made.operations == len(made.total.latencies) == len(made.history.operations()) > 10
    assert 0 < made.written < made.operations
    assert len(gateway.data) == 3
    assert {len(value) for value, _ in gateway.data.values()} == {100}
    assert made.judge() is None
    assert "none failed" in summary(made)


@pytest.mark.parametrize(
    ("fate", "kind"),
    [(Fate.REFUSED, "NO_QUORUM"), (Fate.APPLIED_UNKNOWN, "OUTCOME_UNKNOWN"), (Fate.CUT_AFTER, "connection lost")],
)
def test_what_fails_is_named_and_never_taken_for_done(fate: Fate, kind: str) -> None:
    """Every third request; what may have been done counts as perhaps done."""
    with FakeGateway(lambda method, key, count: fate if count % 3 == 2 else Fate.SERVED) as gateway:
        made = bench(gateway.url, reads=0.3)

    assert made.judge() is None
    assert set(made.total.failures) == {kind}


def test_a_lost_write_is_found() -> None:
    """From some moment on the gateway forgets a key before each get."""
    asked = 0

    def forget(method: str, key: bytes, count: int) -> Fate:
        nonlocal asked
        asked += 1
        if asked > 30 and method == "GET":
            gateway.data.pop(key, None)
        return Fate.SERVED

    with FakeGateway(forget) as gateway:
        made = bench(gateway.url, keys=1)

    assert asked > 60
    assert made.judge() is not None


def test_with_nobody_there_nothing_succeeds(nobody: str) -> None:
    made = bench(nobody, seconds=0.2)

    assert made.total.latencies == []
    assert made.total.failures["unreachable"] > 0
    assert facts(made, None)["p50_ms"] is None


def test_another_gateway_takes_over(nobody: str) -> None:
    with FakeGateway() as gateway:
        made = Bench(Plan([nobody, gateway.url], clients=4, seconds=0.3))
        asyncio.run(made.run())

    assert made.written > 0


def test_what_is_shown_says_who_leads_and_what_failed() -> None:
    with FakeGateway() as gateway:
        gateway.data[b"/v1/cluster"] = (b'{"partitions": [{"leader": "n1"}, {"leader": null}]}', "application/json")
        made = Bench(Plan([gateway.url], clients=2, seconds=0.5))
        stream = io.StringIO()

        async def run_it() -> None:
            with shown(stream, is_live=False) as show:
                await run_shown(made, show, 0.1)

        asyncio.run(run_it())

    assert "ops/s" in stream.getvalue()
    interval = Interval(1.0, [0.001, 0.002, 0.1])
    interval.failures["NO_QUORUM"] = 5
    assert line(made, interval) == "        3 ops/s   p50 2.00 ms   p99 100.00 ms   leads n1:1 nobody:1   5 NO_QUORUM"
    assert [str(cell) for cell in table(made, interval).columns[0].cells][-1] == "nobody leads"


def test_the_command_judges_and_says_so() -> None:
    with FakeGateway() as gateway:
        result = run("bench", "--url", gateway.url, "--seconds", "0.3", "--clients", "2", "--plain")

    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("linearizable\n")


def test_the_command_fails_where_nothing_works(nobody: str) -> None:
    assert run("bench", "--url", nobody, "--seconds", "0.2", "--json").exit_code == 1
    assert run("bench", "--url", "ftp://x").exit_code == 2
