"""What a cluster costs that nobody asks for anything: the processor time of its nodes, from /proc/PID/stat.

    python -m tests.benchmarks.idle [--partitions 1024] [--nodes 3] [--seconds 30]

A new cluster is started, with the time until it is ready, and left alone until its groups sleep.
"""

import argparse
import os
import signal
import tempfile
import time
from pathlib import Path

from tests.cluster.supervised import Supervised

SETTLE_SECONDS = 15.0


def processor_seconds(pid: int) -> float:
    """What a process has used so far, in user and in system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=1024)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        cluster = Supervised(Path(directory), "--partitions", str(options.partitions), "--nodes", str(options.nodes))
        began = time.perf_counter()
        cluster.start_ready()
        try:
            ready = time.perf_counter() - began
            print(f"{options.nodes} nodes, {options.partitions} partitions: ready in {ready:.1f} s")
            time.sleep(SETTLE_SECONDS)
            before = {name: processor_seconds(cluster.node_pid(name)) for name in cluster.nodes}
            began = time.perf_counter()
            time.sleep(options.seconds)
            passed = time.perf_counter() - began
            for name, used in before.items():
                share = (processor_seconds(cluster.node_pid(name)) - used) / passed
                print(f"{name}: {share:.1%} of a core over {passed:.0f} s")
        finally:
            cluster.send(signal.SIGTERM)
            cluster.wait(30)


if __name__ == "__main__":
    main()
