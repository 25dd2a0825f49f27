"""Batches: many operations of a client in one request, each with a result of its own.

A batch is sent again while one of its operations may fare better, as a whole: it has an Idempotency-Key, under which
nothing is done twice. What was once done stays done, and what was once in doubt stays so until an answer settles it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Self

import msgspec

from app.attempts import (
    PAUSE_SECONDS_MAX,
    PAUSE_SECONDS_MIN,
    Gateways,
    Patience,
    Pause,
    Steps,
    attempts,
    final_error,
    is_settled,
    may_pass,
)
from app.calls import (
    Call,
    Changed,
    IfMatch,
    Level,
    Number,
    Once,
    Text,
    Written,
    check_conditions,
    encode,
    expect,
    query_of,
    read_receipt,
    takes_session,
)
from app.clienterrors import ClientError, Response
from app.clientoperations import MSGPACK, Done, Operations, Results, Slot, changed, decode_answer, number, written
from app.session import Session


class Batch(Operations):
    """Operations that have nothing to do with each other: each succeeds or fails alone.

    Writes of one partition are done in their order; what a batch writes its gets need not see.
    """

    @classmethod
    def of(cls, documents: Iterable[Mapping[str, Any]]) -> Self:
        """One of operations as `POST /v1/batch` takes them."""
        batch = cls()
        batch._adopt(documents)
        return batch

    def put(
        self,
        key: Text,
        value: Text,
        *,
        ttl: float | None = None,
        if_match: IfMatch = None,
        if_absent: bool = False,
        content_type: str | None = None,
    ) -> Slot[Written]:
        """As Client.put."""
        check_conditions(if_match, if_absent=if_absent)
        conditions = {"if_none_match": "*"} if if_absent else _condition(if_match)
        return self._put(key, value, ttl, content_type, **conditions)

    def delete(self, key: Text, *, if_match: IfMatch = None) -> Slot[Written]:
        """As Client.delete."""
        return self._add("delete", key, written, **_condition(if_match))

    def incr(self, key: Text, by: int = 1, *, if_match: IfMatch = None) -> Slot[Number]:
        """As Client.incr."""
        return self._add("incr", key, number, by=by, **_condition(if_match))

    def append(self, key: Text, value: Text, *, if_match: IfMatch = None) -> Slot[Changed]:
        """As Client.append."""
        return self._add("append", key, changed, value=encode(value), **_condition(if_match))

    def touch(self, key: Text, ttl: float, *, if_match: IfMatch = None) -> Slot[Changed]:
        """As Client.touch."""
        return self._add("touch", key, changed, ttl=ttl, **_condition(if_match))

    def persist(self, key: Text, *, if_match: IfMatch = None) -> Slot[Changed]:
        """As Client.persist."""
        return self._add("persist", key, changed, **_condition(if_match))


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What holds for all gets of a batch together; empty where it has none.

    consistency    the weakest level that was served
    staleness_ms   a bound on the age of the oldest
    served_by      everybody who answered
    """

    consistency: str
    staleness_ms: int
    served_by: str


class BatchResults(Results):
    """What came of a batch, with the receipt of its gets."""

    def __init__(self, batch: Batch, results: list[object], receipt: Receipt) -> None:
        super().__init__(batch, results)
        self._batch = batch
        self.receipt = receipt

    def after(self, before: "BatchResults | None") -> "BatchResults":
        """What is known now, that an earlier attempt came to `before`."""
        if before is None:
            return self
        pairs = enumerate(zip(before, self, strict=True))
        return BatchResults(self._batch, [self._later(place, *pair) for place, pair in pairs], self.receipt)

    def given_up(self, failure: ClientError) -> "BatchResults":
        """What is known, now that a further attempt as a whole came to this."""
        results = [
            final_error(result, failure) if self._is_open(place) and self._batch.writes(place) else result
            for place, result in enumerate(self)
        ]
        return BatchResults(self._batch, results, self.receipt) if failure.may_have_applied else self

    def in_doubt(self, doubt: ClientError) -> "BatchResults":
        """What is known, if an attempt before it may have been applied."""
        results = [
            final_error(result, doubt)
            if self._batch.writes(place) and isinstance(result, ClientError) and not is_settled(result)
            else result
            for place, result in enumerate(self)
        ]
        return BatchResults(self._batch, results, self.receipt)

    @property
    def may_fare_better(self) -> bool:
        return any(self._is_open(place) for place in range(len(self)))

    def _is_open(self, place: int) -> bool:
        result = self._results[place]
        return isinstance(result, ClientError) and may_pass(result)

    def _later(self, place: int, before: object, now: object) -> object:
        if not self._batch.writes(place) or not isinstance(now, ClientError):
            return now
        if not isinstance(before, ClientError) or is_settled(before):
            return before  # Done under this Idempotency-Key: that now nobody tells is nothing new.
        return now if is_settled(now) or not before.may_have_applied else final_error(now, before)


def call_of(
    batch: Batch, *, consistency: Level | None, max_staleness: int | None, token: str | None
) -> Call[BatchResults]:
    """The request that a batch is."""
    staleness = None if max_staleness is None else str(max_staleness)
    is_write = any(batch.writes(place) for place in range(len(batch)))
    headers = {**MSGPACK, **Once(token=token).headers(is_plain=False)} if is_write else MSGPACK

    def read(response: Response) -> BatchResults:
        expect(response, 200, is_write=is_write)
        answer = decode_answer(response.body, _Answer, is_write=is_write)
        return BatchResults(batch, batch.read_all(answer.results, is_write=is_write), Receipt(**read_receipt(response)))

    return Call(
        "POST",
        "/v1/batch" + query_of(consistency=consistency, max_staleness=staleness),
        read,
        headers,
        msgspec.msgpack.encode({"ops": batch.documents}),
        is_write=is_write,
        takes_session=takes_session(consistency),
        read_in_doubt=lambda response, doubt: read(response).in_doubt(doubt),
    )


def batch_attempts(
    call: Call[BatchResults],
    gateways: Gateways,
    patience: Patience,
    session: Session | None,
    clock: Callable[[], float],
    rng: Random,
) -> Steps[BatchResults]:
    """The steps to the results of a batch. Raises: ClientError, if not one attempt was answered with results."""
    deadline = clock() + patience.timeout_seconds
    pause, known = PAUSE_SECONDS_MIN, None
    while True:
        left = replace(patience, timeout_seconds=max(0.0, deadline - clock()))
        try:
            found = yield from attempts(call, gateways, left, session, clock, rng)
        except ClientError as error:
            if known is None:
                raise
            return known.given_up(error)
        known = found.after(known)
        wait = pause * rng.uniform(0.5, 1.0)
        if not known.may_fare_better or clock() + wait > deadline:
            return known
        yield Pause(wait)
        pause = min(2 * pause, PAUSE_SECONDS_MAX)


class _Answer(msgspec.Struct):
    results: list[Done]


def _condition(if_match: IfMatch) -> dict[str, int | str]:
    return {} if if_match is None else {"if_match": if_match}
