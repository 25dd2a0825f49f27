"""What a client repeats, where and when: driven by hand, with a clock of its own."""

import json
import math
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from app import calls
from app.attempts import Caller, Gateways, Patience, Pause, Send, attempts
from app.calls import Call, Once, Written
from app.clienterrors import (
    ClientClosedError,
    ClientError,
    OutcomeUnknownError,
    ProblemError,
    Response,
    StorageFullError,
    UnavailableError,
    UnreachableError,
)
from app.session import Session

A, B = "http://a:1", "http://b:1"
APPLIED = Response(204, {"etag": '"7"'}, b"")
PUT = calls.put("k", "v", once=Once())
BARE = calls.put("k", "v", once=Once(is_sole_writer=True))
MANAGE = calls.transfer(1, "n2")


def problem(
    status: int, code: str, outcome: str = "not_applied", *, retryable: bool = True, **members: Any
) -> Response:
    document = {"code": code, "detail": code.lower(), "outcome": outcome, "retryable": retryable, **members}
    headers = {"retry-after": str(members["after"])} if "after" in members else {}
    return Response(status, headers, json.dumps(document).encode())


ELECTING = problem(503, "ELECTING")
UNKNOWN = problem(504, "OUTCOME_UNKNOWN", "unknown", retryable=False)
BUSY = problem(409, "IDEMPOTENCY_KEY_BUSY")
LOST = OutcomeUnknownError("lost")
AWAY = UnreachableError("cannot reach")


class Story:
    """One call, told what each attempt came to; time passes only while it pauses, or as the story says."""

    def __init__(
        self,
        call: Call[Any] = PUT,
        urls: tuple[str, ...] = (A,),
        *,
        seconds: float = 10.0,
        waits: bool = True,
        session: Session | None = None,
        waits_behind_others: float = 0.0,
    ) -> None:
        self.now = 100.0
        self.sent: list[Send] = []
        self.paused: list[Pause] = []
        self._behind = waits_behind_others
        self._waited = 0.0
        patience = Patience(seconds, 3.0, waits)
        caller = Caller(Gateways(urls), patience, session, lambda: self.now, Random(1))
        self._steps = attempts(call, caller, lambda: self._waited)

    def tell(self, *answers: Response | ClientError, took: float = 0.0) -> Any:
        """The result, after these answers; the last one is given for ever."""
        left: Iterator[Response | ClientError] = iter(answers)
        answer: Response | ClientError | None = None
        last = answers[-1]
        try:
            while True:
                step = self._steps.send(answer)
                if isinstance(step, Pause):
                    self.paused.append(step)
                    self.now += step.seconds + self._behind
                    self._waited += self._behind
                    answer = None
                else:
                    self.sent.append(step)
                    self.now += min(took, step.timeout_seconds)
                    answer = next(left, last)
        except StopIteration as end:
            return end.value

    @property
    def pauses(self) -> list[float]:
        return [pause.seconds for pause in self.paused]

    @property
    def urls(self) -> list[str]:
        return [step.url for step in self.sent]

    @property
    def tokens(self) -> set[str | None]:
        return {step.headers.get("Idempotency-Key") for step in self.sent}


@pytest.mark.parametrize("failure", [ELECTING, UNKNOWN, BUSY, LOST, Response(502, {}, b"<html>")])
def test_what_is_harmless_to_repeat_is_repeated_with_its_key(failure: Response | ClientError) -> None:
    story = Story()

    assert story.tell(failure, failure, APPLIED) == Written(revision=7)
    assert len(story.sent) == 3
    assert len(story.tokens) == 1
    assert None not in story.tokens


@pytest.mark.parametrize("failure", [UNKNOWN, LOST, Response(504, {}, b"")])
def test_what_is_not_harmless_to_repeat_is_not(failure: Response | ClientError) -> None:
    """A leadership may have been handed over, and back since."""
    story = Story(MANAGE)

    with pytest.raises(OutcomeUnknownError) as error:
        story.tell(failure)

    assert (error.value.outcome, len(story.sent)) == ("unknown", 1)


def test_a_refusal_is_repeated_even_then() -> None:
    story = Story(MANAGE)

    assert story.tell(ELECTING, Response(200, {}, b"{}")) == {}


@pytest.mark.parametrize(
    "answer",
    [
        problem(400, "BAD_KEY", retryable=False),
        problem(412, "PRECONDITION_FAILED", retryable=False),
        problem(409, "NOT_A_NUMBER", retryable=False),
        problem(409, "CHANGE_REFUSED"),
        problem(507, "STORAGE_FULL"),
        problem(503, "NEVER", retryable=False),
    ],
)
def test_an_answer_is_final(answer: Response) -> None:
    story = Story(PUT, (A, B))

    with pytest.raises(ProblemError):
        story.tell(answer)

    assert len(story.sent) == 1


def test_a_doubt_stays_when_the_call_is_refused_later() -> None:
    """The first attempt may have been applied: that the second was not says nothing about it."""
    story = Story(seconds=0.3)

    with pytest.raises(OutcomeUnknownError) as error:
        story.tell(LOST, ELECTING)

    assert error.value.outcome == "unknown"
    assert isinstance(error.value.__cause__, UnavailableError)


def test_a_doubt_stays_when_a_full_disk_refuses() -> None:
    with pytest.raises(OutcomeUnknownError):
        Story().tell(LOST, problem(507, "STORAGE_FULL"))


def test_a_doubt_ends_with_an_answer_that_looked_for_the_key() -> None:
    """The same Idempotency-Key gets the result of the first attempt, whatever it was."""
    with pytest.raises(ProblemError, match="PRECONDITION_FAILED"):
        Story().tell(LOST, problem(412, "PRECONDITION_FAILED", retryable=False))


def test_without_a_doubt_a_full_disk_is_just_that() -> None:
    with pytest.raises(StorageFullError) as error:
        Story().tell(problem(507, "STORAGE_FULL"))

    assert error.value.outcome == "not_applied"


def test_pauses_grow_within_bounds() -> None:
    story = Story(seconds=10.0)

    with pytest.raises(UnavailableError):
        story.tell(ELECTING)

    limits = [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert all(limit / 2 <= pause <= limit for pause, limit in zip(story.pauses, limits, strict=False))
    assert sum(story.pauses) <= 10.0


def test_a_gateway_is_left_alone_until_its_retry_after() -> None:
    story = Story()

    story.tell(problem(503, "OVERLOADED", after=2), APPLIED)

    assert story.pauses == [2.0]


def test_meanwhile_another_gateway_is_asked() -> None:
    story = Story(PUT, (A, B))
    busy = problem(503, "OVERLOADED", after=2)

    story.tell(busy, APPLIED)

    assert set(story.urls) == {A, B}
    assert story.pauses[0] <= 0.05


def test_a_retry_after_beyond_the_deadline_ends_the_call() -> None:
    story = Story(seconds=1.0)

    with pytest.raises(UnavailableError):
        story.tell(problem(503, "OVERLOADED", after=2))

    assert story.pauses == []


def test_a_gateway_that_cannot_be_reached_is_left_for_the_next_at_once() -> None:
    story = Story(PUT, (A, B))

    story.tell(AWAY, APPLIED)

    assert set(story.urls) == {A, B}
    assert story.pauses == []


def test_who_does_not_wait_asks_everybody_once() -> None:
    story = Story(PUT, (A, B), waits=False)

    with pytest.raises(UnreachableError):
        story.tell(AWAY)

    assert sorted(story.urls) == [A, B]


def test_who_waits_asks_until_the_deadline() -> None:
    story = Story(PUT, (A, B), seconds=2.0)

    with pytest.raises(UnreachableError):
        story.tell(AWAY)

    assert 1.0 < sum(story.pauses) <= 2.0


def test_a_doubt_stays_when_everybody_is_gone() -> None:
    with pytest.raises(OutcomeUnknownError):
        Story(PUT, (A, B), waits=False).tell(LOST, AWAY)


def test_a_failing_gateway_rests_longer_each_time() -> None:
    gateways = Gateways([A, B])
    rests = []
    now = 0.0
    for _ in range(7):
        gateways.failed(A, now)
        begun = now
        while [gateways.pick(now, {}), gateways.pick(now, {})] == [B, B]:
            now += 0.25
        rests.append(now - begun)

    assert rests == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    gateways.answered(A)
    assert {gateways.pick(now, {}), gateways.pick(now, {})} == {A, B}


def test_if_all_rest_one_is_asked_all_the_same() -> None:
    gateways = Gateways([A, B])
    gateways.failed(A, 0.0)
    gateways.failed(B, 0.1)

    assert gateways.pick(0.2, {}) == A


def silent(story: Story) -> list[float]:
    """How long each attempt was waited for, when none is ever answered."""
    with pytest.raises(OutcomeUnknownError):
        story.tell(LOST, took=math.inf)
    return [step.timeout_seconds for step in story.sent]


@pytest.mark.parametrize("call", [PUT, calls.get("k"), BARE])
def test_what_can_be_repeated_leaves_a_silent_gateway_after_a_fraction_of_the_time(call: Call[Any]) -> None:
    """And more than a quarter of the time is one attempt's, for what is only slow."""
    story = Story(call, (A, B))

    waits = silent(story)

    assert waits[:3] == [1.25, 2.5, 3.0]
    assert story.urls[:2] in ([A, B], [B, A])
    assert 9.0 < sum(waits) + sum(story.pauses) <= 10.0 + 0.05


def test_what_cannot_be_repeated_is_waited_for_as_long_as_there_is_time() -> None:
    assert silent(Story(MANAGE)) == [10.0]


@pytest.mark.parametrize(("seconds", "first"), [(0.3, 0.3), (1.0, 0.5), (2.0, 0.5), (5.0, 0.625), (60.0, 1.25)])
def test_the_first_attempt_has_a_share_of_the_time(seconds: float, first: float) -> None:
    assert silent(Story(seconds=seconds))[0] == pytest.approx(first)


def test_a_refusal_shortens_no_patience() -> None:
    story = Story()

    story.tell(ELECTING, ELECTING, APPLIED)

    assert [step.timeout_seconds for step in story.sent] == [1.25, 1.25, 1.25]


def test_each_attempt_is_told_the_time_that_it_has() -> None:
    """A gateway answers a little before the client stops waiting, so that its 504 is heard."""
    story = Story(seconds=5.0)

    waits = silent(story)

    told = [int(step.headers["KV-Timeout-Ms"]) / 1_000 for step in story.sent]
    assert all(0 < wait - tell <= 0.25 for wait, tell in zip(waits, told, strict=True))


def test_a_wait_for_other_calls_of_the_client_does_not_count() -> None:
    story = Story(seconds=1.0, waits_behind_others=5.0)

    assert story.tell(ELECTING, APPLIED) == Written(revision=7)
    assert story.now > 105.0


def test_a_closed_client_repeats_nothing() -> None:
    story = Story()
    with pytest.raises(ClientClosedError) as error:
        story.tell(ClientClosedError())

    assert (error.value.outcome, len(story.sent)) == ("not_applied", 1)


def test_a_doubt_stays_when_the_client_is_closed() -> None:
    with pytest.raises(OutcomeUnknownError):
        Story().tell(LOST, ClientClosedError())


def test_a_pause_says_why_and_how_much_time_is_left() -> None:
    story = Story(seconds=1.0)

    story.tell(ELECTING, APPLIED)

    (pause,) = story.paused
    assert isinstance(pause.reason, UnavailableError)
    assert pause.left_seconds == 1.0


def test_each_attempt_has_the_newest_session() -> None:
    session = Session("1-7-1")
    story = Story(session=session)

    story.tell(Response(503, {"kv-session": "1-7-2"}, ELECTING.body), APPLIED)

    assert [step.headers["KV-Session"] for step in story.sent] == ["1-7-1", "1-7-2"]


@pytest.mark.parametrize("is_head", [False, True])
def test_a_default_level_that_knows_no_session_is_asked_without(is_head: bool) -> None:
    call = calls.get("k", is_head=is_head)
    refusal = problem(400, "UNSUPPORTED", retryable=False, header="KV-Session")
    story = Story(call, session=Session())

    assert story.tell(refusal, Response(404, {"content-type": "application/problem+json"}, b"")) is None
    assert ["KV-Session" in step.headers for step in story.sent] == [True, False]


def test_a_bad_key_is_not_taken_for_that() -> None:
    story = Story(calls.get("k"), session=Session())

    with pytest.raises(ProblemError):
        story.tell(problem(400, "BAD_KEY", retryable=False))

    assert len(story.sent) == 1


def test_a_bare_put_of_a_sole_writer_is_repeated_as_it_is() -> None:
    story = Story(BARE)

    story.tell(LOST, APPLIED)

    assert story.tokens == {None}
