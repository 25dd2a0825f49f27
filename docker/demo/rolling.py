"""Every container is replaced, one after the other, while clients write. Each comes back at another address."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from load import judge, load
from stage import NODES, PROJECT, claim, run, say, show, stage

PEERS = f"{PROJECT}_peers"


@contextmanager
def another_tenant() -> Iterator[None]:
    """A container that does nothing but take the first address that is free among the peers."""
    container = run("docker", "run", "--detach", "--network", PEERS, "--entrypoint", "sleep", "ringkv", "300").strip()
    try:
        yield
    finally:
        run("docker", "rm", "--force", container)


def address(container: str) -> str:
    """Under which its peers reach it."""
    networks = run("docker", "inspect", "--format", "{{json .NetworkSettings.Networks}}", container)
    return str(json.loads(networks)[PEERS]["IPAddress"])


def main() -> None:
    with stage("Rolling: every container is replaced") as cluster, ExitStack() as tenants, load() as running:
        say("Clients put and get through all three nodes.")
        show(f"{running.sample(3).rate:,.0f} operations a second")
        running.bench.gap_seconds = 0.0
        for node in NODES:
            say(f"{node} is stopped, removed, and started anew, as for another image. Its volume stays.")
            before = address(cluster.container(node))
            began = time.monotonic()
            cluster.compose("rm", "--stop", "--force", node)
            tenants.enter_context(another_tenant())
            cluster.compose("up", "--detach", "--no-build", "--no-deps", node)
            cluster.wait_ready(node)
            after = address(cluster.container(node))
            during = running.bench.take()
            show(
                f"ready again after {time.monotonic() - began:.1f} s; {during.rate:,.0f} operations a second, "
                f"at most {running.bench.gap_seconds:.2f} s without an acknowledged write"
            )
            claim(after != before, f"its address was {before} and is {after} now: another container had taken it")
        claim(running.bench.gap_seconds < 1, "no second without an acknowledged write")
        running.finish()
        judge(running.bench)


if __name__ == "__main__":
    main()
