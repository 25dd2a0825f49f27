"""Batches: many operations of a client in one request, each with a result of its own.

A batch is sent again while one of its operations may fare better, as a whole: it has an Idempotency-Key, under which
nothing is done twice. What was once done stays done, and what was once in doubt stays so until an answer settles it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import msgspec

from app.arguments import (
    IfMatch,
    Level,
    Seconds,
    Text,
    check_is,
    read_condition,
    read_freshness,
    read_integer,
    read_ttl,
    read_value,
)
from app.attempts import (
    PAUSE_SECONDS_MAX,
    PAUSE_SECONDS_MIN,
    Caller,
    Pause,
    Steps,
    attempts,
    final_error,
    is_settled,
    may_pass,
)
from app.calls import Call, Changed, Number, Once, Written, expect, query_of, read_receipt, takes_session
from app.clienterrors import ClientError, Response
from app.clientoperations import (
    MSGPACK,
    Done,
    Operations,
    Results,
    Slot,
    changed,
    decode_answer,
    encode_document,
    number,
    written,
)


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
        ttl: Seconds | None = None,
        if_match: IfMatch = None,
        if_absent: bool = False,
        content_type: str | None = None,
    ) -> Slot[Written]:
        """As Client.put."""
        expected = _condition(if_match, if_absent=if_absent)
        conditions = {"if_none_match": "*"} if if_absent else expected
        return self._put(key, value, ttl, content_type, **conditions)

    def delete(self, key: Text, *, if_match: IfMatch = None) -> Slot[Written]:
        """As Client.delete."""
        return self._add("delete", key, written, **_condition(if_match))

    def incr(self, key: Text, by: int = 1, *, if_match: IfMatch = None) -> Slot[Number]:
        """As Client.incr."""
        return self._add("incr", key, number, by=read_integer("by", by), **_condition(if_match))

    def append(self, key: Text, value: Text, *, if_match: IfMatch = None) -> Slot[Changed]:
        """As Client.append."""
        return self._add("append", key, changed, value=read_value(value), **_condition(if_match))

    def touch(self, key: Text, ttl: Seconds, *, if_match: IfMatch = None) -> Slot[Changed]:
        """As Client.touch."""
        return self._add("touch", key, changed, ttl=read_ttl(ttl), **_condition(if_match))

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
    def open_errors(self) -> list[ClientError]:
        """Those that may pass."""
        return [result for place, result in enumerate(self) if self._is_open(place)]

    @property
    def may_fare_better(self) -> bool:
        return bool(self.open_errors)

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
    check_is("what is sent", batch, Batch)
    is_write = any(batch.writes(place) for place in range(len(batch)))
    once = Once(token=token).headers(is_plain=False)
    headers = {**MSGPACK, **once} if is_write else MSGPACK

    def read(response: Response) -> BatchResults:
        expect(response, 200, is_write=is_write)
        answer = decode_answer(response.body, _Answer, is_write=is_write)
        return BatchResults(batch, batch.read_all(answer.results, is_write=is_write), Receipt(**read_receipt(response)))

    return Call(
        "POST",
        "/v1/batch" + query_of(**read_freshness(consistency, max_staleness)),
        read,
        headers,
        encode_document({"ops": batch.documents}),
        is_write=is_write,
        takes_session=takes_session(consistency),
        read_in_doubt=lambda response, doubt: read(response).in_doubt(doubt),
    )


def batch_attempts(
    call: Call[BatchResults], caller: Caller, waited: Callable[[], float] = lambda: 0.0
) -> Steps[BatchResults]:
    """The steps to the results of a batch; `waited` is as of attempts.

    Raises: ClientError, if not one attempt was answered with results.
    """
    clock, patience = caller.clock, caller.patience
    deadline = clock() + patience.timeout_seconds
    pause, known = PAUSE_SECONDS_MIN, None
    while True:
        end = deadline + waited()
        left = replace(caller, patience=replace(patience, timeout_seconds=max(0.0, end - clock())))
        try:
            found = yield from attempts(call, left, _from_now(waited))
        except ClientError as error:
            if known is None:
                raise
            return known.given_up(error)
        known = found.after(known)
        end = deadline + waited()
        wait = pause * caller.rng.uniform(0.5, 1.0)
        if not known.may_fare_better or clock() + wait > end:
            return known
        yield Pause(wait, known.open_errors[0], end - clock())
        pause = min(2 * pause, PAUSE_SECONDS_MAX)


def _from_now(waited: Callable[[], float]) -> Callable[[], float]:
    before = waited()
    return lambda: waited() - before


class _Answer(msgspec.Struct):
    results: list[Done]


def _condition(if_match: IfMatch, *, if_absent: bool = False) -> dict[str, int | str]:
    expected = read_condition(if_match, if_absent=if_absent)
    return {} if expected is None else {"if_match": expected}
