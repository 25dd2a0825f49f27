"""A cluster in namespaces with clients on every node: where scenarios happen.

A scenario hurts the cluster inside `with arena.fault(…):`, waits there with `arena.hold(…)`, and leaves. Leaving
heals everything (links, pauses, disks, clocks, dead nodes) and waits until all works again.
"""

import contextlib
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.chaos import cgroup
from tests.chaos.counting import COUNTERS
from tests.chaos.janitor import Janitor
from tests.chaos.network import Network
from tests.chaos.node import HTTP_PORT, ChaosNode
from tests.chaos.plan import Plan
from tests.chaos.record import Fault, Record
from tests.chaos.recovery import recover
from tests.chaos.shim import NOTICE_SECONDS, Shim, compile_shim
from tests.chaos.swarm import RemoteAgent, now
from tests.chaos.usage import Usage, measure
from tests.cluster.nodes import wait_until

READY_SECONDS = 30.0
LIVE_SECONDS = 5.0
CALLS_MAX = 5
VERIFY_SECONDS = 60.0
READ_DEADLINE_MS = 10_000


class Arena:
    """The cluster, its clients and the record of all they do. A context manager that leaves nothing but logs."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.directory = directory
        self.plan = plan
        self.rng = random.Random(plan.seed)
        self.record = Record()
        self.names = plan.names
        self.keys = [f"hot-{number}" for number in range(plan.keys)]
        self.failures: list[str] = []
        self.network = Network(self.names, plan.seed)
        self.janitor = Janitor()
        self.nodes: dict[str, ChaosNode] = {}
        self.agents: dict[str, RemoteAgent] = {}
        self.replicas: dict[str, frozenset[str]] = {}
        self.partition: dict[str, int] = {}
        self.usage: dict[str, Usage] = {}
        self._expected_down: set[str] = set()
        self._may_end: set[str] = set()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._stack as undo:
            self.directory.mkdir(parents=True, exist_ok=True)
            undo.enter_context(self.janitor)
            undo.enter_context(self.network)
            library = compile_shim(self.directory)
            secret = self._make_secret()
            for number, name in enumerate(self.names):
                self._make_disk(name)
                shim = Shim(library, self.directory, name)
                for file in shim.files:
                    self.janitor.will_clear("file", file)
                node = self.nodes[name] = ChaosNode(self.plan, name, self.network, self.directory, secret, shim)
                undo.callback(self._end, node)
                node.start()
                space, log = self.network.namespaces[name], self.directory / f"{name}.agent.log"
                agent = RemoteAgent(number, name, space, node.address, HTTP_PORT, self.record, log)
                self.agents[name] = agent
                undo.callback(agent.close)
            self.wait_ready()
            self._locate_keys()
            self._stack = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @staticmethod
    def _end(node: ChaosNode) -> None:
        if node.is_running:
            node.kill()

    def _make_secret(self) -> Path:
        secret = self.directory / "secret"
        self.janitor.will_clear("file", secret)
        secret.write_bytes(random.randbytes(32).hex().encode())
        secret.chmod(0o600)
        return secret

    def _make_disk(self, name: str) -> None:
        """A directory, on a file system of its own if the plan says so."""
        path = self.directory / name
        self.janitor.will_clear("tree", path)
        if name in self.plan.small_disks:
            path.mkdir()
            self.janitor.will_clear("mount", path)
            options = f"size={self.plan.disk_bytes},mode=700"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)

    # What the cluster says of itself.

    def ask(self, name: str, target: str) -> Any:
        """What the node answers to a GET. Raises: AssertionError when it does not."""
        reply = self.agents[name].ask("GET", target)
        assert reply.status == 200, f"{name} {target}: {reply.status} {reply.body}"
        return reply.json

    def is_ready(self, name: str) -> bool:
        return self.agents[name].ask("GET", "/readyz", timeout=2).status == 200

    def wait_ready(self, names: Iterable[str] | None = None) -> None:
        for name in names or self.names:

            def ready_or_dead(name: str = name) -> bool:
                return self.is_ready(name) or not self.nodes[name].is_running

            wait_until(ready_or_dead, READY_SECONDS, f"{name} is ready")
            assert self.nodes[name].is_running, f"{name} ended: {self.nodes[name].log_text()[-2_000:]}"

    def _locate_keys(self) -> None:
        for key in self.keys:
            place = self.ask(self.names[0], f"/v1/locate/{key}")
            self.replicas[key] = frozenset(place["replicas"])
            self.partition[key] = place["partition"]

    def leader(self, key: str | None = None) -> str:
        """Who leads the partition of a key, by default that of the first."""
        for name in self.running():
            reply = self.agents[name].ask("GET", f"/v1/locate/{key or self.keys[0]}", timeout=2)
            if reply.status == 200 and reply.json["leader"] is not None:
                return str(reply.json["leader"])
        raise AssertionError("nobody knows a leader")

    def follower(self, key: str | None = None) -> str:
        leader = self.leader(key)
        return self.rng.choice(sorted(self.replicas[key or self.keys[0]] - {leader}))

    def running(self) -> list[str]:
        return [name for name in self.names if self.nodes[name].is_running and name not in self._expected_down]

    def others(self, *names: str) -> list[str]:
        return [name for name in self.names if name not in names]

    def choose(self, count: int) -> list[str]:
        return sorted(self.rng.sample(self.names, count))

    @property
    def minority(self) -> int:
        """How many nodes can be lost."""
        return (len(self.names) - 1) // 2

    # Load.

    def load(self) -> None:
        """Start the clients, and wait until the load is what a run needs to count."""
        for name in self.names:
            self.agents[name].start(
                self.plan.clients,
                self.keys,
                self.plan.seed,
                self.plan.deadline_ms,
                self.plan.pace_ms,
                self.plan.big_share,
                {other: (node.address, HTTP_PORT) for other, node in self.nodes.items()},
            )
        self.work(2.0)
        self.usage = {name: measure(self.nodes[name].pid) for name in self.names}

    def work(self, seconds: float) -> None:
        """Let the clients work, on a healthy cluster."""
        time.sleep(seconds)

    def unload(self) -> None:
        for agent in self.agents.values():
            agent.stop()
        for agent in self.agents.values():
            agent.wait()

    # Faults.

    @contextlib.contextmanager
    def fault(
        self, name: str, sides: Sequence[Iterable[str]] | None = None, live_seconds: float = LIVE_SECONDS
    ) -> Iterator[Fault]:
        """What is done inside is healed at the end; see `record.Fault` for what may be expected of it."""
        groups = tuple(frozenset(side) for side in sides) if sides is not None else None
        fault = Fault(name, now(), groups, live_seconds, dict(self.replicas))
        self.record.faults.append(fault)
        try:
            yield fault
        finally:
            fault.ended = now()
            fault.forced = fault.forced or fault.ended
            self.heal()
        fault.recovered = recover(self, fault.ended)
        self._may_end.clear()

    def hold(self, seconds: float) -> None:
        """Leave the fault, which is in force now, as it is for a while."""
        self.forced()
        time.sleep(seconds)

    def forced(self) -> None:
        fault = self.record.faults[-1]
        fault.forced = fault.forced or now()

    def heal(self) -> None:
        """Take back everything that was done to the network, the processes, the disks and the clocks."""
        self.network.heal()
        for node in self.nodes.values():
            node.shim.clear()
            if node.is_running:
                node.resume()
        time.sleep(NOTICE_SECONDS)
        self._check_exits()
        for node in self.nodes.values():
            if not node.is_running:
                node.start()
        self._expected_down.clear()

    def start_ended(self) -> None:
        """Start, once, a node that its fault may end: it takes a second to do so, and may have begun before healing."""
        for name in sorted(self._may_end):
            if not self.nodes[name].is_running:
                self._may_end.discard(name)
                self.nodes[name].start()

    def _check_exits(self) -> None:
        for name, node in self.nodes.items():
            if not node.is_running and name not in self._expected_down | self._may_end:
                self.failures.append(f"{name} ended by itself: {node.log_text()[-500:]}")

    # What a scenario does to processes and disks.

    def kill(self, *names: str) -> None:
        """SIGKILL, to all of them before the first is waited for."""
        self._expected_down |= set(names)
        for name in names:
            self.nodes[name].send(signal.SIGKILL)
        for name in names:
            self.nodes[name].wait(10)

    @contextlib.contextmanager
    def killed_at(self, name: str, call: str, rng: random.Random) -> Iterator[None]:
        """The node is killed as it enters one of its next few system calls of this name."""
        inject = f"inject={call}:signal=SIGKILL:when={rng.randint(1, CALLS_MAX)}"
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
        with subprocess.Popen([*command, "-p", f"{self.nodes[name].pid}"], stderr=subprocess.PIPE) as tracer:
            try:
                yield
            finally:
                tracer.terminate()

    def start(self, *names: str) -> None:
        for name in names:
            self.nodes[name].start()
            self._expected_down.discard(name)

    def terminate(self, name: str) -> None:
        """SIGTERM, and the end that follows, which must be clean."""
        self._expected_down.add(name)
        self.nodes[name].send(signal.SIGTERM)
        code = self.nodes[name].wait(30)
        if code:
            self.failures.append(f"{name} was asked to end and did so with {code}")

    def revive(self, name: str) -> None:
        """What an operator does with a node that says that one of its replicas stopped: restart it."""
        reply = self.agents[name].ask("GET", "/readyz?verbose")
        if "stopped" in reply.body:
            self.terminate(name)

    def may_end(self, name: str) -> None:
        """Whether or not the fault ends this node, once or again, it is no failure."""
        self._may_end.add(name)

    def await_exit(self, name: str, seconds: float = 10.0) -> int:
        """The exit code of a node that must end because of its fault."""
        self._expected_down.add(name)
        try:
            return self.nodes[name].wait(seconds)
        except subprocess.TimeoutExpired:
            self.failures.append(f"{self.record.faults[-1].name}: {name} goes on")
            return 0

    def pause(self, *names: str) -> None:
        for name in names:
            self.nodes[name].pause()

    def harm(self, name: str, **faults: str | int) -> None:
        """Set the shim's faults (shim.py) of a node."""
        self.nodes[name].shim.set(**faults)
        time.sleep(NOTICE_SECONDS)

    @contextlib.contextmanager
    def throttled(self, name: str, share: float) -> Iterator[None]:
        """The node has so much of one processor."""
        group = cgroup.new_group()
        self.janitor.will_clear("group", group)
        with cgroup.throttled(self.nodes[name].pid, share, group):
            yield

    @contextlib.contextmanager
    def file_limit(self, name: str, files: int) -> Iterator[None]:
        """The node may open no file beyond descriptor number `files`."""
        pid = self.nodes[name].pid
        before = resource.prlimit(
            pid, resource.RLIMIT_NOFILE, (files, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1])
        )
        try:
            yield
        finally:
            if self.nodes[name].is_running:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    def cut_power(self, *names: str) -> int:
        """Kill them and take what they had not synced; returns how many bytes that was."""
        self.kill(*names)
        return sum(self.nodes[name].shim.cut_power(self.nodes[name].data) for name in names)

    # The end.

    def finish(self) -> None:
        """Stop the load, verify what every node has on disk, restart all, and read every key through each."""
        self.unload()
        self.heal()
        self._measure_again()
        for name in self.names:
            self.terminate(name)
        self._verify_data()
        self.start(*self.names)
        self.wait_ready()
        for agent in self.agents.values():
            agent.read(self.keys, READ_DEADLINE_MS)
        for agent in self.agents.values():
            agent.wait()
        for name, agent in self.agents.items():
            replies = {key: agent.ask("GET", f"/v1/kv/{key}", timeout=READ_DEADLINE_MS / 1_000) for key in COUNTERS}
            self.record.found[name] = {key: int(reply.body) for key, reply in replies.items() if reply.status == 200}
        self._check_exits()

    def _verify_data(self) -> None:
        """Every byte of every stopped node is sound, says the command that is there for it."""
        command = [sys.executable, "-m", "app.cli", "verify"]
        checks = {
            name: subprocess.Popen([*command, node.data], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for name, node in self.nodes.items()
        }
        for name, check in checks.items():
            told, _ = check.communicate(timeout=VERIFY_SECONDS)
            if check.returncode:
                self.failures.append(f"the data of {name} is damaged: {told[-1_000:]}")

    def _measure_again(self) -> None:
        self.wait_ready()
        for name, before in self.usage.items():
            after = measure(self.nodes[name].pid)
            self.failures += [f"{name}: {leak}" for leak in after.grown_since(before)]

    def logs(self) -> Iterator[tuple[str, str]]:
        for name, node in self.nodes.items():
            yield name, node.log_text()
