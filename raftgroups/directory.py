"""A node's data directory: whose it is, and where everything in it lies.

    DIR/LOCK                held while the node runs
    DIR/identity            which node of which cluster this is (topology.py)
    DIR/log/NNNNNN.log      the node log (nodelog.py)
    DIR/pPPPP-GGGG/         the engine of partition PPPP, in its generation GGGG
    DIR/checkpoint-NNNN/    a checkpoint on its way to a peer; rubbish after a restart

A snapshot is received into the next generation of its partition. The generation in force is the
highest that is complete, which an engine's CURRENT file tells: it is the last to be written.
"""

from collections.abc import Mapping
from typing import Protocol

from engine import (
    CURRENT,
    DirectoryLock,
    EngineError,
    FileSystem,
    LockedError,
)
from raftgroups.errors import DirectoryInUseError, ForeignDirectoryError, HostError
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
    """The directory of one node, locked while this object is open."""

    def __init__(self, file_system: FileSystem, path: str, topology: Topology, lock: DirectoryLock) -> None:
        self.file_system = file_system
        self.path = path
        self.topology = topology
        self._lock = lock
        self._checkpoints = 0

    @classmethod
    def open(cls, file_system: FileSystem, founding: Founding) -> "DataDirectory":
        """Lock the directory, and found a cluster in it or find it. Raises: HostError."""
        path = founding.directory
        try:
            file_system.create_directory(path)
            lock = file_system.lock(f"{path}/LOCK")
        except LockedError as error:
            raise DirectoryInUseError(f"data directory {path} is in use by another process") from error
        except EngineError as error:
            raise HostError(f"data directory {path} cannot be opened: {error}") from error
        try:
            topology = _identify(file_system, founding)
            directory = cls(file_system, path, topology, lock)
            directory._sweep()
        except EngineError as error:
            lock.close()
            raise HostError(f"data directory {path} cannot be used: {error}") from error
        except BaseException:
            lock.close()
            raise
        return directory

    @property
    def log_path(self) -> str:
        return f"{self.path}/{LOG}"

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
        """Remove a directory of files."""
        for name in self.file_system.list_directory(path):
            self.file_system.remove(f"{path}/{name}")
        self.file_system.remove_directory(path)

    def close(self) -> None:
        self._lock.close()

    def _complete(self, partition: PartitionId) -> list[int]:
        prefix = f"p{partition:04d}-"
        return [0] + [
            int(name.removeprefix(prefix))
            for name in self.file_system.list_directory(self.path)
            if name.startswith(prefix) and self.file_system.exists(f"{self.path}/{name}/{CURRENT}")
        ]

    def _generation_path(self, partition: PartitionId, generation: int) -> str:
        return f"{self.path}/p{partition:04d}-{generation:04d}"

    def _sweep(self) -> None:
        """Remove what a crash left: checkpoints, unfinished generations, generations replaced."""
        in_force = {self.replica_path(partition) for partition in _partitions_of(self.topology)}
        for name in self.file_system.list_directory(self.path):
            path = f"{self.path}/{name}"
            is_replica = name[:1] == "p" and name[1:5].isdigit() and name[5:6] == "-"
            if name.startswith("checkpoint-") or (is_replica and path not in in_force):
                self.remove(path)


def _partitions_of(topology: Topology) -> list[PartitionId]:
    return [PartitionId(partition) for partition in range(topology.partitions)]


def _identify(file_system: FileSystem, founding: Founding) -> Topology:
    """What the identity file says, once it is known to fit; a new one in an empty directory."""
    path = f"{founding.directory}/{IDENTITY}"
    seeds = founding.seeds or {founding.name: founding.peer}
    founded = found_cluster(seeds, founding.partitions, founding.replication_factor)
    if not file_system.exists(path):
        strangers = [name for name in file_system.list_directory(founding.directory) if name not in _OURS]
        if strangers:
            raise ForeignDirectoryError(
                f"data directory {founding.directory} holds {strangers[0]!r} but no ringkv node; give an empty one"
            )
        identity = Identity(IDENTITY_FORMAT, founding.name, founded)
        _write_durably(file_system, founding.directory, IDENTITY, encode_identity(identity))
        return founded
    reader = file_system.open_read(path)
    try:
        stored = decode_identity(path, reader.read(0, file_system.size(path)))
    finally:
        reader.close()
    if stored.name != founding.name:
        raise ForeignDirectoryError(
            f"data directory {founding.directory} belongs to node {stored.name}, not {founding.name}"
        )
    if founding.seeds and stored.topology.cluster_id != founded.cluster_id:
        raise ForeignDirectoryError(
            f"data directory {founding.directory} belongs to cluster {stored.topology.cluster_id}; "
            f"the given seeds, partitions and replication factor name cluster {founded.cluster_id}"
        )
    return stored.topology


_OURS = ("LOCK", "node.pid", f"{IDENTITY}.tmp")


def _write_durably(file_system: FileSystem, directory: str, name: str, data: bytes) -> None:
    temporary = f"{directory}/{name}.tmp"
    if file_system.exists(temporary):
        file_system.remove(temporary)
    file = file_system.open_append(temporary)
    try:
        file.write(data)
        file.sync()
    finally:
        file.close()
    file_system.rename(temporary, f"{directory}/{name}")
    file_system.sync_directory(directory)
