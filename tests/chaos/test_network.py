"""The network of namespaces: cuts cut, in the direction that they say, lanes carry, and healing heals."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.chaos.network import Network, missing
from tests.chaos.switch import Quality

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(60),
    pytest.mark.skipif(bool(missing()), reason=missing() or "all is there"),
]

SENT = 20
# Says when it listens, and how many datagrams came until none came for a while.
HEAR = """
import socket, sys
hears = socket.socket(type=socket.SOCK_DGRAM)
hears.bind(("0.0.0.0", 7001))
hears.settimeout(0.4)
print(flush=True)
count = 0
try:
    while hears.recv(10):
        count += 1
except TimeoutError:
    print(count)
"""
SAY = """
import socket, sys
says = socket.socket(type=socket.SOCK_DGRAM)
for _ in range(int(sys.argv[2])):
    says.sendto(b"word", (sys.argv[1], 7001))
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Network]:
    with Network(["n1", "n2", "n3"]) as network:
        yield network


@pytest.fixture
def network(made: Network) -> Iterator[Network]:
    yield made
    made.heal()


def delivered(network: Network, source: str, target: str) -> int:
    """How many of SENT datagrams arrive."""
    hear = network.namespaces[target].command(sys.executable, "-c", HEAR)
    with subprocess.Popen(hear, stdout=subprocess.PIPE, text=True) as ear:
        assert ear.stdout is not None
        ear.stdout.readline()
        network.namespaces[source].run(sys.executable, "-c", SAY, network.address(target), f"{SENT}")
        return int(ear.stdout.read())


def test_everyone_reaches_everyone(network: Network) -> None:
    assert delivered(network, "n1", "n2") == delivered(network, "n3", "n1") == SENT


def test_a_cut_has_one_direction(network: Network) -> None:
    network.cut([("n1", "n2")])

    assert delivered(network, "n1", "n2") == 0
    assert delivered(network, "n2", "n1") == SENT
    assert delivered(network, "n1", "n3") == SENT


def test_a_split_leaves_each_side_whole(network: Network) -> None:
    network.split(["n1"], ["n2", "n3"])

    assert delivered(network, "n1", "n2") == delivered(network, "n3", "n1") == 0
    assert delivered(network, "n2", "n3") == SENT


def test_what_is_mended_works_and_the_rest_stays_cut(network: Network) -> None:
    network.isolate("n1")
    network.mend([("n1", "n2")])

    assert delivered(network, "n2", "n1") == SENT
    assert delivered(network, "n3", "n1") == 0


def test_a_mute_node_is_so_to_clients_beside_it_alone(network: Network) -> None:
    """What leaves the port for the same namespace is lost; what comes to it is not."""
    network.mute("n1", 7001)

    assert delivered(network, "n1", "n1") == delivered(network, "n2", "n1") == SENT
    echo = "import socket; s = socket.create_connection(('10.99.0.1', 7002), 0.3)"
    listen = "import socket; s = socket.create_server(('10.99.0.1', 7002)); print(flush=True); s.accept()"
    network.mute("n1", 7002)
    with subprocess.Popen(
        network.namespaces["n1"].command(sys.executable, "-c", listen), stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        with pytest.raises(RuntimeError, match="timed out"):
            network.namespaces["n1"].run(sys.executable, "-c", echo)
        server.kill()


def test_a_lane_carries_and_loses(network: Network) -> None:
    network.degrade({("n1", "n2"): Quality(delay_ms=20)})
    assert delivered(network, "n1", "n2") == SENT

    network.degrade({("n1", "n2"): Quality(loss=1.0)})
    assert delivered(network, "n1", "n2") == 0
    assert delivered(network, "n2", "n1") == SENT


def test_healing_takes_all_back(network: Network) -> None:
    network.isolate("n1")
    network.degrade_all(Quality(loss=1.0))
    network.heal()

    assert delivered(network, "n1", "n2") == delivered(network, "n2", "n3") == SENT
