"""Keys and values for a human to read: printable, bounded, on one line."""

SHOWN_BYTES = 60


def show(data: bytes, bound: int = SHOWN_BYTES) -> str:
    """The bytes as Python writes them; of long ones the beginning, and how many there are."""
    return repr(data) if len(data) <= bound else f"{data[:bound]!r}... ({len(data):,} bytes)"


def count(number: int, noun: str) -> str:
    """`1 block`, `2,000 blocks`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
