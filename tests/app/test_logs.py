"""Logs: one line per event."""

import logging
import sys

from app.logs import LineFormatter


def test_a_traceback_is_one_line_too() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f.py", 1, "it %s", ("failed\r\nbadly",), sys.exc_info())

    line = LineFormatter("n1").format(record)

    assert len(line.splitlines()) == 1
    assert " ERROR n1 x it failed | badly | Traceback" in line
    assert "ValueError: first | second" in line
    assert line[10] == "T" and line[23] == "Z"
