"""Attempts: to which gateway a call goes, when it is repeated, and when it is given up; without sending anything.

    refused, retryable     not applied: repeated, at another gateway first, at the same one after its Retry-After
    unreachable            not sent: the next gateway, at once
    lost, 504, no answer   unknown: repeated if that is harmless, because it reads or has an Idempotency-Key
    anything else          the answer

What can be repeated does not stake its whole time on one gateway, which may have been cut off in silence, or may ask a
leader that was: the first attempt has an eighth of it, and each that had no answer makes the next one twice as long. So
more than half of the time is left to the last, for what is only slow.

A call that was once in doubt stays so until an answer settles it: being refused later does not undo the first attempt.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from app.calls import Call
from app.clienterrors import (
    ClientClosedError,
    ClientError,
    InvalidUrlError,
    OutcomeUnknownError,
    ProblemError,
    Response,
    UnreachableError,
    error_of,
)
from app.session import Session
from app.urls import check_url

T = TypeVar("T")

PAUSE_SECONDS_MIN = 0.05
PAUSE_SECONDS_MAX = 1.0
FIRST_SHARE = 1 / 8
FIRST_SECONDS_MIN, FIRST_SECONDS_MAX = 0.5, 1.25
REST_SECONDS_MIN = 0.5
REST_SECONDS_MAX = 8.0
ANSWER_GRACE_SECONDS = 0.25  # a gateway answers 504 by itself at its deadline; wait that much longer for it
TIMEOUT_MS_MAX = 60_000

_PASSING_STATUSES = frozenset({408, 429, 502, 503, 504})
_BUSY = "IDEMPOTENCY_KEY_BUSY"
# Said by who applies a command, which looks for its token first: these tell what became of it.
_SETTLED_STATUSES = frozenset({404, 409, 412, 413, 422})


@dataclass(frozen=True, slots=True)
class Send:
    """Effect: send this to this gateway, and wait so long for the answer."""

    url: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    timeout_seconds: float
    is_write: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """Effect: wait.

    reason         why the call has no answer yet
    left_seconds   until it is given up
    """

    seconds: float
    reason: ClientError
    left_seconds: float


Steps = Generator[Send | Pause, Response | ClientError | None, T]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client tries.

    timeout_seconds   one call, with all its attempts
    attempt_seconds   one attempt at most: then another gateway may do better
    waits             gateways none of which can be reached are waited for
    is_even           the first attempt may take as long as any other
    """

    timeout_seconds: float
    attempt_seconds: float
    waits: bool
    is_even: bool = False

    def first_seconds(self) -> float:
        """How long the first attempt may take."""
        if self.is_even:
            return self.attempt_seconds
        share = min(max(FIRST_SHARE * self.timeout_seconds, FIRST_SECONDS_MIN), FIRST_SECONDS_MAX)
        return min(share, self.attempt_seconds)


class Gateways:
    """The doors to one cluster, taken in turn; one that fails is left alone for a while, longer each time."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = list(dict.fromkeys(check_url(url) for url in urls))
        if not self.urls:
            raise InvalidUrlError("no URL of a gateway was given")
        self._turn = 0
        self._rests: dict[str, tuple[float, float]] = {}  # until when, and for how long

    def add(self, urls: Sequence[str]) -> None:
        """More doors to the same cluster."""
        self.urls += [url for url in dict.fromkeys(map(check_url, urls)) if url not in self.urls]

    def pick(self, now: float, shunned: Mapping[str, float]) -> str:
        """Whose turn it is of those that neither rest nor are shunned; else whose time is nearest."""
        self._turn = (self._turn + 1) % len(self.urls)
        order = self.urls[self._turn :] + self.urls[: self._turn]
        return min(order, key=lambda url: max(now, shunned.get(url, now), self._rests.get(url, (now, 0.0))[0]))

    def failed(self, url: str, now: float) -> None:
        rest = min(REST_SECONDS_MAX, 2 * self._rests.get(url, (0.0, REST_SECONDS_MIN / 2))[1])
        self._rests[url] = (now + rest, rest)

    def answered(self, url: str) -> None:
        self._rests.pop(url, None)


@dataclass(frozen=True, slots=True)
class Caller:
    """What the attempts of all calls of one client have in common.

    session   None: it keeps none
    """

    gateways: Gateways
    patience: Patience
    session: Session | None
    clock: Callable[[], float]
    rng: Random


def attempts(call: Call[T], caller: Caller, waited: Callable[[], float] = lambda: 0.0) -> Steps[T]:
    """The steps to the result of a call.

    waited   how many seconds it has waited for other calls of its client since it began, which do not count

    Raises: ClientError.
    """
    gateways, patience, session, clock = caller.gateways, caller.patience, caller.session, caller.clock
    deadline = clock() + patience.timeout_seconds
    share = patience.first_seconds() if call.is_repeatable else patience.timeout_seconds
    pause, shunned, unreachable = PAUSE_SECONDS_MIN, dict[str, float](), dict[str, ClientError]()
    takes_session, doubt = call.takes_session is not False, None
    while True:
        end = deadline + waited()
        url = gateways.pick(clock(), shunned | dict.fromkeys(unreachable, end))
        seconds = min(share, max(end - clock(), PAUSE_SECONDS_MIN))
        token = session.token if session is not None and takes_session else None
        answer = yield _send(call, url, seconds, token)
        assert answer is not None, "a request has an answer or fails"
        if isinstance(answer, Response):
            gateways.answered(url)
            unreachable.clear()
            if session is not None:
                session.merge(answer.headers.get("kv-session", ""))
            failure: ClientError | None = _passing(answer, is_write=call.is_write)
            if failure is None:
                if call.takes_session is None and token is not None and _refuses_token(call, answer):
                    takes_session = False  # The cluster's default level knows no sessions.
                    continue
                return _read(call, answer, doubt)
            shunned[url] = clock() + _retry_after(answer)
        else:
            failure = answer
            if isinstance(failure, ClientClosedError):
                raise final_error(failure, doubt)
            gateways.failed(url, clock())
            if isinstance(failure, UnreachableError):
                unreachable[url] = failure
                if len(unreachable) < len(gateways.urls) and clock() < end:
                    continue
        if failure.may_have_applied:
            doubt = failure
        if isinstance(failure, OutcomeUnknownError):
            share = min(2 * share, patience.attempt_seconds)
        is_everyone_away = len(unreachable) == len(gateways.urls)
        if (failure.may_have_applied and not call.is_repeatable) or (is_everyone_away and not patience.waits):
            raise final_error(next(iter(unreachable.values())) if is_everyone_away else failure, doubt)
        unreachable.clear()
        wait = max(pause * caller.rng.uniform(0.5, 1.0), min(shunned.get(url, 0.0) for url in gateways.urls) - clock())
        if clock() + wait > end:
            raise final_error(failure, doubt)
        yield Pause(wait, failure, end - clock())
        pause = min(2 * pause, PAUSE_SECONDS_MAX)


def one_attempt(call: Call[T], url: str, seconds: float) -> Steps[T]:
    """A call that is made once, whatever its answer."""
    answer = yield _send(call, url, seconds, None)
    if isinstance(answer, Response):
        return call.read(answer)
    assert answer is not None, "a request has an answer or fails"
    raise answer


def _send(call: Call[T], url: str, seconds: float, token: str | None) -> Send:
    served = seconds - min(ANSWER_GRACE_SECONDS, seconds / 10)
    headers = {**call.headers, "KV-Timeout-Ms": str(min(TIMEOUT_MS_MAX, max(1, int(served * 1_000))))}
    if token is not None:
        headers["KV-Session"] = token
    return Send(url, call.method, call.target, headers, call.body, seconds, call.is_write)


def may_pass(error: ClientError) -> bool:
    """Whether what failed so may fare better soon, if it can be repeated at all."""
    if isinstance(error, ProblemError) and error.status not in _PASSING_STATUSES and error.code != _BUSY:
        return False
    return error.retryable or error.may_have_applied


def is_settled(error: ClientError) -> bool:
    """Whether it tells what became of every attempt, and not only of the last."""
    return isinstance(error, ProblemError) and error.status in _SETTLED_STATUSES and error.code != _BUSY


def _passing(response: Response, *, is_write: bool) -> ClientError | None:
    """Why the answer may be another one soon; None, if it is the answer."""
    if response.status not in _PASSING_STATUSES and response.status != 409:
        return None
    failure = error_of(response, is_write=is_write)
    if response.status == 409 and failure.code != _BUSY:
        return None
    return failure if failure.retryable or failure.may_have_applied else None


def _read(call: Call[T], answer: Response, doubt: ClientError | None) -> T:
    try:
        if doubt is not None and call.read_in_doubt is not None:
            return call.read_in_doubt(answer, doubt)
        return call.read(answer)
    except ProblemError as error:
        if is_settled(error):
            raise
        raise final_error(error, doubt) from error


def final_error(failure: ClientError, doubt: ClientError | None) -> ClientError:
    """What to tell of a call that is given up."""
    if doubt is None or failure.may_have_applied:
        return failure
    unknown = OutcomeUnknownError(f"{doubt}; then: {failure}", code=doubt.code)
    unknown.__cause__ = failure
    return unknown


def _refuses_token(call: Call[T], answer: Response) -> bool:
    if answer.status != 400 or call.method == "HEAD":
        return answer.status == 400  # An answer to HEAD does not say why.
    error = error_of(answer, is_write=False)
    return isinstance(error, ProblemError) and error.members.get("header") == "KV-Session"


def _retry_after(answer: Response) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdigit() and len(text) < 6 else 0.0
