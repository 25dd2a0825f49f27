"""The container that leads most partitions is killed while writes flow."""

import time

from load import judge, load
from stage import NODES, claim, run, say, show, stage, wait_until


def main() -> None:
    with stage("Failover: a leader is killed") as cluster, load() as running:
        say("Clients put and get through all three nodes.")
        before = running.sample(3)
        show(f"{before.rate:,.0f} operations a second, p99 {before.percentile(0.99) or 0:.1f} ms")
        leaders = cluster.leaders("n1")
        victim = max(sorted(set(leaders) & set(NODES)), key=lambda node: len(leaders[node]))
        other = next(node for node in NODES if node != victim)

        say(f"{victim} leads {len(leaders[victim])} of 16 partitions. It is killed: SIGKILL, no time to say goodbye.")
        container = cluster.container(victim)
        run("docker", "update", "--restart", "no", container)
        running.bench.gap_seconds = 0.0
        killed = time.monotonic()
        run("docker", "kill", container)
        wait_until(lambda: victim not in (now := cluster.leaders(other)) and "nobody" not in now, "others lead", 20)
        show(f"the two that are left lead all of its partitions, {time.monotonic() - killed:.2f} s later")
        during = running.sample(4)
        show(f"longest time without an acknowledged write: {running.bench.gap_seconds:.2f} s")
        show(f"meanwhile {during.rate:,.0f} operations a second")
        claim(running.bench.gap_seconds < 5, "writes went on within seconds, by themselves")

        say(f"{victim} comes back, and catches up with what it has missed.")
        run("docker", "start", container)
        cluster.wait_ready(victim)
        goal = cluster.applied(other)

        def has_caught_up() -> bool:
            now = cluster.applied(victim)
            return all(now[partition] >= index for partition, index in goal.items())

        seconds = wait_until(has_caught_up, f"{victim} caught up")
        show(f"{seconds:.2f} s after it was ready it has all that the others had then")
        running.finish()

        say("And what was acknowledged before, during and after?")
        judge(running.bench)


if __name__ == "__main__":
    main()
