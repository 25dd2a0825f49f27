"""A cluster under `ringkv up`, for tests that watch the supervisor at work."""

import json
import subprocess
import sys
from pathlib import Path

from tests.cluster.nodes import Process, wait_until

READY = "ringkv is ready: "
UP_SECONDS_MAX = 60.0  # three interpreters start at once, perhaps on a busy machine
COMMAND = (sys.executable, "-m", "app.cli")


class Supervised(Process):
    """`ringkv up` on a data directory, with free ports chosen at its first start."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.data = directory / "data"
        self._starts = 0
        command = [*COMMAND, "up", "--data", str(self.data), "--http-port", "0", "--peer-port", "0", *options]
        super().__init__("up", command, directory / "up.log", {"RINGKV_TIMEOUT": "60"})

    def start_ready(self) -> None:
        """Starts it and waits for the line that says where the cluster is."""
        self._starts += 1
        self.start()
        wait_until(self._is_ready_or_dead, UP_SECONDS_MAX, "ringkv up is ready")
        assert self.is_running, self.log_text()[-4000:]

    @property
    def urls(self) -> str:
        """As --url takes them."""
        line = next(line for line in self.log_text().splitlines() if line.startswith(READY))
        return ",".join(word for word in line.split() if word.startswith("http://"))

    def node_pid(self, name: str) -> int:
        return int((self.data / name / "node.pid").read_text())

    @property
    def nodes(self) -> list[str]:
        return [member["name"] for member in json.loads((self.data / "cluster.json").read_text())["members"]]

    def command(self, *arguments: str) -> list[str]:
        """A `ringkv` command that talks to this cluster."""
        return [*COMMAND, arguments[0], "--url", self.urls, *arguments[1:]]

    def ringkv(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=timeout, check=False)

    def _is_ready_or_dead(self) -> bool:
        said = sum(line.startswith(READY) for line in self.log_text().splitlines())
        return said == self._starts or not self.is_running


def has_ended(pid: int) -> bool:
    """Whether a process runs no more; one that nobody has waited for yet counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True
