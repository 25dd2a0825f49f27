"""A node's data directory: whose it is, and where everything in it lies.

    DIR/LOCK                held while the node runs
    DIR/identity            which node of which cluster this is (topology.py)
    DIR/acquaintances       which peers it has met (acquaintances.py)
    DIR/reserve             space that is given up for deletes when the disk is full
    DIR/log/NNNNNN.log      the node log (nodelog.py)
    DIR/pPPPP-GGGG/         the engine of partition PPPP, in its generation GGGG: this node holds it
    DIR/pPPPP.joined        what it holds of PPPP, if anything, is not what it was founded with
    DIR/checkpoint-NNNN/    a checkpoint on its way to a peer; rubbish after a restart

A snapshot is received into the next generation of its partition. The generation in force is the
highest that is complete, which an engine's CURRENT file tells: it is the last to be written.

The directories of the partitions that a node is founded with are there before its identity is. One
that is removed is marked as joined first: should the partition come back, and should a crash leave
it empty, it is a new replica that knows of no configuration, and not a founding voter with an
empty log.
"""

import random
import re
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Protocol

import msgspec

from engine import (
    CURRENT,
    DirectoryLock,
    EngineError,
    FileSystem,
    LockedError,
)
from raftgroups.durable import read_whole, write_durably
from raftgroups.errors import DamagedDirectoryError, DirectoryInUseError, ForeignDirectoryError, HostError
from raftgroups.ids import PartitionId
from raftgroups.topology import (
    IDENTITY_FORMAT,
    Identity,
    Topology,
    decode_identity,
    encode_identity,
    found_cluster,
)

IDENTITY = "identity"
LOG = "log"
RESERVE = "reserve"
INCARNATION_BYTES = 16
CHANCE = random.SystemRandom()
REPLICA_NAME = re.compile(r"p(\d{4})-\d+")


class Founding(Protocol):
    """What a node is told about itself when it is started."""

    @property
    def name(self) -> str: ...
    @property
    def directory(self) -> str: ...
    @property
    def peer(self) -> str: ...
    @property
    def seeds(self) -> Mapping[str, str]: ...
    @property
    def partitions(self) -> int: ...
    @property
    def replication_factor(self) -> int: ...


class DataDirectory:
    """The directory of one node, locked while this object is open.

    file_system   finds everything under `path` in the very directory that was opened, whatever it is called by now
    """

    def __init__(self, file_system: FileSystem, path: str, identity: Identity, lock: DirectoryLock) -> None:
        self.file_system = file_system
        self.path = path
        self.topology: Topology = identity.topology
        self.incarnation = identity.incarnation
        self._lock = lock
        self._checkpoints = 0

    @classmethod
    def open(cls, file_system: FileSystem, founding: Founding, rng: random.Random = CHANCE) -> "DataDirectory":
        """Lock the directory, and found a cluster in it or find it. Raises: HostError."""
        path = founding.directory
        with ExitStack() as undo:
            try:
                file_system, path = file_system.hold(path)
                undo.callback(file_system.release)
                lock = file_system.lock(f"{path}/LOCK")
                undo.callback(lock.close)
            except LockedError as error:
                raise DirectoryInUseError(f"data directory {path} is in use by another process") from error
            except EngineError as error:
                raise HostError(f"data directory {path} cannot be opened: {error}") from error
            try:
                directory = cls(file_system, path, _identify(file_system, path, founding, rng), lock)
                directory.check_generations()
                directory._sweep()
            except EngineError as error:
                raise HostError(f"data directory {path} cannot be used: {error}") from error
            undo.pop_all()
        return directory

    @property
    def log_path(self) -> str:
        return f"{self.path}/{LOG}"

    @property
    def reserve_path(self) -> str:
        return f"{self.path}/{RESERVE}"

    def held(self) -> list[PartitionId]:
        """The partitions that this node holds a replica of."""
        names = map(REPLICA_NAME.fullmatch, self.file_system.list_directory(self.path))
        return sorted({PartitionId(int(name[1])) for name in names if name})

    def check_founding(self, name: str) -> None:
        """Raises: DamagedDirectoryError, when a replica that node `name` was founded with is gone without a trace."""
        for partition in self.lost(name):
            raise DamagedDirectoryError(
                f"data directory {self.path} has lost its replica of partition {partition}; restore it, "
                f"or replace this node by a new one"
            )

    def lost(self, name: str) -> list[PartitionId]:
        """The partitions that node `name` was founded with and that are gone without a trace."""
        held = self.held()
        founding = self.topology.held_by(name)
        return [partition for partition in founding if partition not in held and not self.has_joined(partition)]

    def check_generations(self) -> None:
        """Raises: DamagedDirectoryError, when a replica that did not join has a later generation and none in force."""
        for partition in self.held():
            first = self._generation_path(partition, 1)
            if self.has_joined(partition) or self._complete(partition)[1:] or self.file_system.exists(first):
                continue
            prefix = f"p{partition:04d}-"
            newest = max(name for name in self.file_system.list_directory(self.path) if name.startswith(prefix))
            raise DamagedDirectoryError(
                f"data directory {self.path}: {newest} has lost its {CURRENT}; restore it, "
                f"or replace this node by a new one"
            )

    def has_joined(self, partition: PartitionId) -> bool:
        """Whether the replica was, or will be, made on a leader's request, and not when the cluster was founded."""
        return self.file_system.exists(self._joined_path(partition))

    def join(self, partition: PartitionId) -> None:
        """Get ready for a new replica. Raises: StorageError."""
        if not self.has_joined(partition):
            mark = self.file_system.open_append(self._joined_path(partition))
            try:
                mark.sync()
            finally:
                mark.close()
            self.file_system.sync_directory(self.path)

    def retire(self, partition: PartitionId) -> None:
        """Remove a replica for good. Raises: StorageError; what is left then knows that it is nobody's."""
        self.join(partition)
        for name in self.file_system.list_directory(self.path):
            if name.startswith(f"p{partition:04d}-"):
                self.remove(f"{self.path}/{name}")

    def replica_path(self, partition: PartitionId) -> str:
        """The engine directory in force."""
        return self._generation_path(partition, max(1, *self._complete(partition)))

    def incoming_path(self, partition: PartitionId) -> str:
        """An empty directory for the generation that follows the one in force."""
        path = self._generation_path(partition, max(1, *self._complete(partition)) + 1)
        if self.file_system.exists(path):
            self.remove(path)
        self.file_system.create_directory(path)
        return path

    def checkpoint_path(self) -> str:
        """A name for a checkpoint that no other has had since the node started."""
        self._checkpoints += 1
        return f"{self.path}/checkpoint-{self._checkpoints:04d}"

    def remove(self, path: str) -> None:
        """Remove a directory of files, what puts it in force first."""
        for name in sorted(self.file_system.list_directory(path), key=lambda name: name != CURRENT):
            self.file_system.remove(f"{path}/{name}")
            if name == CURRENT:
                self.file_system.sync_directory(path)
        self.file_system.remove_directory(path)

    def close(self) -> None:
        self._lock.close()
        self.file_system.release()

    def _complete(self, partition: PartitionId) -> list[int]:
        prefix = f"p{partition:04d}-"
        return [0] + [
            int(name.removeprefix(prefix))
            for name in self.file_system.list_directory(self.path)
            if name.startswith(prefix) and self.file_system.exists(f"{self.path}/{name}/{CURRENT}")
        ]

    def _generation_path(self, partition: PartitionId, generation: int) -> str:
        return f"{self.path}/p{partition:04d}-{generation:04d}"

    def _joined_path(self, partition: PartitionId) -> str:
        return f"{self.path}/p{partition:04d}.joined"

    def _sweep(self) -> None:
        """Remove what a crash left: checkpoints, unfinished generations, generations replaced."""
        in_force = {
            self.replica_path(partition)
            for partition in self.held()
            # What joined is rubbish until it is complete: it was being made, or removed.
            if self._complete(partition)[1:] or not self.has_joined(partition)
        }
        for name in self.file_system.list_directory(self.path):
            path = f"{self.path}/{name}"
            if name.startswith("checkpoint-") or (REPLICA_NAME.fullmatch(name) and path not in in_force):
                self.remove(path)


def _identify(file_system: FileSystem, directory: str, founding: Founding, rng: random.Random) -> Identity:
    """What the identity file says, once it is known to fit; a new one in an empty directory."""
    path = f"{directory}/{IDENTITY}"
    seeds = founding.seeds or {founding.name: founding.peer}
    founded = found_cluster(seeds, founding.partitions, founding.replication_factor)
    if not file_system.exists(path):
        strangers = [name for name in file_system.list_directory(directory) if not _is_ours(name)]
        if strangers:
            raise ForeignDirectoryError(
                f"data directory {directory} holds {strangers[0]!r} but no ringkv node; give an empty one"
            )
        identity = Identity(IDENTITY_FORMAT, founding.name, founded, rng.randbytes(INCARNATION_BYTES).hex())
        for partition in founded.held_by(founding.name):
            file_system.create_directory(f"{directory}/p{partition:04d}-0001")
        write_durably(file_system, directory, IDENTITY, encode_identity(identity))
        return identity
    stored = decode_identity(path, read_whole(file_system, path))
    if stored.name != founding.name:
        raise ForeignDirectoryError(f"data directory {directory} belongs to node {stored.name}, not {founding.name}")
    if founding.seeds and stored.topology.makeup != founded.makeup:
        raise ForeignDirectoryError(
            f"data directory {directory} belongs to cluster {stored.topology.cluster_id}, "
            f"of {_describe(stored.topology)}; the given settings name one of {_describe(founded)}: "
            f"give those it was founded with (addresses may differ), or another directory"
        )
    topology = stored.topology.moved_to(founding.seeds)
    if topology != stored.topology:
        stored = msgspec.structs.replace(stored, topology=topology)
        write_durably(file_system, directory, IDENTITY, encode_identity(stored))
    return stored


def _describe(topology: Topology) -> str:
    names, partitions, replication_factor = topology.makeup
    return f"nodes {' '.join(names)}, {partitions} partitions, replication factor {replication_factor}"


def _is_ours(name: str) -> bool:
    """Whether a file may be there when a cluster is founded: a start before may have been interrupted."""
    return name in ("LOCK", "node.pid", f"{IDENTITY}.tmp") or REPLICA_NAME.fullmatch(name) is not None
