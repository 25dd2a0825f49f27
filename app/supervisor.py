"""`ringkv up`: a cluster of node processes on this machine, started, watched, restarted and stopped together.

    DATA/cluster.json   what was chosen at the first start: the nodes, their ports, the number of partitions
    DATA/secret         what the nodes prove to each other that they belong together; readable by its owner alone
    DATA/lock           held while a supervisor runs
    DATA/n1, n2, ...    each node's own directory

The nodes die with their supervisor, even when it is killed: the kernel is asked to see to that.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any

from app.client import AsyncClient, ClientError, Response

READY_POLL_SECONDS = 0.1
PROBE_SECONDS = 2.0
UNREADY_SECONDS = 5.0
FALLS_TOLD = 3  # a node that ended so often will not stay by itself
CHUNK_BYTES = 1 << 16
LINE_BYTES_MAX = 1 << 20
RELAY_SECONDS_MAX = 1.0
LAST_LINE_LENGTH_MAX = 500
STOP_SECONDS_MAX = 10.0
HAND_OVER_SECONDS_MAX = 3.0
RESTART_SECONDS_MIN = 0.25
RESTART_SECONDS_MAX = 10.0
STEADY_SECONDS = 60.0  # a node that ran this long starts its next life without a delay carried over
PR_SET_PDEATHSIG = 1
NODES = 3
PARTITIONS = 16
HTTP_PORT = 8001
PEER_PORT = 9001
PORT_MAX = 65535


class SupervisorError(Exception):
    """The cluster cannot be started; the text says why in one line."""


@dataclass(frozen=True, slots=True)
class Member:
    """One node of the cluster, by its name and its two ports on loopback."""

    name: str
    http_port: int
    peer_port: int

    @property
    def http(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    @property
    def peer(self) -> str:
        return f"127.0.0.1:{self.peer_port}"

    @property
    def url(self) -> str:
        return f"http://{self.http}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a data directory was made for."""

    partitions: int
    members: tuple[Member, ...]

    @property
    def seeds(self) -> str:
        return ",".join(f"{member.name}={member.peer}" for member in self.members)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks for.

    Whatever is None is as at the last start, and at the first NODES, PARTITIONS, HTTP_PORT or PEER_PORT.

    http_port, peer_port   of the first node, the others follow; 0: as at the last start, or else free ones
    """

    nodes: int | None = None
    http_port: int | None = None
    peer_port: int | None = None
    partitions: int | None = None


def run_cluster(
    data: Path, wish: Wish, environ: Mapping[str, str], say: Callable[[str], None], log: Callable[[str], None]
) -> int:
    """Starts the cluster in its data directory and watches over it; the answer is an exit code.

    Raises: SupervisorError when there is nothing to be started.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(data / "lock"):
            plan = prepare(data, wish)
            return asyncio.run(Supervisor(data, plan, environ, say, log).run())
    except OSError as error:
        raise SupervisorError(f"{error.filename or data}: {error.strerror}") from error


def prepare(data: Path, wish: Wish) -> Plan:
    """Fills a new data directory, or checks that an old one was made for what is asked for.

    Raises: SupervisorError.
    """
    known = read_plan(data / "cluster.json")
    nodes = wish.nodes or (len(known.members) if known else NODES)
    partitions = wish.partitions or (known.partitions if known else PARTITIONS)
    if known is not None:
        _refuse_change(data, "nodes", len(known.members), nodes)
        _refuse_change(data, "partitions", known.partitions, partitions)
        if wish.peer_port:
            _refuse_change(data, "peer-port", known.members[0].peer_port, wish.peer_port)
    plan = Plan(partitions, tuple(_members(nodes, wish, known)))
    ports = [port for member in plan.members for port in (member.http_port, member.peer_port)]
    if max(ports) > PORT_MAX:
        raise SupervisorError(f"{nodes} nodes need {nodes} ports in a row, and {PORT_MAX} is the last")
    if len(set(ports)) < len(ports):
        raise SupervisorError("the ports for HTTP and those for the peers overlap")
    if plan != known:
        _write_private(data / "cluster.json", json.dumps(asdict(plan), indent=2) + "\n")
    if not (data / "secret").exists():
        _write_private(data / "secret", secrets.token_hex(32) + "\n")
    return plan


class Supervisor:
    """Runs the nodes of one plan until it is told to stop."""

    def __init__(
        self,
        data: Path,
        plan: Plan,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        log: Callable[[str], None],
    ) -> None:
        self._data = data
        self._plan = plan
        # The nodes run the very code that runs here, wherever the user stands: see -P below.
        own = {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
        # All nodes end together: nobody is left that a load balancer could turn to.
        self._environ = {**environ, **own, "RINGKV_DRAIN_SECONDS": "0"}
        self._say = say
        self._log = log
        self._stopping = asyncio.Event()
        self._reason: str | None = None
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        # The last line that each node said on stderr: where it ends, its reason.
        self._last_lines: dict[str, str] = {}

    async def run(self) -> int:
        """The exit code: 0 when stopped cleanly by SIGINT or SIGTERM, otherwise 1."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        keepers = [asyncio.create_task(self._keep(member)) for member in self._plan.members]
        announcer = asyncio.create_task(self._announce())
        await self._stopping.wait()
        announcer.cancel()
        clean = await self._stop(keepers)
        if self._reason is not None:
            self._log(self._reason)
        return 0 if clean and self._reason is None else 1

    async def _keep(self, member: Member) -> None:
        """Starts one node, and starts it again whenever it ends before it should."""
        loop = asyncio.get_running_loop()
        delay, has_listened, falls = RESTART_SECONDS_MIN, False, 0
        while not self._stopping.is_set():
            started = loop.time()
            process = await self._start(member)
            if self._stopping.is_set():  # told to stop while it was being started
                _signal(process, signal.SIGTERM)
            listening = asyncio.create_task(self._listens(member, process))
            relaying = asyncio.create_task(self._relay(member, process))
            code = await process.wait()
            # What it left in the pipe; whoever inherited that may outlive it for a moment.
            await asyncio.wait({relaying}, timeout=RELAY_SECONDS_MAX)
            relaying.cancel()
            has_listened = await listening or has_listened
            if self._stopping.is_set():
                return
            if not has_listened and code > 0:
                self._fail(f"{member.name} could not start (exit code {code}, its reason is above)")
                return
            if loop.time() - started > STEADY_SECONDS:
                delay, falls = RESTART_SECONDS_MIN, 0
            falls += 1
            self._log(f"{member.name} ended unexpectedly ({_describe(code)}); it starts again in {delay:g} s")
            if falls >= FALLS_TOLD:
                self._log(self._advice(member, falls))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(2 * delay, RESTART_SECONDS_MAX)

    async def _start(self, member: Member) -> asyncio.subprocess.Process:
        directory = self._data / member.name
        options = {
            "--name": member.name,
            "--data": str(directory),
            "--http": member.http,
            "--peer": member.peer,
            "--seeds": self._plan.seeds,
            "--partitions": str(self._plan.partitions),
            "--secret-file": str(self._data / "secret"),
        }
        arguments = [word for option in options.items() for word in option]
        process = await asyncio.create_subprocess_exec(
            # -P: an `app` in the working directory is not ours
            *(sys.executable, "-P", "-m", "app.cli", "node", *arguments),
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr,  # stdout carries the supervisor's own line alone
            stderr=asyncio.subprocess.PIPE,
            process_group=0,  # Ctrl-C reaches the supervisor alone, which then stops the nodes in order
            preexec_fn=_die_with(os.getpid()),
        )
        self._processes[member.name] = process
        return process

    async def _relay(self, member: Member, process: asyncio.subprocess.Process) -> None:
        """Passes on what a node says, line by line, until it ends."""
        assert process.stderr is not None, "it is started with a pipe"
        rest = b""
        while said := await process.stderr.read(CHUNK_BYTES):
            whole, newline, rest = (rest + said).rpartition(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                whole, newline, rest = whole + newline + rest, b"\n", b""
            self._pass_on(member, whole + newline)
        self._pass_on(member, rest)

    def _pass_on(self, member: Member, lines: bytes) -> None:
        last = lines.strip().rpartition(b"\n")[2].decode(errors="replace").strip()
        self._last_lines[member.name] = last or self._last_lines.get(member.name, "")
        sys.stderr.buffer.write(lines)
        sys.stderr.buffer.flush()

    def _advice(self, member: Member, falls: int) -> str:
        """What to say of a node that does not stay."""
        last = self._last_lines.get(member.name) or "nothing"
        return (
            f"{member.name} has ended {falls} times, the last thing it said is: {last[:LAST_LINE_LENGTH_MAX]}; "
            f"end this with Ctrl-C, then `ringkv verify {self._data / member.name}` tells whether its data is whole"
        )

    async def _listens(self, member: Member, process: asyncio.subprocess.Process) -> bool:
        """Whether the node came as far as answering /livez before it ended."""
        while process.returncode is None:
            if await self._answers(member, "/livez"):
                return True
            await asyncio.sleep(READY_POLL_SECONDS)
        return False

    async def _answers(self, member: Member, target: str) -> bool:
        """Whether the process started here answers 200."""
        answer = await self._probe(member, target)
        return _is_ready(answer)

    async def _probe(self, member: Member, target: str) -> Response | str:
        """The answer of the process started here, or why there is none; a stranger on its port does not count."""
        process = self._processes.get(member.name)
        if process is None or process.returncode is not None:
            return "its process does not run"
        if _read_pid(self._data / member.name / "node.pid") != process.pid:
            return "its process is still starting"
        async with AsyncClient([member.url], timeout_seconds=PROBE_SECONDS) as client:
            try:
                return await client.probe(target)
            except ClientError as error:
                return str(error)

    async def _announce(self) -> None:
        """Says where the cluster is once every node is ready; every few seconds until then, who is not and why."""
        loop = asyncio.get_running_loop()
        waiting, due = list(self._plan.members), loop.time() + UNREADY_SECONDS
        while waiting:
            answers = [(member, await self._probe(member, "/readyz?verbose")) for member in waiting]
            unready = [(member, answer) for member, answer in answers if not _is_ready(answer)]
            waiting = [member for member, _ in unready]
            if waiting and loop.time() >= due:
                for member, answer in unready:
                    self._log(f"{member.name} is not ready: {reason_in(answer)}")
                due = loop.time() + UNREADY_SECONDS
            if waiting:
                await asyncio.sleep(READY_POLL_SECONDS)
        urls = " ".join(member.url for member in self._plan.members)
        self._say(f"ringkv is ready: {urls} (Ctrl-C stops it)")

    async def _stop(self, keepers: list[asyncio.Task[None]]) -> bool:
        """Asks every node to end, and makes those that do not. True when all that ran ended well.

        One after the other, so that leaderships go to nodes that stay, and not in circles.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_SECONDS_MAX
        running = {name: process for name, process in self._processes.items() if process.returncode is None}
        for process in running.values():
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(loop.time() + HAND_OVER_SECONDS_MAX, deadline)):
                    await process.wait()
        _, late = await asyncio.wait(keepers, timeout=max(0.0, deadline - loop.time()))
        is_clean = True
        for name, process in self._processes.items():
            if process.returncode is None:
                self._log(f"{name} did not stop within {STOP_SECONDS_MAX:g} s and is killed")
                _signal(process, signal.SIGKILL)
                is_clean = False
        if late:
            await asyncio.wait(late)
        # A node that somebody else killed needed no stopping, and one that had hardly begun has no handler yet.
        harmless = {0, -signal.SIGKILL, -signal.SIGTERM}
        return is_clean and all(process.returncode in harmless for process in running.values())

    def _fail(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._stopping.set()


def _is_ready(answer: Response | str) -> bool:
    return isinstance(answer, Response) and answer.status == HTTPStatus.OK


def reason_in(answer: Response | str) -> str:
    """Why a node is not ready, of its answer to /readyz?verbose, or of the lack of one; one line."""
    if isinstance(answer, str):
        return answer
    try:
        told: Any = json.loads(answer.body)
        first, *more = [str(reason) for reason in told["reasons"]]
    except (ValueError, TypeError, KeyError):
        return f"it answers with status {answer.status}"
    rest = f", and {len(more)} more reasons" if more else ""
    return f"{first}{rest}"


def _members(nodes: int, wish: Wish, known: Plan | None) -> list[Member]:
    free = iter(_free_ports(2 * nodes))
    members = []
    for index in range(nodes):
        before = known.members[index] if known is not None else None
        http = _port(wish.http_port, index, before.http_port if before else None, HTTP_PORT, free)
        peer = _port(wish.peer_port, index, before.peer_port if before else None, PEER_PORT, free)
        members.append(Member(f"n{index + 1}", http, peer))
    return members


def _port(wish: int | None, index: int, before: int | None, usual: int, free: Iterator[int]) -> int:
    if wish:
        return wish + index
    if before is not None:
        return before
    return next(free) if wish == 0 else usual + index


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, below those the kernel gives to outgoing connections."""
    candidates = list(range(20_000, 32_000))
    Random().shuffle(candidates)
    free: list[int] = []
    while len(free) < count and candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", candidates[-1]))
            free.append(candidates[-1])
        candidates.pop()
    return free


def read_plan(path: Path) -> Plan | None:
    """What a cluster was made for, None if it has not been made. Raises: SupervisorError."""
    try:
        fields: Any = json.loads(path.read_text())
        plan = Plan(int(fields["partitions"]), tuple(Member(**member) for member in fields["members"]))
        if not plan.members:
            raise ValueError("it names no node")
        return plan
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise SupervisorError(f"{path} is damaged, or not of `ringkv up`: {error}") from error


def _refuse_change(data: Path, what: str, known: int, asked: int) -> None:
    if known != asked:
        raise SupervisorError(f"{data} was made with --{what} {known}, not {asked}; give another --data for that")


def _write_private(path: Path, text: str) -> None:
    """Replaces a file whole: a reader, or the next start, finds the old text or the new."""
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock of the data directory; the kernel lets go of it with the process."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SupervisorError(f"another `ringkv up` runs on {path.parent}") from error
        yield


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


def _describe(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _die_with(parent: int) -> Callable[[], None]:
    """What a child runs before it becomes a node: from then on it is killed when its parent ends."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the kernel was asked
            os.kill(os.getpid(), signal.SIGKILL)

    return ask_kernel
