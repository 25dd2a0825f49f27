"""C: clocks that jump and drift. No election and no write ever asks the wall clock."""

import time

from tests.chaos.arena import Arena
from tests.chaos.scenario import scenario


@scenario("C1-clock-jumps")
def clock_jumps(arena: Arena) -> None:
    victim = arena.leader()
    with arena.fault("C1-clock-jumps", [arena.names]):
        arena.forced()
        for jump in (3_600_000, -3_600_000, 3_600_000):
            arena.harm(victim, clock_ms=jump)
            time.sleep(2)


@scenario("C1-clock-strobe")
def clock_strobe(arena: Arena) -> None:
    victim = arena.leader()
    with arena.fault("C1-clock-strobe", [arena.names]):
        arena.forced()
        for step in range(40):
            arena.harm(victim, clock_ms=100 if step % 2 else -100)
            time.sleep(0.1)


@scenario("C1-clock-drift")
def clock_drift(arena: Arena) -> None:
    """One clock runs half as fast again, another half as fast."""
    quick, slow = arena.choose(2)
    with arena.fault("C1-clock-drift", [arena.names]):
        arena.harm(quick, clock_rate_ppm=500_000)
        arena.harm(slow, clock_rate_ppm=-500_000)
        arena.hold(6)


@scenario("C2-monotonic-jumps")
def monotonic_jumps(arena: Arena) -> None:
    """The clock that timers go by leaps ahead: elections perhaps, or an end, but no wrong answer.

    It cannot be taken back without a restart, for it never goes backwards.
    """
    victim = arena.leader()
    with arena.fault("C2-monotonic-jumps", None):
        arena.may_end(victim)
        for seconds in (2, 10, 60, 600):
            arena.harm(victim, monotonic_ms=seconds * 1_000)
            arena.hold(2)
        arena.kill(victim)
