"""Batches: what is sent, what comes back, and what is repeated until nothing is in doubt."""

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest

from app.attempts import Caller, Gateways, Patience, Pause, Send
from app.client import (
    Batch,
    BatchResults,
    ConditionFailedError,
    IdempotencyKeyReusedError,
    NoSuchKeyError,
    NotANumberError,
    NumberOverflowError,
    OutcomeUnknownError,
    ProblemError,
    TooLargeError,
    UnavailableError,
    Written,
)
from app.clientbatch import batch_attempts, call_of
from app.clienterrors import ClientError, Response
from raftgroups import Item, NoQuorumError, PartitionId
from tests.app.both import Do, both
from tests.app.running import Running, running, settings_with
from tests.app.test_attempts import BUSY, ELECTING, LOST, UNKNOWN, problem


@pytest.fixture
def gateway() -> Iterator[Running]:
    with running() as started:
        yield started


@both
def test_each_operation_has_its_result(gateway: Running, do: Do) -> None:
    gateway.fake.items = {b"\xff\x00": Item(3, b"\xfe", "image/png"), b"n": Item(5, b"7"), b"old": Item(6, b"x")}
    batch = Batch()
    put = batch.put("a/b", "text", ttl=60)
    got = batch.get(b"\xff\x00")
    none = batch.get("none")
    summed = batch.incr("n", -10)
    appended = batch.append("n2", b"\xfd")
    gone = batch.delete("old", if_match="*")
    touched = batch.touch("n", 30)
    kept = batch.persist("n")

    results = do(gateway.url, lambda client: client.batch(batch))

    assert results.errors == {}
    assert results[put].revision > 0
    item = results[got]
    assert (item.key, item.value, item.content_type, item.revision) == (b"\xff\x00", b"\xfe", "image/png", 3)
    assert results[none] is None
    assert results[summed].value == -3
    assert results[appended].value == b"\xfd"
    assert results[touched].expires_in is not None and results[kept].expires_in is None
    assert isinstance(results[gone], Written)
    assert b"old" not in gateway.fake.items
    stored = gateway.fake.items[b"a/b"]
    assert (stored.value, stored.content_type, stored.expires_ms > 0) == (b"text", "text/plain; charset=utf-8", True)
    receipt = results.receipt
    assert (receipt.consistency, receipt.staleness_ms, receipt.served_by) == ("linearizable", 0, "n1;role=leader")


@both
def test_one_that_fails_leaves_the_others_alone(gateway: Running, do: Do) -> None:
    gateway.fake.items = {b"k": Item(4_096, b"x"), b"n": Item(8_192, b"9223372036854775807")}
    batch = Batch()
    expected = {
        batch.put("k", "v", if_absent=True): ConditionFailedError,
        batch.put("k", "v", if_match=1): ConditionFailedError,
        batch.incr("k"): NotANumberError,
        batch.incr("n"): NumberOverflowError,
        batch.touch("none", 5): NoSuchKeyError,
        batch.put("big", b"x" * 11_000): TooLargeError,
        batch.put(b"k" * 1_025, "v"): TooLargeError,
    }
    fine = batch.put("fine", "v")

    results = do(gateway.url, lambda client: client.batch(batch))

    assert {slot: type(results.errors[slot.number]) for slot in expected} == expected
    assert all(error.outcome == "not_applied" for error in results.errors.values())
    assert results.errors[0].revision == 4_096
    assert results[fine].revision > 0
    assert gateway.fake.items[b"k"].value == b"x"


@both
def test_a_batch_of_gets_asks_for_its_level(gateway: Running, do: Do) -> None:
    gateway.fake.items = {b"k": Item(1, b"v")}
    batch = Batch()
    slot = batch.get("k")

    stale = do(gateway.url, lambda client: client.batch(batch, consistency="stale"))
    bounded = do(gateway.url, lambda client: client.batch(batch, consistency="bounded", max_staleness=50))

    assert stale[slot].value == bounded[slot].value == b"v"
    assert (stale.receipt.consistency, bounded.receipt.consistency) == ("stale", "bounded")


@both
def test_the_same_key_does_nothing_twice(gateway: Running, do: Do) -> None:
    batch, other = Batch(), Batch()
    counted = batch.incr("n")
    other.incr("n", 2)

    first = do(gateway.url, lambda client: client.batch(batch, idempotency_key="mine"))
    again = do(gateway.url, lambda client: client.batch(batch, idempotency_key="mine"))
    third = do(gateway.url, lambda client: client.batch(batch))

    assert [results[counted].value for results in (first, again, third)] == [1, 1, 2]
    with pytest.raises(IdempotencyKeyReusedError):
        do(gateway.url, lambda client: client.batch(other, idempotency_key="mine"))


@both
def test_a_batch_that_is_too_large_is_refused_as_a_whole(do: Do) -> None:
    batch = Batch()
    batch.put("a", "1")
    batch.put("b", "2")
    with running(settings_with(batch_operations_max=1)) as gateway:
        with pytest.raises(TooLargeError, match="ops has 2 members"):
            do(gateway.url, lambda client: client.batch(batch))
        assert gateway.fake.items == {}


@both
def test_the_session_learns_of_a_batch(gateway: Running, do: Do) -> None:
    clients: list[Any] = []
    batch = Batch()
    batch.put("k", "v")

    def act(client: Any) -> Any:
        clients.append(client)
        return client.batch(batch)

    results = do(gateway.url, act)

    assert clients[0].session == f"1-0-0.{b'k'[0] % 4:x}-{results[0].revision:x}"


@both
def test_an_empty_batch_has_no_results(gateway: Running, do: Do) -> None:
    assert list(do(gateway.url, lambda client: client.batch(Batch()))) == []


@both
def test_what_stays_refused_is_told_when_the_time_is_over(gateway: Running, do: Do) -> None:
    gateway.fake.error = NoQuorumError(PartitionId(3))
    batch = Batch()
    get = batch.get("k")

    results = do(gateway.url, lambda client: client.batch(batch), timeout_seconds=0.9)

    with pytest.raises(UnavailableError, match="partition 3 has no leader"):
        results[get]
    batch.put("k", "v")
    with pytest.raises(UnavailableError):  # its Idempotency-Key is not taken, so nothing of it is tried
        do(gateway.url, lambda client: client.batch(batch), timeout_seconds=0.9)


@pytest.mark.parametrize("ops", [{"if_match": 1, "if_absent": True}])
def test_contradictions_are_refused_before_anything_is_sent(ops: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Batch().put("k", "v", **ops)


# What is repeated: driven by hand, with a clock of its own.

DONE = {"status": 204, "revision": 7}
FOUND = {"status": 200, "revision": 7, "value": b"v"}
REFUSED = {"status": 503, "code": "NO_QUORUM", "detail": "none", "outcome": "not_applied", "retryable": True}
IN_DOUBT = {"status": 504, "code": "OUTCOME_UNKNOWN", "detail": "late", "outcome": "unknown", "retryable": False}
RUNNING = {"status": 409, "code": "IDEMPOTENCY_KEY_BUSY", "outcome": "not_applied", "retryable": True}
FAILED = {"status": 412, "code": "PRECONDITION_FAILED", "outcome": "not_applied", "retryable": False}
READ_LATE = {"status": 504, "code": "READ_TIMED_OUT", "outcome": "not_applied", "retryable": True}


def answer(*results: dict[str, Any]) -> Response:
    return Response(200, {}, msgspec.msgpack.encode({"results": results}))


def put_and_get() -> Batch:
    batch = Batch()
    batch.put("k", "v")
    batch.get("k")
    return batch


def tell(
    *answers: Response | ClientError, batch: Batch | None = None, seconds: float = 10.0
) -> tuple[BatchResults, list[Send]]:
    """The results after these answers, the last of which is given for ever, and what was sent."""
    now = 100.0
    sent: list[Send] = []
    call = call_of(batch or put_and_get(), consistency=None, max_staleness=None, token=None)
    patience = Patience(seconds, 3.0, True)
    steps = batch_attempts(call, Caller(Gateways(["http://a:1"]), patience, None, lambda: now, Random(1)))
    left = iter(answers)
    told: Response | ClientError | None = None
    try:
        while True:
            step = steps.send(told)
            if isinstance(step, Pause):
                now += step.seconds
                told = None
            else:
                sent.append(step)
                told = next(left, answers[-1])
    except StopIteration as end:
        return end.value, sent


def outcomes(results: BatchResults) -> list[str]:
    return [result.outcome if isinstance(result, ClientError) else "done" for result in results]


@pytest.mark.parametrize("failure", [REFUSED, IN_DOUBT, RUNNING])
def test_it_is_sent_again_as_it_was_while_one_of_it_may_fare_better(failure: dict[str, Any]) -> None:
    results, sent = tell(answer(failure, FOUND), answer(failure, FOUND), answer(DONE, FOUND))

    assert outcomes(results) == ["done", "done"]
    assert len(sent) == 3
    assert len({(step.body, step.headers["Idempotency-Key"]) for step in sent}) == 1


def test_what_is_settled_is_not_repeated() -> None:
    results, sent = tell(answer(FAILED, FOUND))

    assert (outcomes(results), len(sent)) == (["not_applied", "done"], 1)


@pytest.mark.parametrize("later", [answer(REFUSED, FOUND), LOST, ELECTING, BUSY])
def test_what_was_done_stays_done(later: Response | ClientError) -> None:
    """The get is what makes it go on; of the put nobody tells any more."""
    results, sent = tell(answer(DONE, READ_LATE), later)

    assert outcomes(results)[0] == "done"
    assert len(sent) > 1


@pytest.mark.parametrize("later", [answer(REFUSED, FOUND), answer(RUNNING, FOUND), ELECTING, LOST])
def test_what_was_in_doubt_stays_so(later: Response | ClientError) -> None:
    results, _ = tell(answer(IN_DOUBT, FOUND), later)

    assert outcomes(results) == ["unknown", "done"]


@pytest.mark.parametrize("first", [LOST, UNKNOWN, Response(502, {}, b"<html>")])
def test_a_batch_that_was_lost_once_leaves_what_is_refused_later_in_doubt(first: Response | ClientError) -> None:
    results, _ = tell(first, answer(REFUSED, FOUND))

    assert outcomes(results) == ["unknown", "done"]
    with pytest.raises(OutcomeUnknownError):
        results[0]


def test_a_later_loss_puts_what_was_refused_before_in_doubt() -> None:
    results, _ = tell(answer(REFUSED, FOUND), LOST)

    assert outcomes(results) == ["unknown", "done"]


def test_a_later_refusal_of_the_whole_puts_nothing_in_doubt() -> None:
    results, _ = tell(answer(REFUSED, FOUND), ELECTING)

    assert outcomes(results) == ["not_applied", "done"]


@pytest.mark.parametrize("settled", [DONE, FAILED])
def test_an_answer_settles_what_was_in_doubt(settled: dict[str, Any]) -> None:
    results, _ = tell(LOST, answer(IN_DOUBT, FOUND), answer(settled, FOUND))

    assert outcomes(results)[0] == ("done" if settled is DONE else "not_applied")


def test_without_any_results_the_error_is_raised() -> None:
    with pytest.raises(UnavailableError):
        tell(ELECTING)
    with pytest.raises(OutcomeUnknownError):
        tell(LOST, ELECTING)
    with pytest.raises(ProblemError):
        tell(problem(400, "BAD_BODY", retryable=False))


@pytest.mark.parametrize("body", [b"", b"{}", msgspec.msgpack.encode({"results": [DONE]})])
def test_an_answer_that_is_none_leaves_all_in_doubt(body: bytes) -> None:
    with pytest.raises(OutcomeUnknownError):
        tell(Response(200, {}, body))


def test_gets_alone_need_no_key_and_leave_no_doubt() -> None:
    batch = Batch()
    batch.get("k")

    results, sent = tell(LOST, answer(REFUSED), batch=batch)

    assert "Idempotency-Key" not in sent[0].headers
    assert outcomes(results) == ["not_applied"]
