"""The gateway: what the two doors and the routes of one node share."""

from time import monotonic
from typing import TYPE_CHECKING

from app.batch import BatchHandler
from app.deletion import Deleter
from app.kv import KvHandler
from app.metrics import Metrics
from app.originpolicy import OriginPolicy
from app.patrol import Patrol
from app.problems import NOT_READY, Problem
from app.scanning import Pager
from app.settings import Settings
from app.txn import TxnHandler
from app.views import ClusterView
from app.watch import Watches
from raftgroups import split_address

if TYPE_CHECKING:
    from app.coordinator import Coordinator


class Gateway:
    """Listening first, open later: until a coordinator is there, requests for data are told to come back.

    started      when it began, on the monotonic clock, in seconds
    is_draining  the node is about to stop, and wants no more requests
    is_ending    it stops now: what would go on for long is ended
    exports_open, imports_open   how many are under way
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.kv = KvHandler(settings.limits, settings.consistency, settings.idempotency_seconds)
        self.batch = BatchHandler(settings.limits, settings.consistency, settings.idempotency_seconds)
        self.txn = TxnHandler(settings.limits, settings.idempotency_seconds)
        self.origins = OriginPolicy(settings)
        self.patrol = Patrol(settings.limits, self.kv, self.metrics, self.origins)
        self.watches = Watches(settings.limits)
        self.coordinator: Coordinator | None = None
        self.pager: Pager | None = None
        self.deleter: Deleter | None = None
        self.is_draining = False
        self.started = monotonic()
        self.is_ending = False
        self.exports_open = 0
        self.imports_open = 0

    def open(self, coordinator: "Coordinator") -> None:
        """Serve from `coordinator`."""
        self.coordinator = coordinator
        self.pager = Pager(coordinator)
        self.deleter = Deleter(coordinator, self.settings.idempotency_seconds)
        self.kv.open(coordinator)
        self.batch.open(coordinator)
        self.txn.open(coordinator)
        self.watches.open(coordinator)
        self.metrics.clock_offsets = coordinator.clock_offsets
        self.origins.members = lambda: hosts_of(coordinator.cluster())
        self.metrics.statistics = lambda: {**coordinator.statistics(), **self.watches.statistics()}

    def drain(self) -> None:
        """The node is about to stop: say so, and go on serving.

        Connections end with their next answer, so that few are idle, and none is likely to be in use, in the end.
        """
        self.is_draining = True
        self.patrol.drain()

    def end(self) -> None:
        """End what would go on: each is told from where it can go on elsewhere."""
        self.drain()
        self.is_ending = True
        self.watches.end_all()

    def unready(self) -> list[str]:
        """Why this node should not be sent requests; empty when it should."""
        if self.coordinator is None:
            return ["the node is still starting"]
        draining = ["the node is shutting down"] if self.is_draining else []
        return draining + self.coordinator.unready()

    def warnings(self) -> list[str]:
        """What is not as it should be, though this node serves; a sentence each."""
        return [] if self.coordinator is None else self.coordinator.warnings()

    def starting(self) -> Problem:
        return Problem(NOT_READY, "the node is still starting")


def hosts_of(cluster: ClusterView) -> set[str]:
    """What the nodes are called in the addresses that they tell."""
    addresses = {address for node in cluster.nodes for address in (node.http, node.peer) if address}
    return {split_address(address)[0] for address in addresses}
