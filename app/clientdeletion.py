"""Deletions of a client: all keys of a range, as many requests as it takes."""

import msgspec

from app.arguments import Text, read_bytes, read_flag
from app.calls import Call, Once, expect, query_of, stranger
from app.clienterrors import InvalidArgumentError, Response


class Progress(msgspec.Struct):
    """What one request deleted, and whether it came to the end."""

    deleted: int
    complete: bool


class RangeDeletion:
    """How far it has come.

    deleted   how many keys were there
    """

    def __init__(self, prefix: Text, start: Text | None, end: Text | None, *, everything: bool, once: Once) -> None:
        """Raises: InvalidArgumentError, InvalidArgumentTypeError."""
        bounds = {
            name: None if given is None else read_bytes(name, given) or None
            for name, given in (("prefix", prefix), ("start", start), ("end", end))
        }
        if read_flag("everything", everything) is any(bounds.values()):
            raise InvalidArgumentError(
                "everything is without prefix, start and end"
                if everything
                else "say which keys: give prefix, start or end, or everything=True"
            )
        self.deleted = 0
        self._target = "/v1/kv" + query_of(**bounds, all="true" if everything else None)
        self._once = once
        self._is_over = False

    def call(self) -> Call[Progress] | None:
        """What deletes the next keys; None, if that is done."""
        if self._is_over:
            return None
        return Call("DELETE", self._target, _read_progress, self._once.headers(is_plain=False), is_write=True)

    def took(self, progress: Progress) -> None:
        """Go on. Under the caller's own Idempotency-Key each answer counts from the beginning."""
        counted = self.deleted if self._once.token is None else 0
        self.deleted = counted + progress.deleted
        self._is_over = progress.complete


_decoder = msgspec.json.Decoder(Progress)


def _read_progress(response: Response) -> Progress:
    expect(response, 200, is_write=True)
    try:
        return _decoder.decode(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise stranger(is_write=True) from error
