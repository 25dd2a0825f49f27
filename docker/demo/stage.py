"""What the demos have in common: a cluster of containers, plain words, and claims that are checked."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx

HERE = Path(__file__).resolve().parent
COMPOSE_FILES = {3: ["compose.yaml"], 5: ["compose.yaml", "compose.five.yaml"]}
PROJECT = "ringkv-demo"
NODES = {"n1": "http://127.0.0.1:8001", "n2": "http://127.0.0.1:8002", "n3": "http://127.0.0.1:8003"}
READY_SECONDS = 60.0

_BOLD, _DIM, _GREEN, _RED, _END = (
    ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m") if sys.stdout.isatty() else [""] * 5
)


def say(text: str) -> None:
    """What happens now, and why."""
    print(f"\n{_BOLD}{text}{_END}", flush=True)


def show(text: str) -> None:
    """What is seen."""
    print(f"   {text}", flush=True)


def claim(holds: bool, text: str) -> None:
    """What must be so. A demo whose claim does not hold ends at once, with 1."""
    mark = f"{_GREEN}✓{_END}" if holds else f"{_RED}✗{_END}"
    print(f" {mark} {text}", flush=True)
    if not holds:
        raise ClaimError(text)


class ClaimError(Exception):
    """A claim does not hold."""


def run(*command: str, timeout: float = 90.0) -> str:
    """What a command prints. Raises: CalledProcessError, with what it said."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout
    )
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        done.check_returncode()
    return done.stdout


def compose_command() -> list[str]:
    """Compose as it is installed here: the plugin, or the older command."""
    if shutil.which("docker") is None:
        _give_up("docker is not installed")
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        _give_up("neither `docker compose` nor docker-compose is installed")
    return ["docker-compose"]


def _give_up(reason: str) -> NoReturn:
    sys.exit(f"this demo needs a Docker engine: {reason}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said, and in how many seconds."""

    status: int
    headers: httpx.Headers
    text: str
    seconds: float

    @property
    def brief(self) -> str:
        parts = [str(self.status)]
        if self.status >= 400:
            try:
                problem = json.loads(self.text)
                parts.append(f"{problem['code']}, outcome {problem['outcome']}")
            except ValueError:
                parts.append(self.text[:60])
        elif self.text:
            parts.append(repr(self.text))
        receipt = [
            f"{name[3:]}={self.headers[name]}"
            for name in ("kv-consistency", "kv-served-by", "kv-staleness-ms")
            if name in self.headers
        ]
        return f"{' '.join(parts)}   {_DIM}{' '.join(receipt)} in {self.seconds * 1_000:.0f} ms{_END}"


class Stage:
    """The cluster, and what can be done to it."""

    def __init__(self, nodes: Mapping[str, str]) -> None:
        self._nodes = nodes
        files = [part for name in COMPOSE_FILES[len(nodes)] for part in ("--file", str(HERE.parent / name))]
        self._compose = [*compose_command(), "--project-name", PROJECT, *files]
        self._client = httpx.Client(timeout=10)

    def compose(self, *arguments: str) -> str:
        return run(*self._compose, *arguments)

    def up(self) -> None:
        self.compose("up", "--detach", "--no-build")
        self.wait_ready(*self._nodes)

    def down(self) -> None:
        """Remove it, with all that it has kept."""
        self.compose("down", "--volumes", "--timeout", "5")

    def container(self, node: str) -> str:
        return (
            self.compose("ps", "--all", "--quiet", node).strip()
            if self._has_all
            else self.compose("ps", "--quiet", node).strip()
        )

    @property
    def _has_all(self) -> bool:
        return self._compose[0] == "docker"

    def ask(self, node: str, method: str, path: str, body: str = "", **headers: str) -> Answer:
        """Raises: httpx.TransportError."""
        began = time.monotonic()
        answer = self._client.request(
            method,
            self._nodes[node] + path,
            content=body.encode(),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        return Answer(answer.status_code, answer.headers, answer.text, time.monotonic() - began)

    def leaders(self, node: str) -> dict[str, list[int]]:
        """The partitions that each node leads, as one node sees it."""
        found: dict[str, list[int]] = {}
        for partition in self._client.get(self._nodes[node] + "/v1/cluster").json()["partitions"]:
            found.setdefault(partition["leader"] or "nobody", []).append(partition["id"])
        return found

    def applied(self, node: str) -> dict[int, int]:
        """How far each partition's replica on a node has got."""
        partitions = self._client.get(self._nodes[node] + "/v1/cluster").json()["partitions"]
        return {partition["id"]: partition["applied_index"] for partition in partitions}

    def wait_ready(self, *nodes: str) -> float:
        """Until each serves all it holds; says how long that took."""
        return wait_until(lambda: all(self.is_ready(node) for node in nodes), f"{', '.join(nodes)} ready")

    def is_alive(self, node: str) -> bool:
        """Whether it listens."""
        return self._is_ok(node, "/livez")

    def is_ready(self, node: str) -> bool:
        """Whether it serves all that it holds."""
        return self._is_ok(node, "/readyz")

    def _is_ok(self, node: str, path: str) -> bool:
        try:
            return self._client.get(self._nodes[node] + path).status_code == 200
        except httpx.TransportError:
            return False


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> float:
    """How long it took. Raises: ClaimError."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > seconds:
            raise ClaimError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)
    return time.monotonic() - began


@contextmanager
def stage(title: str, nodes: Mapping[str, str] = NODES, *, is_up: bool = True) -> Iterator[Stage]:
    """A cluster, ready if `is_up`, and gone afterwards, with its volumes. Ends the program with 1 if a claim failed."""
    began = time.monotonic()
    made = Stage(nodes)
    print(f"{_BOLD}{title}{_END}")
    made.down()
    try:
        if is_up:
            say("Three containers start, in zones a, b and c.")
            made.up()
            places = ", ".join(f"{name} {url}" for name, url in nodes.items())
            show(f"ready after {time.monotonic() - began:.1f} s: {places}")
        yield made
    except (ClaimError, httpx.HTTPError, subprocess.SubprocessError) as error:
        print(f"\n{_RED}This demo failed: {error}{_END}")
        print(made.compose("logs", "--tail", "20"))
        sys.exit(1)
    finally:
        made.down()
    print(f"\n{_GREEN}All claims hold{_END} ({time.monotonic() - began:.0f} s)")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns side by side."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in (head, *rows):
        show("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
