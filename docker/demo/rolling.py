"""Every container is replaced, one after the other, while clients write."""

import time

from load import judge, load
from stage import NODES, claim, say, show, stage


def main() -> None:
    with stage("Rolling: every container is replaced") as cluster, load() as running:
        say("Clients put and get through all three nodes.")
        show(f"{running.sample(3).rate:,.0f} operations a second")
        running.bench.gap_seconds = 0.0
        for node in NODES:
            say(f"{node} is stopped, removed, and started anew, as for another image. Its volume stays.")
            began = time.monotonic()
            cluster.compose("rm", "--stop", "--force", node)
            cluster.compose("up", "--detach", "--no-build", "--no-deps", node)
            cluster.wait_ready(node)
            during = running.bench.take()
            show(
                f"ready again after {time.monotonic() - began:.1f} s; {during.rate:,.0f} operations a second, "
                f"at most {running.bench.gap_seconds:.2f} s without an acknowledged write"
            )
        claim(running.bench.gap_seconds < 1, "no second without an acknowledged write")
        running.finish()
        judge(running.bench)


if __name__ == "__main__":
    main()
