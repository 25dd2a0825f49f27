"""Replication: a ring of partitions, each a Raft group over an engine; knows no HTTP."""

from raftgroups.command import (
    Command,
    Delete,
    Item,
    Put,
    Written,
    decode_command,
    decode_entry,
    decode_item,
    encode_command,
    encode_item,
)
from raftgroups.errors import (
    ChangeRefusedError,
    DamagedDirectoryError,
    DeadlineError,
    DirectoryInUseError,
    DivergedError,
    DrainingError,
    ForeignDirectoryError,
    HostError,
    ListenError,
    NoQuorumError,
    NoReplicaError,
    NotLeaderError,
    OutcomeUnknownError,
    OverloadedError,
    RaftGroupError,
    StaleEpochError,
    StorageFullError,
)
from raftgroups.group import RaftGroup
from raftgroups.host import Gateway, Host, HostOptions
from raftgroups.ids import Epoch, LogIndex, PartitionId, Revision, Term, revision_of
from raftgroups.lease import LEASE_SHARE_MAX
from raftgroups.level import Level, Reading
from raftgroups.machine import Machine
from raftgroups.membership import Configuration
from raftgroups.messages import (
    CallMessage,
    FailureReturn,
    Placement,
    ReadCall,
    ReadReturn,
    ReturnMessage,
    TargetCall,
    TransferCall,
    WriteCall,
    WriteReturn,
)
from raftgroups.placements import Placements
from raftgroups.timing import Timing
from raftgroups.topology import Member, Topology
from raftgroups.transport import split_address
from raftgroups.verify import verify_node

__all__ = [
    "LEASE_SHARE_MAX",
    "CallMessage",
    "ChangeRefusedError",
    "Command",
    "Configuration",
    "DamagedDirectoryError",
    "DeadlineError",
    "Delete",
    "DirectoryInUseError",
    "DivergedError",
    "DrainingError",
    "Epoch",
    "FailureReturn",
    "ForeignDirectoryError",
    "Gateway",
    "Host",
    "HostError",
    "HostOptions",
    "Item",
    "Level",
    "ListenError",
    "LogIndex",
    "Machine",
    "Member",
    "NoQuorumError",
    "NoReplicaError",
    "NotLeaderError",
    "OutcomeUnknownError",
    "OverloadedError",
    "PartitionId",
    "Placement",
    "Placements",
    "Put",
    "RaftGroup",
    "RaftGroupError",
    "ReadCall",
    "ReadReturn",
    "Reading",
    "ReturnMessage",
    "Revision",
    "StaleEpochError",
    "StorageFullError",
    "TargetCall",
    "Term",
    "Timing",
    "Topology",
    "TransferCall",
    "WriteCall",
    "WriteReturn",
    "Written",
    "decode_command",
    "decode_entry",
    "decode_item",
    "encode_command",
    "encode_item",
    "revision_of",
    "split_address",
    "verify_node",
]
