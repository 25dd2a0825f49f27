"""A node in its namespace, with the shim loaded."""

import sys
from pathlib import Path

from tests.chaos.network import Network
from tests.chaos.plan import Plan
from tests.chaos.shim import Shim
from tests.cluster.nodes import Process

HTTP_PORT, PEER_PORT = 8001, 9001


class ChaosNode(Process):
    """One node in its namespace, under the shim."""

    def __init__(self, plan: Plan, name: str, network: Network, directory: Path, secret: Path, shim: Shim) -> None:
        self.data = directory / name
        self.shim = shim
        self.address = network.address(name)
        seeds = ",".join(f"{other}={network.address(other)}:{PEER_PORT}" for other in plan.names)
        command = ["tests.chaos.altered", plan.altered] if plan.altered else ["app.cli"]
        command += ["node", "--name", name, "--data", str(self.data), "--seeds", seeds, "--secret-file", str(secret)]
        command += ["--http", f"{self.address}:{HTTP_PORT}", "--peer", f"{self.address}:{PEER_PORT}"]
        command += ["--partitions", str(plan.partitions), "--replication-factor", str(plan.replicas or plan.nodes)]
        inside = network.namespaces[name].command(sys.executable, "-m", *command)
        super().__init__(name, inside, directory / f"{name}.log", shim.environment)
