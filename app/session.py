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
