"""Logs: one line per event."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from app.logs import JsonFormatter, LineFormatter, configure_logs


def failure() -> logging.LogRecord:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        return logging.LogRecord("x", logging.ERROR, "f.py", 1, "it %s", ("failed\r\nbadly",), sys.exc_info())


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """As it was, in the end."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield root
    root.level, root.handlers[:] = before
    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_traceback_is_one_line_too() -> None:
    record = failure()

    line = LineFormatter("n1").format(record)

    assert len(line.splitlines()) == 1
    assert " ERROR n1 x it failed | badly | Traceback" in line
    assert "ValueError: first | second" in line
    assert line[10] == "T" and line[23] == "Z"


def test_json_is_one_line_with_everything_in_it() -> None:
    line = JsonFormatter("n1").format(failure())

    event = json.loads(line)
    assert len(line.splitlines()) == 1
    assert (event["level"], event["node"], event["logger"]) == ("ERROR", "n1", "x")
    assert event["message"] == "it failed\r\nbadly" and "ValueError: first\nsecond" in event["exception"]
    assert event["time"][10] == "T" and event["time"].endswith("Z")


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_a_level_hides_what_is_below_it(
    level: str, shown: int, root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("n1", level)
    for say in (root.debug, root.info, root.warning, root.error):
        say("x")
    logging.getLogger("uvicorn.error").info("x")

    assert len(capsys.readouterr().err.splitlines()) == shown
