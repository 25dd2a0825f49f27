"""Idempotency: what commands that are to be done once have come to, each under its token.

    stored := msgpack [digest, expires_ms, result]

The table is state like any other: replicated, in every snapshot, and the same on all replicas. A result goes when its
time is over, or earlier where more than TOKENS_MAX would be kept: then the one that would have gone first.
"""

import msgspec

from raftgroups.result import Result

# Of one partition; with what a result mostly takes, 150 B, some 10 MB on disk.
TOKENS_MAX = 65_536


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """What is kept under a token."""

    digest: bytes
    expires_ms: int
    result: Result


encode_stored = msgspec.msgpack.Encoder().encode
decode_stored = msgspec.msgpack.Decoder(Stored).decode
