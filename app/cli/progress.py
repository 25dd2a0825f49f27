"""Progress of what takes a while, for whoever looks at a terminal; nobody else is shown anything."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]

_EVERY_SECONDS = 0.1


@contextmanager
def progress(label: str, size: int, unit: str = "bytes") -> Iterator[Advance]:
    """Gives what is called with how far it came, as often as it likes; a size of 0 is unknown."""
    if not sys.stderr.isatty():
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    counted = DownloadColumn() if unit == "bytes" else TextColumn("{task.completed:,.0f} " + unit)
    known: tuple[ProgressColumn, ...] = (BarColumn(), counted, TimeRemainingColumn())
    unknown: tuple[ProgressColumn, ...] = (SpinnerColumn(), counted, TimeElapsedColumn())
    columns = (TextColumn("{task.description}"), *(known if size else unknown))
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=size or None)
        next_at = 0.0

        def advance(done: int) -> None:
            nonlocal next_at
            now = time.monotonic()
            if now >= next_at:
                next_at = now + _EVERY_SECONDS
                shown.update(task, completed=done)

        yield advance


def _nothing(_: int) -> None: ...
