"""Notice: what a command that takes long waits for, in one line on stderr."""

import time
from threading import Timer

import click

from app.attempts import Pause
from app.client import ClientError, ProblemError

SILENT_SECONDS = 1.5  # what is over by then needs no words


class Notice:
    """Listens to a client, and says once of each call that waits for longer what it waits for."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._timer: Timer | None = None
        self._reason = ""
        self._gives_up_at = 0.0

    def heard(self, pause: Pause | None) -> None:
        """A call pauses, or it has ended."""
        if pause is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        self._reason = _text(pause.reason)
        self._gives_up_at = time.monotonic() + pause.left_seconds
        if self._timer is None:
            since = self._timeout_seconds - pause.left_seconds
            self._timer = Timer(max(0.0, SILENT_SECONDS - since), self._tell)
            self._timer.daemon = True
            self._timer.start()

    def _tell(self) -> None:
        left = self._gives_up_at - time.monotonic()
        click.echo(f"waiting: {self._reason}; giving up in {max(1.0, left):.0f} s", err=True)


def _text(reason: ClientError) -> str:
    """Without the status, which says nothing to who waits."""
    return reason.detail if isinstance(reason, ProblemError) else str(reason)
