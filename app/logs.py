"""Logs: on stderr, one line per event, a traceback included; as text, or as JSON."""

import json
import logging
import sys
import time

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")


class LineFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO n1 ringkv.node text`; whatever would break the line is folded into it."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, node: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {node} %(name)s %(message)s")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).splitlines()
        return " | ".join(stripped for line in lines if (stripped := line.strip()))


class JsonFormatter(logging.Formatter):
    """An object with `time` (UTC), `level`, `node`, `logger` and `message`, and `exception` where there is one."""

    default_time_format = LineFormatter.default_time_format
    default_msec_format = LineFormatter.default_msec_format

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "node": self._node,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)


def configure_logs(node: str, level: str = "info", log_format: str = "text") -> None:
    """Send every log of the process to stderr, each line with the name of its node."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(node) if log_format == "json" else LineFormatter(node))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("uvicorn", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
