"""Prints the frames of a node log for a human."""

import msgspec

from raftgroups.nodelog import Entries, HardState, Record, decode_records


def describe_records(payload: bytes) -> list[str] | None:
    """What a frame of the node log says, a line each; None if it is none."""
    try:
        records = decode_records(payload)
    except (ValueError, msgspec.DecodeError):
        return None
    return [f"{len(records)} record{'' if len(records) == 1 else 's'}", *map(_line, records)]


def _line(record: Record) -> str:
    who = f"    partition {record.group}:"
    if isinstance(record, HardState):
        return f"{who} term {record.term}, " + (f"vote for {record.vote!r}" if record.vote else "no vote")
    if isinstance(record, Entries):
        if not record.entries:
            return f"{who} no entries from {record.first} on"
        size = sum(len(payload) for _, payload in record.entries)
        terms = sorted({term for term, _ in record.entries})
        of = f"of term {terms[0]}" if len(terms) == 1 else f"of terms {', '.join(map(str, terms))}"
        return f"{who} entries {record.first} to {record.first + len(record.entries) - 1} {of}, {size:,} bytes"
    return f"{who} what follows comes after a snapshot up to {record.index}, of term {record.term}"
