"""Operations, their slots and their results, without any gateway."""

import msgspec
import pytest

from app.calls import Number, Written
from app.client import Batch, ConditionFailedError, NotAGatewayError, OutcomeUnknownError, StorageFullError
from app.clientitem import Item
from app.clientoperations import Done, Results, decode_answer


def test_a_slot_finds_its_result() -> None:
    batch = Batch()
    slots = [batch.put("a", "1"), batch.get(b"\xff"), batch.get("none"), batch.incr("n")]
    dones = [
        Done(status=204, revision=7),
        Done(status=200, revision=8, value=b"\x00", content_type="image/png", expires_in=5),
        Done(status=404, code="NO_SUCH_KEY"),
        Done(status=200, revision=9, value=b"-3"),
    ]
    item = Item(key=b"\xff", value=b"\x00", revision=8, content_type="image/png", expires_in=5)

    results = Results(batch, [batch.read(place, done) for place, done in enumerate(dones)])

    expected = [Written(revision=7), item, None, Number(value=-3, revision=9, expires_in=None)]
    assert list(results) == expected
    assert [results[slot] for slot in slots] == expected
    assert [results[place] for place in range(len(results))] == expected
    assert results.errors == {}


def test_an_error_is_among_the_results_and_is_raised_where_it_is_asked_for() -> None:
    batch = Batch()
    batch.get("k")
    failed = batch.put("k", "v", if_match=3)
    done = Done(status=412, code="PRECONDITION_FAILED", detail="no", outcome="not_applied", retryable=False, revision=5)

    results = Results(batch, [None, batch.read(1, done)])

    assert next(iter(results)) is None
    assert results.errors == {1: list(results)[1]}
    with pytest.raises(ConditionFailedError) as error:
        results[failed]
    assert (error.value.revision, error.value.status, error.value.outcome) == (5, 412, "not_applied")
    assert str(error.value) == "no (status 412, PRECONDITION_FAILED)"


def test_what_is_unknown_of_a_write_is_nothing_of_a_read() -> None:
    batch = Batch()
    batch.put("k", "v")
    batch.get("k")
    done = Done(status=504, code="OUTCOME_UNKNOWN", detail="late", outcome="unknown", retryable=False)

    put, get = batch.read(0, done), batch.read(1, done)

    assert isinstance(put, OutcomeUnknownError) and put.outcome == "unknown"
    assert isinstance(get, OutcomeUnknownError) and get.outcome == "not_applied"
    full = batch.read(0, Done(status=507, code="STORAGE_FULL", outcome="not_applied", retryable=True))
    assert isinstance(full, StorageFullError) and full.retryable


def test_a_slot_of_other_operations_finds_nothing() -> None:
    batch, other = Batch(), Batch()
    slot = other.get("k")
    batch.get("k")

    results = Results(batch, [None])

    with pytest.raises(KeyError):
        results[slot]
    with pytest.raises(IndexError):
        results[1]


def test_no_key_is_empty() -> None:
    with pytest.raises(ValueError, match="the key is empty"):
        Batch().get("")


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xc1", msgspec.msgpack.encode({"status": "204"}), b"\xff" * 9])
def test_what_is_no_answer_of_a_gateway_is_said(body: bytes) -> None:
    with pytest.raises(NotAGatewayError):
        decode_answer(body, Done, is_write=False)
    with pytest.raises(OutcomeUnknownError):
        decode_answer(body, Done, is_write=True)
