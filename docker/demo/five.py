"""Five containers that start in the worst order, and end when they are asked to."""

import time

from stage import claim, run, say, show, stage, wait_until

FIVE = {f"n{number}": f"http://127.0.0.1:800{number}" for number in range(1, 6)}


def main() -> None:
    with stage("Five: in any order", FIVE, is_up=False) as cluster:
        say("Five nodes, founded together. Two of them start alone.")
        cluster.compose("up", "--detach", "--no-build", "n4", "n5")
        wait_until(lambda: cluster.is_alive("n4") and cluster.is_alive("n5"), "n4 and n5 listen")
        claim(not cluster.is_ready("n5"), "alone they listen, and say that they are not ready")

        say("The others follow.")
        began = time.monotonic()
        cluster.up()
        show(f"all five are ready {time.monotonic() - began:.1f} s later")
        claim(cluster.ask("n5", "PUT", "/v1/kv/greeting", "hello").status == 204, "a put through the last")
        claim(cluster.ask("n1", "GET", "/v1/kv/greeting").text == "hello", "a get through the first")

        containers = [cluster.container(node) for node in FIVE]
        health = "{{.State.Health.Status}} {{.Config.User}} {{.HostConfig.ReadonlyRootfs}}"

        def are_healthy() -> bool:
            said = run("docker", "inspect", "--format", health, *containers).splitlines()
            return said == ["healthy 10001:10001 true"] * len(FIVE)

        wait_until(are_healthy, "all healthy")
        claim(True, "the engine finds all of them healthy; none is root, none can write its own file system")

        say("They are asked to end: SIGTERM to the one process in each.")
        began = time.monotonic()
        run("docker", "stop", "--time", "15", *containers)
        codes = run("docker", "inspect", "--format", "{{.State.ExitCode}}", *containers).split()
        show(f"ended after {time.monotonic() - began:.1f} s, with {', '.join(codes)}")
        claim(codes == ["0"] * len(FIVE), "each has drained and ended by itself; none had to be killed")


if __name__ == "__main__":
    main()
