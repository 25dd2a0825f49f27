"""What a client raises: every failure says what became of the command, and whether trying again makes sense.

ClientError
  InvalidArgumentError      a ValueError, too: nothing was sent, because what was given is wrong
    InvalidUrlError, InvalidSessionError
  InvalidArgumentTypeError  a TypeError, too: the same of what has another type than is wanted
  ClientClosedError         the client was used after it was closed
  NotAGatewayError
  UnreachableError          no connection, so nothing was sent
  OutcomeUnknownError       no answer, or one that says so: a write may have been applied
  ProblemError              the answer was a problem document (RFC 9457), and nothing was applied
    ConditionFailedError, NoSuchKeyError, NotANumberError, NumberOverflowError, TooLargeError,
    IdempotencyKeyReusedError, NotOnePartitionError, CompactedError, StorageFullError, UnavailableError
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer.

    headers   names in lower case
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class ClientError(Exception):
    """Base of what a client raises; its text is one line for a person.

    code        of the problem, such as NO_QUORUM; empty where no problem was answered
    outcome     "not_applied" or "unknown"
    retryable   the same call may succeed later
    """

    code: str = ""
    outcome: str = "not_applied"
    retryable: bool = False

    @property
    def may_have_applied(self) -> bool:
        return self.outcome != "not_applied"

    @property
    def is_lasting(self) -> bool:
        """Trying went on for all the time there was: the next call will hardly fare better."""
        return True


class InvalidArgumentError(ClientError, ValueError):
    """What was given cannot be right; nothing was sent."""


class InvalidArgumentTypeError(ClientError, TypeError):
    """What was given has another type than is wanted; nothing was sent."""


class InvalidUrlError(InvalidArgumentError):
    """Not the URL of a gateway."""


class InvalidSessionError(InvalidArgumentError):
    """Not a token that a store has given out."""


class ClientClosedError(ClientError):
    """The client was closed before this was sent."""

    def __init__(self, text: str = "the client is closed; make a new one") -> None:
        super().__init__(text)


class NotAGatewayError(ClientError):
    """Something else listens there."""


class UnreachableError(ClientError):
    """No connection could be made, so nothing was sent."""

    retryable = True


class OutcomeUnknownError(ClientError):
    """No answer, or an answer that says so: a write may have been applied, now or later."""

    def __init__(self, text: str, *, code: str = "", is_write: bool = True) -> None:
        super().__init__(text)
        self.code = code
        self.outcome = "unknown" if is_write else "not_applied"
        self.retryable = not is_write


class ProblemError(ClientError):
    """The answer was a problem: the command was not applied.

    members   of the document, as they came
    """

    def __init__(self, response: Response, members: Mapping[str, Any]) -> None:
        self.status = response.status
        self.code = str(members.get("code") or "NO_CODE")
        self.detail = str(members.get("detail") or members.get("title") or _no_reason(response))
        self.retryable = bool(members.get("retryable", response.status in {429, 503}))
        self.members = members
        self.headers = response.headers
        super().__init__(f"{self.detail} (status {self.status}, {self.code})")

    def __reduce__(self) -> tuple[object, ...]:
        """A worker process hands its failures to its parent."""
        return type(self), (Response(self.status, dict(self.headers), b""), dict(self.members))

    @property
    def is_lasting(self) -> bool:
        return self.retryable


class ConditionFailedError(ProblemError):
    """`if_match` or `if_absent` does not hold."""

    @property
    def revision(self) -> int | None:
        """What the key is at; None where there is no such key."""
        tag = self.headers.get("etag", "").strip('"')
        return int(tag) if tag.isdigit() else None


class NoSuchKeyError(ProblemError):
    """There is nothing to touch or to keep."""


class NotANumberError(ProblemError):
    """What is there cannot be added to."""


class NumberOverflowError(ProblemError):
    """The sum would not fit into 64 bits."""


class TooLargeError(ProblemError):
    """A key, a pair or a body is over its limit; `GET /v1/limits` names them."""


class IdempotencyKeyReusedError(ProblemError):
    """The Idempotency-Key came before, with another request."""


class NotOnePartitionError(ProblemError):
    """The keys of a transaction are not in one partition; a hash tag, `{…}`, puts them there."""


class CompactedError(ProblemError):
    """The changes after an id are not kept any more: read what is there now, or go on from `oldest`."""

    @property
    def oldest(self) -> str:
        """The id from which on there are changes; empty where it was not told."""
        return str(self.members.get("oldest") or "")


class StorageFullError(ProblemError):
    """No disk space for writes; reads and deletes still work."""


class UnavailableError(ProblemError):
    """Not now: throttled, electing, no quorum, none fresh enough, shutting down."""


_BY_CODE: Mapping[str, type[ProblemError]] = {
    "PRECONDITION_FAILED": ConditionFailedError,
    "NO_SUCH_KEY": NoSuchKeyError,
    "NOT_A_NUMBER": NotANumberError,
    "NUMBER_OVERFLOW": NumberOverflowError,
    "IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReusedError,
    "NOT_ONE_PARTITION": NotOnePartitionError,
    "STORAGE_FULL": StorageFullError,
}
_BY_STATUS: Mapping[int, type[ProblemError]] = {
    410: CompactedError,
    413: TooLargeError,
    414: TooLargeError,
    429: UnavailableError,
    431: TooLargeError,
    503: UnavailableError,
    504: UnavailableError,
    507: StorageFullError,
}


def error_of(response: Response, *, is_write: bool) -> OutcomeUnknownError | ProblemError:
    """What an answer that is no success means for the command.

    What does not come from a gateway, but from something in between, says nothing: a 5xx of that kind is unknown.
    """
    return error_in(response, _members(response), is_write=is_write)


def error_in(response: Response, members: Mapping[str, Any], *, is_write: bool) -> OutcomeUnknownError | ProblemError:
    """The same, where the members of its problem are known already."""
    outcome = members.get("outcome") or ("unknown" if response.status >= 500 and not members else "not_applied")
    if outcome == "unknown" or (response.status == 504 and "outcome" not in members):
        detail = members.get("detail") or _no_reason(response)
        code = str(members.get("code") or "NO_CODE")
        return OutcomeUnknownError(f"{detail} (status {response.status}, {code})", code=code, is_write=is_write)
    kind = _BY_CODE.get(str(members.get("code"))) or _BY_STATUS.get(response.status) or ProblemError
    return kind(response, members)


def _no_reason(response: Response) -> str:
    """What to say of an answer that tells nothing: to a HEAD nobody can, but who answers is known by the type."""
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        return "the gateway gave no reason"
    return (
        "what answers there is no gateway of ringkv; check the address and the port of --url "
        "(`ringkv up` prints those of its gateways)"
    )


def _members(response: Response) -> dict[str, Any]:
    """The problem document of an answer; empty without one."""
    try:
        found = json.loads(response.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
