"""X: faults of several kinds at once, all drawn from the seed."""

from collections.abc import Callable
from errno import EIO, ENOSPC

from tests.chaos.arena import Arena
from tests.chaos.scenario import scenario
from tests.chaos.switch import Quality

ROUNDS = 3
AT_ONCE_MAX = 3
HOLD_SECONDS = (1.0, 10.0)


def one(arena: Arena) -> str:
    return arena.rng.choice(arena.names)


def kill(arena: Arena) -> None:
    arena.kill(one(arena))


def kill_all(arena: Arena) -> None:
    arena.kill(*arena.names)
    arena.start(*arena.names)


def pause(arena: Arena) -> None:
    arena.pause(*arena.choose(arena.rng.randint(1, len(arena.names) - 1)))


def isolate(arena: Arena) -> None:
    arena.network.isolate(one(arena))


def split(arena: Arena) -> None:
    few = arena.choose(arena.minority)
    arena.network.split(few, arena.others(*few))


def one_way(arena: Arena) -> None:
    source, target = arena.rng.sample(arena.names, 2)
    arena.network.cut([(source, target)])


def bridge(arena: Arena) -> None:
    common = one(arena)
    rest = arena.others(common)
    arena.network.split(rest[: len(rest) // 2], rest[len(rest) // 2 :])


def degrade(arena: Arena) -> None:
    rng = arena.rng
    quality = rng.choice(
        [
            Quality(loss=rng.uniform(0.01, 0.3)),
            Quality(delay_ms=rng.uniform(10, 150), jitter_ms=rng.uniform(0, 50)),
            Quality(delay_ms=5, jitter_ms=5, reorder=0.3, duplicate=0.2),
            Quality(kbit=rng.choice([200, 1_000])),
        ]
    )
    source = one(arena)
    arena.network.degrade({(source, other): quality for other in arena.others(source)})


def reset(arena: Arena) -> None:
    arena.network.reset_connections(one(arena))


def clock(arena: Arena) -> None:
    arena.harm(one(arena), clock_ms=arena.rng.choice([-3_600_000, -100, 100, 3_600_000]))


def slow_syncs(arena: Arena) -> None:
    arena.harm(one(arena), fsync_delay_ms=arena.rng.choice([20, 100, 500]))


def no_space(arena: Arena) -> None:
    victim = one(arena)
    arena.may_end(victim)  # it cannot start without any, if something else has ended it
    arena.harm(victim, path=f"/{victim}/", write_errno=ENOSPC)


def sync_fails(arena: Arena) -> None:
    victim = one(arena)
    arena.may_end(victim)
    arena.harm(victim, path=f"/{victim}/log/", fsync_errno=EIO, fsync_after=arena.rng.randrange(50), fsync_times=1)


def torn_write(arena: Arena) -> None:
    victim = one(arena)
    arena.may_end(victim)
    torn, after = arena.rng.randrange(1, 200), arena.rng.randrange(50)
    arena.harm(victim, path=f"/{victim}/log/", write_torn=torn, write_after=after)


def cut_power(arena: Arena) -> None:
    victim = one(arena)
    arena.cut_power(victim)
    arena.start(victim)


def cut_power_of_all(arena: Arena) -> None:
    arena.cut_power(*arena.names)
    arena.start(*arena.names)


HARMS: dict[str, Callable[[Arena], None]] = {
    "kill": kill,
    "kill-all": kill_all,
    "pause": pause,
    "isolate": isolate,
    "split": split,
    "one-way": one_way,
    "bridge": bridge,
    "degrade": degrade,
    "reset": reset,
    "clock": clock,
    "slow-syncs": slow_syncs,
    "no-space": no_space,
    "sync-fails": sync_fails,
    "torn-write": torn_write,
    "power-cut": cut_power,
    "power-cut-all": cut_power_of_all,
}


@scenario("X-mixture", altered="small-tables", big_share=0.1)
def mixture(arena: Arena) -> None:
    """Nothing but safety is expected while it lasts, and that all works again afterwards."""
    for _ in range(ROUNDS):
        drawn = arena.rng.sample(sorted(HARMS), arena.rng.randint(1, AT_ONCE_MAX))
        with arena.fault("X-" + "+".join(drawn), None):
            for kind in drawn:
                HARMS[kind](arena)
            arena.hold(arena.rng.uniform(*HOLD_SECONDS))
