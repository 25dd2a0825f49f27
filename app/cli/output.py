"""Output: what becomes of a command whose stdout cannot be written to any more."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

_OF_OUTPUT = frozenset((errno.ENOSPC, errno.EPIPE, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF))


@contextmanager
def failing_output_in_one_line() -> Iterator[None]:
    """What is written to stdout in here has left it at the end.

    Raises: ClickException, if it cannot; SystemExit, if nobody reads it any more.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in _OF_OUTPUT:
            raise
        mute_stdout()
        if error.errno == errno.EPIPE:
            sys.exit(1)  # who has seen enough knows that
        raise click.ClickException(f"cannot write all that was asked for: {output_reason(error)}") from error


def output_reason(error: OSError) -> str:
    """Why something could not be written, for a person."""
    return "nobody reads it any more" if error.errno == errno.EPIPE else str(error.strerror or error)


def mute_stdout() -> None:
    """Have nothing more written there: what is left in its buffer would fail once more when the process ends."""
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
    except (OSError, ValueError):
        return  # it has no descriptor, as in a test
