"""Session tokens: the newest revision of each partition that a client has written or seen.

    token := "1-" mark ("." mark)*        mark := partition "-" revision, in hexadecimal

To the client it is opaque. A token goes back with the next read, and each answer has one that knows more.
"""

import re
from collections.abc import Mapping

_TOKEN = re.compile(rb"1-[0-9a-f]{1,4}-[0-9a-f]{1,16}(?:\.[0-9a-f]{1,4}-[0-9a-f]{1,16})*+")
_MARKS_MAX = 1_024


def decode_session(token: bytes) -> dict[int, int] | None:
    """The revisions by partition; None, if it is no token of ours."""
    if _TOKEN.fullmatch(token) is None:
        return None
    marks: dict[int, int] = {}
    for mark in token[2:].split(b"."):
        partition, _, revision = mark.partition(b"-")
        marks[int(partition, 16)] = int(revision, 16)
    return marks if len(marks) <= _MARKS_MAX else None


def encode_session(marks: Mapping[int, int]) -> bytes:
    """A token of at least one mark."""
    return b"1-" + b".".join(b"%x-%x" % mark for mark in sorted(marks.items()))


def extend_session(known: Mapping[int, int], partition: int, revision: int) -> bytes:
    """The token of who has now seen `revision`, too."""
    if not known:
        return b"1-%x-%x" % (partition, revision)
    return encode_session({**known, partition: max(revision, known.get(partition, 0))})


class Session:
    """What one client has written and seen, put together from the tokens of its answers.

    A new session has seen nothing; it has a token all the same, so that the answers to its first reads have one.
    """

    def __init__(self, token: str | None = None) -> None:
        """Raises: ValueError, if it is no token of ours."""
        marks = decode_session(token.encode()) if token is not None and token.isascii() else {0: 0}
        if token is not None and not (token.isascii() and marks):
            raise ValueError(f"{token!r} is not a session token")
        self._marks = dict(marks or {})

    @property
    def token(self) -> str:
        return encode_session(self._marks).decode()

    def merge(self, token: str) -> None:
        """Learn what an answer says; of what is no token, nothing."""
        for partition, revision in (decode_session(token.encode("latin-1", "replace")) or {}).items():
            if revision > self._marks.get(partition, -1):
                self._marks[partition] = revision
