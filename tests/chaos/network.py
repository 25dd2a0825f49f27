"""Network namespaces on one machine: one for each node, joined by a bridge that has one of its own.

    cut      what comes from one node to another is dropped, where it arrives (nftables)
    degrade  what goes from one node to another takes a lane of the switch (switch.py) instead of the bridge

Nothing here has a name on the host. A namespace lives as long as this process, or one started in it,
and takes its links, addresses and rules with it: even a killed run leaves nothing behind, and two
runs at once have the same addresses and never meet.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.chaos.switch import Quality, Switch

TOOLS = {"ip": "iproute2", "nft": "nftables", "nsenter": "util-linux", "unshare": "util-linux", "setpriv": "util-linux"}
COMMAND_SECONDS = 10.0


def missing() -> str:
    """Why there can be no network of namespaces here; empty when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if absent:
        return f"not installed: {', '.join(absent)}"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is not there"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return f"no namespace can be made: {made.stderr.strip()}" if made.returncode else ""


class Namespace:
    """One network namespace, kept alive by a descriptor of this process."""

    def __init__(self) -> None:
        with subprocess.Popen(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        ) as founder:
            assert founder.stdin is not None
            assert founder.stdout is not None
            founder.stdin.write(b"\n")
            founder.stdin.flush()
            if not founder.stdout.read(1):
                raise OSError("a network namespace cannot be made")
            self._descriptor = os.open(f"/proc/{founder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.inode = os.fstat(self._descriptor).st_ino

    @property
    def path(self) -> str:
        """Names the namespace for every process of this user, as long as this one keeps it open."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def command(self, *words: str) -> list[str]:
        """What runs a command in here; it ends with the thread that starts it, at the latest."""
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={self.path}", "--", *words]

    def run(self, *words: str, text: str | None = None) -> str:
        """Its output. Raises: RuntimeError with what it said when it failed."""
        done = subprocess.run(
            self.command(*words), input=text, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Network:
    """A namespace per name, each reaching all others. A context manager."""

    def __init__(self, names: Sequence[str], seed: int = 1) -> None:
        self.names = tuple(names)
        self.seed = seed
        self._stack = contextlib.ExitStack()
        self._switch: Switch | None = None
        self._drops: dict[str, dict[str, str]] = {name: {} for name in names}
        self._muted: set[str] = set()
        self._routed: set[tuple[str, str]] = set()
        self.namespaces: dict[str, Namespace] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            hub = Namespace()
            undo.callback(hub.close)
            hub.run("ip", "link", "add", "br0", "type", "bridge")
            hub.run("ip", "link", "set", "br0", "up")
            for number, name in enumerate(self.names, 1):
                space = self.namespaces[name] = Namespace()
                undo.callback(space.close)
                self._join(hub, space, number)
            self._stack = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _join(self, hub: Namespace, space: Namespace, number: int) -> None:
        link = f"v{number}"
        hub.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space.path)
        hub.run("ip", "link", "set", link, "master", "br0", "up")
        space.run("ip", "addr", "add", f"10.99.0.{number}/24", "dev", "eth0")
        space.run("ip", "link", "set", "eth0", "up")
        space.run("ip", "link", "set", "lo", "up")
        # What takes the switch arrives by another device than the one that the answer takes.
        for device in ("all", "default", "eth0"):
            space.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv4/conf/{device}/rp_filter")
        rules = "add table ip chaos\nadd chain ip chaos arriving { type filter hook input priority 0; }\n"
        space.run("nft", "-f", "-", text=rules)

    def address(self, name: str) -> str:
        return f"10.99.0.{self.names.index(name) + 1}"

    def others(self, name: str) -> list[str]:
        return [other for other in self.names if other != name]

    # Cuts. Each change of one node's rules is one transaction.

    def cut(self, pairs: Iterable[tuple[str, str]], rule: str = "drop") -> None:
        """From now on `rule` decides what becomes of packets from the first of each pair to the second."""
        changed = set()
        for source, target in pairs:
            self._drops[target][source] = rule
            changed.add(target)
        self._write_rules(changed)

    def cut_both(self, pairs: Iterable[tuple[str, str]], rule: str = "drop") -> None:
        self.cut([pair for a, b in pairs for pair in ((a, b), (b, a))], rule)

    def isolate(self, name: str) -> None:
        self.cut_both((name, other) for other in self.others(name))

    def split(self, *sides: Iterable[str]) -> None:
        """Cut everything between the sides."""
        for one, other in itertools.combinations([list(side) for side in sides], 2):
            self.cut_both(itertools.product(one, other))

    def mend(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take back what was cut, in both directions."""
        changed = set()
        for a, b in pairs:
            self._drops[a].pop(b, None)
            self._drops[b].pop(a, None)
            changed |= {a, b}
        self._write_rules(changed)

    def _write_rules(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            lines = ["flush chain ip chaos arriving"]
            for source, rule in self._drops[name].items():
                lines.append(f"add rule ip chaos arriving ip saddr {self.address(source)} {rule}")
            self.namespaces[name].run("nft", "-f", "-", text="\n".join(lines) + "\n")

    def mute(self, name: str, port: int) -> None:
        """What a server on this port of `name` tells clients of the same node is lost."""
        rule = f"add rule ip chaos arriving iif lo tcp sport {port} drop\n"
        self.namespaces[name].run("nft", "-f", "-", text=rule)
        self._muted.add(name)

    def reset_connections(self, name: str) -> None:
        """Every TCP connection of `name` with another node is reset, whatever is on its way."""
        others = [f"dst {self.address(other)}" for other in self.others(name)]
        self.namespaces[name].run("ss", "--kill", "--tcp", " or ".join(others))

    # Lanes.

    def degrade(self, lanes: Mapping[tuple[str, str], Quality]) -> None:
        """From now on packets of each pair take a lane of the given quality."""
        if self._switch is None:
            self._switch = self._stack.enter_context(Switch([self.namespaces[n].path for n in self.names], self.seed))
            for name in self.names:
                self.namespaces[name].run("ip", "link", "set", "tun0", "up")
                self.namespaces[name].run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/tun0/rp_filter")
        for (source, target), quality in lanes.items():
            self._switch.set(self.names.index(source), self.names.index(target), quality)
            if (source, target) not in self._routed:
                self._routed.add((source, target))
                route = [f"{self.address(target)}/32", "dev", "tun0", "src", self.address(source)]
                self.namespaces[source].run("ip", "route", "replace", *route)

    def degrade_all(self, quality: Quality) -> None:
        self.degrade(dict.fromkeys(itertools.permutations(self.names, 2), quality))

    def heal(self) -> None:
        """Everyone reaches everyone, at full speed."""
        cut = [name for name, drops in self._drops.items() if drops or name in self._muted]
        self._muted.clear()
        for name in cut:
            self._drops[name].clear()
        self._write_rules(cut)
        for source, target in sorted(self._routed):
            self.namespaces[source].run("ip", "route", "del", f"{self.address(target)}/32", "dev", "tun0")
        self._routed.clear()
        if self._switch is not None:
            self._switch.clear()
