"""What a scan is asked for: the keys from a start up to, not including, an end, that have a prefix."""

from engine.errors import InvalidKeyError, InvalidLimitError

# start <= key < end; an end of None is above every key.
Bounds = tuple[bytes, bytes | None]


def intersect(start: bytes, end: bytes | None, prefix: bytes) -> Bounds:
    """The keys between start and end that begin with the prefix. Raises: InvalidKeyError."""
    for name, bound in (("start", start), ("end", end), ("prefix", prefix)):
        if bound.__class__ is not bytes and (bound is not None or name != "end"):
            raise InvalidKeyError(f"the {name} of a scan is bytes, not {type(bound).__name__}")
    if not prefix:
        return start, end
    above = after_prefix(prefix)
    if end is None or (above is not None and above < end):
        end = above
    return max(start, prefix), end


def after_prefix(prefix: bytes) -> bytes | None:
    """The least key above all that begin with the prefix, None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def check_limit(limit: int | None) -> None:
    """Raises: InvalidLimitError."""
    if limit is None:
        return
    if limit.__class__ is not int:
        raise InvalidLimitError(f"the limit of a scan is an int, not {type(limit).__name__}")
    if limit < 0:
        raise InvalidLimitError(f"the limit of a scan is 0 or more, not {limit}")
