"""All containers are killed at once, and only their volumes are kept."""

import time

from load import judge, load
from stage import NODES, claim, run, say, show, stage


def main() -> None:
    with stage("Durability: everything is killed at once") as cluster, load() as running:
        say("Clients put and get through all three nodes.")
        show(f"{running.sample(4).rate:,.0f} operations a second")

        say("All three containers are killed at the same moment, in the middle of writes, and removed.")
        written = running.bench.written
        containers = [cluster.container(node) for node in NODES]
        for container in containers:
            run("docker", "update", "--restart", "no", container)
        run("docker", "kill", *containers)
        run("docker", "rm", *containers)
        show(f"{written:,} puts had been acknowledged by then; what is left is three volumes")
        claim(running.sample(1).rate == 0, "nobody answers any more")

        say("New containers start on the old volumes.")
        began = time.monotonic()
        cluster.up()
        show(f"ready after {time.monotonic() - began:.1f} s")
        after = running.sample(3)
        show(f"{after.rate:,.0f} operations a second")
        claim(after.rate > 0, "the same clients go on")
        running.finish()

        say("And what was acknowledged before?")
        judge(running.bench)


if __name__ == "__main__":
    main()
