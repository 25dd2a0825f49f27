"""Logs: on stderr, one line per event, a traceback included."""

import logging
import sys
import time


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


def configure_logs(node: str, level: int = logging.INFO) -> None:
    """Send every log of the process to stderr, each line with the name of its node."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(node))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
