"""How a cluster is set up and used."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """What an arena is made of.

    replicas       of each partition; 0: on every node
    clients        of each node
    big_share      of the values, so many are bigger than a packet
    small_disks    nodes whose data is on a file system of their own, of `disk_bytes`
    altered        how every node differs from the product on purpose (altered.py)
    recovery_seconds  how long after healing all must work again
    """

    nodes: int = 3
    seed: int = 1
    partitions: int = 4
    replicas: int = 0
    clients: int = 3
    keys: int = 8
    deadline_ms: int = 1_000
    pace_ms: float = 15.0
    big_share: float = 0.0
    small_disks: tuple[str, ...] = ()
    disk_bytes: int = 64 << 20
    altered: str = ""
    recovery_seconds: float = 30.0

    @property
    def names(self) -> list[str]:
        return [f"n{number}" for number in range(1, self.nodes + 1)]
