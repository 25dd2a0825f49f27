"""One simulated node: a machine with a disk and clocks, and the process that runs on it or does not."""

import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from app.coordinator import Coordinator
from app.simulation.clock import NodeClock
from app.simulation.disk import SimulatedDisk, SimulatedSyncer
from app.simulation.loop import NodeLoop
from app.simulation.network import Network
from app.simulation.scheduler import Scheduler
from app.simulation.violation import Violation
from raftgroups import Host, HostError, HostOptions, Machine


class SimulatedNode:
    """A node across all its lives.

    host, coordinator   of this life, None until it serves
    is_on               its machine has power
    is_running          there is a process; it may be starting, paused or stopping
    is_up               it serves
    is_paused           it serves, but for now does nothing
    starts              how many lives it has had
    troubles            how often it started, stopped, stood still, went on, or got another clock
    failure             why it stopped by itself or would not start, None if it did not
    error               the first exception that nothing caught
    """

    def __init__(
        self,
        options: HostOptions,
        scheduler: Scheduler,
        network: Network,
        rng: random.Random,
        turned: Callable[["SimulatedNode"], None],
        trace: Callable[[str], None],
    ) -> None:
        self.name = options.name
        self.host: Host | None = None
        self.coordinator: Coordinator | None = None
        self.clock = NodeClock(offset=rng.random() * 1000.0)
        self.disk = SimulatedDisk(random.Random(rng.random()))
        self.is_on = True
        self.is_running = False
        self.starts = 0
        self.troubles = 0
        self.failure: str | None = None
        self.error: BaseException | None = None
        self._options = options
        self._scheduler = scheduler
        self._network = network
        self._rng = rng
        self._turned = turned
        self._trace = trace
        self._starts_again = False
        self.loop = self._new_loop()

    @property
    def is_up(self) -> bool:
        return self.is_running and self.coordinator is not None

    @property
    def is_paused(self) -> bool:
        return self.is_running and self.loop.is_paused

    # Lives.

    def start(self) -> None:
        """Switch the machine on, if need be, and start the process; one that is about to end starts anew then."""
        self._starts_again = self.is_running
        if self.is_running:
            return
        if not self.is_on:
            self.is_on = True
            self._network.machine_on(self.name)
        self.failure = None
        self.troubles += 1
        self.starts += 1
        self.is_running = True
        self._trace(f"{self.name} starts")
        self.loop = self._new_loop()
        self.spawn(self._open)

    def stop(self) -> None:
        """End in good order, as after SIGTERM."""
        host = self.host
        if self.is_up and host is not None:
            self.spawn(lambda: self._leave(host))

    def kill(self) -> None:
        """End the process, as kill -9 does: what it wrote is there."""
        if self.is_running:
            self._trace(f"{self.name} is killed")
            self._end(forgets=False)

    def lose_power(self) -> None:
        """End the machine: what was not synced may be gone."""
        if self.is_on:
            self._trace(f"{self.name} loses power")
            self._end(forgets=True)

    def pause(self) -> None:
        """Stand still, as after SIGSTOP."""
        if self.is_running and not self.loop.is_paused:
            self._trace(f"{self.name} stands still")
            self.troubles += 1
            self.loop.pause()

    def resume(self) -> None:
        if self.is_paused:
            self._trace(f"{self.name} goes on")
            self.troubles += 1
            self.loop.resume()

    def drift(self, rate: float) -> None:
        """Have both clocks run at another rate."""
        self.troubles += 1
        self.clock.drift(self._scheduler.now, rate)
        if self.is_running:
            self.loop.clock_changed()

    def spawn(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine in this life of the node."""
        loop = self.loop
        loop.call_soon(lambda: loop.create_task(make()))

    # Within a life.

    def _new_loop(self) -> NodeLoop:
        rng = random.Random(self._rng.random())
        return NodeLoop(  # type: ignore[abstract]  # what it leaves out raises NotImplementedError
            self.name, self._scheduler, self.clock, self._network, rng, self._after_turn, self._on_error
        )

    async def _open(self) -> None:
        loop, disk = self.loop, self.disk
        rng = random.Random(self._rng.random())
        machine = Machine(
            disk.files,
            rng,
            lambda: self.clock.wall_ms(self._scheduler.now),
            loop.time,
            loop.executor,
            loop.executor,
            lambda sync, synced, _: SimulatedSyncer(disk, loop, rng, sync, synced),
        )
        try:
            host = await Host.open(replace(self._options, pid=self.starts), machine)
        except HostError as error:
            self._stopped(str(error))
            return
        self.host, self.coordinator = host, Coordinator(host)
        self._trace(f"{self.name} serves")
        host.failure.add_done_callback(lambda failure: loop.create_task(self._fail(host, failure.result())))

    async def _fail(self, host: Host, reason: str) -> None:
        self._let_go()
        await host.close()
        self._stopped(reason)

    async def _leave(self, host: Host) -> None:
        await host.drain()
        self._let_go()
        await host.close()
        self._stopped(None)

    def _let_go(self) -> None:
        """Serve no more. What it has done in this turn is looked at now, for nobody will at its end."""
        try:
            self._turned(self)
        except Violation as violation:
            self.error = violation
        self.host = self.coordinator = None
        self.troubles += 1

    def _stopped(self, failure: str | None) -> None:
        """The process has ended by itself; its loop goes when its turn has ended."""
        self.failure = failure
        self._trace(f"{self.name} has stopped" + (f": {failure}" if failure else ""))
        life = self.loop

        def end() -> None:
            if self.loop is life:
                self._end(forgets=False)
                if self._starts_again:
                    self.start()

        self._scheduler.call_at(self._scheduler.now, end)

    def _after_turn(self) -> None:
        if self.disk.is_off:
            self.lose_power()
        else:
            self._turned(self)

    def _on_error(self, context: dict[str, Any]) -> None:
        if not self.disk.is_off:
            self.error = self.error or context.get("exception") or RuntimeError(context.get("message"))

    def _end(self, *, forgets: bool) -> None:
        self.is_running = False
        self.host = self.coordinator = None
        # Nothing that the end of its tasks does may reach the disk.
        self.disk.turn_off()
        self.loop.kill()
        self.is_on = not forgets
        self._network.process_gone(self.name, with_machine=forgets)
        self.disk.turn_on(forgets=forgets)
