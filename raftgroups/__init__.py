"""Replication: a ring of partitions, each a Raft group over an engine; knows no HTTP."""

from raftgroups.command import (
    Command,
    Delete,
    Item,
    Put,
    Written,
    decode_command,
    decode_item,
    encode_command,
    encode_item,
)
from raftgroups.consensus import Timing
from raftgroups.errors import (
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
from raftgroups.ids import Epoch, LogIndex, PartitionId, Revision, Term
from raftgroups.level import Level, Reading
from raftgroups.machine import Machine
from raftgroups.messages import (
    CallMessage,
    FailureReturn,
    ReadCall,
    ReadReturn,
    ReturnMessage,
    TransferCall,
    WriteCall,
    WriteReturn,
)
from raftgroups.topology import Member, Topology
from raftgroups.transport import split_address
from raftgroups.verify import verify_node

__all__ = [
    "CallMessage",
    "Command",
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
    "Term",
    "Timing",
    "Topology",
    "TransferCall",
    "WriteCall",
    "WriteReturn",
    "Written",
    "decode_command",
    "decode_item",
    "encode_command",
    "encode_item",
    "split_address",
    "verify_node",
]
