"""The hash ring: key → position → partition, and tokens → replicas.

    position(key) = low 64 bits of MurmurHash3 x64-128(key), or of its {tag} alone
    partition     = position >> (64 - log2 Q)                    Q equal arcs

Source: DeCandia et al. 2007 (Dynamo), section 6.2, strategy 3: tokens place replicas, equal
arcs partition the data. Mirrokni et al. 2016: no node holds more than its fair share.
"""

from bisect import bisect_left
from collections.abc import Mapping

import mmh3

from raftgroups.ids import PartitionId

POSITION_BITS = 64
TOKENS_PER_NODE = 128
PARTITIONS_MAX = 1024


def hash_tag(key: bytes) -> bytes:
    """The part of `key` that is hashed: what a first non-empty `{…}` holds, or all of it."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            return key[start + 1 : end]
    return key


def position(data: bytes) -> int:
    """Where `data` lies on the 64-bit circle."""
    return mmh3.hash64(data, signed=False)[0]


class Ring:
    """Q equal arcs of the circle, and which nodes hold each.

    zones     name of each node → its zone ("" when it has none)
    replicas  how many distinct nodes hold an arc (fewer when there are fewer nodes)

    Invariant: the same arguments give the same placement on every node.
    """

    def __init__(self, partitions: int, zones: Mapping[str, str], replicas: int) -> None:
        if partitions < 1 or partitions > PARTITIONS_MAX or partitions & (partitions - 1):
            raise ValueError(f"partitions must be a power of two up to {PARTITIONS_MAX}, not {partitions}")
        if not zones:
            raise ValueError("a ring needs a node")
        if replicas < 1:
            raise ValueError(f"replicas must be at least 1, not {replicas}")
        self._shift = POSITION_BITS - (partitions.bit_length() - 1)
        self._zones = dict(zones)
        self._width = min(replicas, len(zones))
        self._tokens = sorted(
            (position(f"{name}#{number}".encode()), name) for name in zones for number in range(TOKENS_PER_NODE)
        )
        self.placement: tuple[tuple[str, ...], ...] = self._place(partitions)

    def partition_of(self, key: bytes) -> PartitionId:
        return PartitionId(mmh3.hash64(hash_tag(key), signed=False)[0] >> self._shift)

    def _place(self, partitions: int) -> tuple[tuple[str, ...], ...]:
        share = -(-partitions * self._width // len(self._zones))
        held = dict.fromkeys(self._zones, 0)
        led = dict.fromkeys(self._zones, 0)
        first_share = -(-partitions // len(self._zones))
        placement = []
        for arc in range(partitions):
            order = self._clockwise_from((arc + 1) << self._shift)
            replicas = self._pick(order, {name for name in order if held[name] < share})
            for name in replicas:
                held[name] += 1
            first = next((name for name in replicas if led[name] < first_share), replicas[0])
            led[first] += 1
            placement.append((first, *(name for name in replicas if name != first)))
        return tuple(placement)

    def _clockwise_from(self, start: int) -> list[str]:
        """Every node once, in the order of its first token at or after `start`."""
        at = bisect_left(self._tokens, (start & ((1 << POSITION_BITS) - 1), ""))
        return list(dict.fromkeys(name for _, name in self._tokens[at:] + self._tokens[:at]))

    def _pick(self, order: list[str], free: set[str]) -> list[str]:
        """The first nodes met that have room: one a zone while zones last, full nodes only at need."""
        chosen: list[str] = []
        for allowed in (free, set(order)):
            for fresh_zone_only in (True, False):
                for name in order:
                    if len(chosen) == self._width:
                        return chosen
                    if name in chosen or name not in allowed:
                        continue
                    if fresh_zone_only and self._zones[name] in {self._zones[other] for other in chosen}:
                        continue
                    chosen.append(name)
        return chosen
