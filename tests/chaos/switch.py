"""A switch in user space, for kernels that cannot delay or lose packets by themselves.

Each namespace has a device tun0 whose other end is here. A packet that a namespace routes to tun0
is read, takes the lane from its sender to its target and is written to the target's tun0, late,
twice, out of order or never, as the quality of the lane has it. Chance comes from one seed.

    order := JSON line ["set", from, to, {quality}] | ["clear"]     each answered by an empty line
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

TUN_DEVICE = b"tun0"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
PACKET_BYTES_MAX = 65_536
PACKETS_AT_ONCE = 64
QUEUE_SECONDS_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Quality:
    """How a lane treats packets; chances are from 0 to 1.

    kbit  a second; 0 is no bound
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    kbit: float = 0.0


class Lane:
    """The way from one node to another: decides when each packet arrives."""

    def __init__(self, rng: random.Random) -> None:
        self.quality = Quality()
        self._rng = rng
        self._free_at = 0.0
        self._last_arrival = 0.0

    def arrivals(self, size: int, now: float) -> list[float]:
        """When a packet of so many bytes that enters now arrives: never, once or twice."""
        quality, rng = self.quality, self._rng
        if rng.random() < quality.loss:
            return []
        at = now
        if quality.kbit:
            busy_until = max(self._free_at, now) + size * 8 / (quality.kbit * 1_000)
            if busy_until - now > QUEUE_SECONDS_MAX:
                return []
            self._free_at = at = busy_until
        at += max(0.0, quality.delay_ms + rng.uniform(-1, 1) * quality.jitter_ms) / 1_000
        if rng.random() < quality.reorder:
            at = now  # it overtakes all that is on its way
        else:
            at = self._last_arrival = max(at, self._last_arrival)
        return [at, at] if rng.random() < quality.duplicate else [at]


class Switch:
    """The switch as a process of its own. A context manager."""

    def __init__(self, namespaces: Sequence[str], seed: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.switch", str(seed), *namespaces],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)

    def set(self, source: int, target: int, quality: Quality) -> None:
        self._order(["set", source, target, asdict(quality)])

    def clear(self) -> None:
        """All lanes are perfect again; what is on its way still arrives."""
        self._order(["clear"])

    def _order(self, order: list[object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "\n":
            raise RuntimeError(f"the switch has ended: {self._process.wait()}")


class _Forwarder:
    """What the process does."""

    def __init__(self, devices: list[int], seed: int) -> None:
        numbers = range(len(devices))
        self._devices = devices
        self._lanes = {(a, b): Lane(random.Random(f"{seed}/{a}/{b}")) for a in numbers for b in numbers if a != b}
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._count = 0

    def run(self, orders: int) -> None:
        """Until `orders` ends."""
        numbers = {device: number for number, device in enumerate(self._devices)}
        pending = b""
        while True:
            wait = max(0.0, self._queue[0][0] - time.monotonic()) if self._queue else None
            ready = select.select([*self._devices, orders], [], [], wait)[0]
            for device in ready:
                if device != orders:
                    self._take(numbers[device], device)
                    continue
                data = os.read(orders, PACKET_BYTES_MAX)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
                    os.write(1, b"\n")
            self._deliver()

    def _obey(self, order: list[object]) -> None:
        if order[0] == "clear":
            for lane in self._lanes.values():
                lane.quality = Quality()
            return
        _, source, target, quality = order
        assert isinstance(source, int)
        assert isinstance(target, int)
        assert isinstance(quality, dict)
        self._lanes[source, target].quality = Quality(**quality)

    def _take(self, source: int, device: int) -> None:
        for _ in range(PACKETS_AT_ONCE):
            try:
                packet = os.read(device, PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            # IPv4 alone; the target's number is the last byte of its address, which counts from one.
            if len(packet) < 20 or packet[0] >> 4 != 4:
                continue
            lane = self._lanes.get((source, packet[19] - 1))
            if lane is None:
                continue
            for at in lane.arrivals(len(packet), time.monotonic()):
                self._count += 1
                heapq.heappush(self._queue, (at, self._count, packet[19] - 1, packet))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._queue and self._queue[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._queue)
            try:
                os.write(self._devices[target], packet)
            except BlockingIOError:
                pass  # a full queue loses packets, as any switch does


def _open_tun(namespace: str) -> int:
    """A new device tun0 in the namespace; this thread stays there."""
    space = os.open(namespace, os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(space, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    os.close(space)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", TUN_DEVICE, IFF_TUN | IFF_NO_PI))
    return device


def main(seed: int, namespaces: Sequence[str]) -> None:
    """Forward until stdin ends."""
    forwarder = _Forwarder([_open_tun(path) for path in namespaces], seed)
    os.write(1, b"\n")
    forwarder.run(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
