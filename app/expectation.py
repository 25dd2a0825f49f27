"""Expectations: what must be there for a write to be done, from header fields or from members of an operation.

If-Match: "7", "8"   "if_match": [7, 8]           the key is at one of these revisions
If-Match: *          "if_match": "*"              it exists
If-None-Match: *     "if_none_match": "*"         it does not
"""

from collections.abc import Iterable, Mapping

from app.fields import read_entity_tags
from app.problems import BAD_HEADER, NOT_TOGETHER, UNSUPPORTED, Problem
from app.rules import EXPECTED_MAX, INTEGER_MAX, whole_number
from raftgroups import Expected


def expected_of(revisions: Iterable[int]) -> tuple[int, ...]:
    """What stands for these revisions. Raises: ValueError, if they are too many."""
    distinct = tuple(sorted(set(revisions)))
    if len(distinct) > EXPECTED_MAX:
        raise ValueError(f"may have {EXPECTED_MAX} revisions, not {len(distinct)}")
    return distinct


def read_expectation(fields: Mapping[bytes, bytes], *, may_be_absent: bool) -> Expected | Problem:
    """What If-Match and If-None-Match expect; a DELETE takes no If-None-Match."""
    match, none_match = fields.get(b"if-match"), fields.get(b"if-none-match")
    if none_match is not None:
        if none_match.strip() != b"*" or not may_be_absent:
            only = "only * is supported by a write" if may_be_absent else "it is not supported by DELETE"
            return Problem(UNSUPPORTED, f"header If-None-Match: {only}", {"header": "If-None-Match"})
        if match is not None:
            detail = "header If-None-Match: * and If-Match contradict each other"
            return Problem(NOT_TOGETHER, detail, {"header": "If-None-Match"})
        return False
    if match is None:
        return None
    tags = read_entity_tags("If-Match", match, is_strong=True)
    if isinstance(tags, Problem):
        return tags
    if tags is None:
        return True
    try:
        return expected_of(revision for tag in tags if (revision := _revision_of(tag)) is not None)
    except ValueError as error:
        return Problem(BAD_HEADER, f"header If-Match {error}", {"header": "If-Match"})


def _revision_of(tag: bytes) -> int | None:
    """The revision that an entity tag names; None for what was never a tag of ours, and so matches nothing."""
    number = whole_number(tag, 0, INTEGER_MAX)
    return number if number is not None and b"%d" % number == tag else None
