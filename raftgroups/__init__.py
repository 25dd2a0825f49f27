"""Replication: a ring of partitions, each a Raft group over an engine; knows no HTTP.

Whatever waits has a bound, and beyond it something is refused, or a link closed:

    group.PENDING_COMMANDS_MAX     writes of a partition that wait for an entry
    group.READS_WAITING_MAX        reads of a partition that wait for a round, an index or the disk
    group.ENTRY_BYTES_MAX          of the one entry that a leader has on its way, if it has several commands
    command.VALUE_BYTES_MAX        of a value, and so of an entry with a single command
    leading.APPENDS_IN_FLIGHT      Appends to a follower that it has not answered
    leading.APPEND_BYTES           of each of them
    transport.OUTBOX_MESSAGES_MAX  messages for a peer that wait for the disk, or for the turn's end
    transport.STRANGERS_MAX        connections that have not proved the secret
    transport.COMPLAINTS_MAX       what the log has heard of them
    link.UNSENT_BYTES_MAX          written to a peer that does not read
    link.HANDSHAKE_BYTES_MAX       in the frame of a stranger
    link.FRAME_BYTES_MAX           in the frame of a peer
    pace.WINDOW_BYTES              of a snapshot, on the link and before the follower's disk
    sending.HELD_LOG_BYTES_MAX     entries kept in memory for who is sent a snapshot
    group.TAIL_BYTES               entries kept in memory after they were flushed
    nodelog.RETAINED_BYTES         the same, on disk
    history.HISTORY_BYTES_MAX      changes of a partition kept for who watches it, beside the log
    telling.PART_BYTES             of an entry's changes told at once

Entries that are not flushed are bounded by the engine, which stalls: then writes are refused.
"""

from raftgroups.change import Change, Position, Told
from raftgroups.command import (
    CONTENT_TYPE_LENGTH_MAX,
    EXPECTED_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    KEY_BYTES_MAX,
    RANGE_KEYS_MAX,
    STEPS_MAX,
    TOKEN_BYTES_MAX,
    TTL_MS_MAX,
    VALUE_BYTES_MAX,
    AppendTo,
    Command,
    Comparison,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    DeleteRange,
    Entry,
    Expected,
    Field,
    Get,
    Increment,
    Once,
    Operator,
    Put,
    Repeatable,
    Step,
    Touch,
    Transaction,
    decode_command,
    decode_entry,
    encode_command,
)
from raftgroups.errors import (
    BehindError,
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
    TokenBusyError,
    TooStaleError,
)
from raftgroups.group import RaftGroup
from raftgroups.host import TTL_GRACE_SECONDS, Gateway, Host, HostOptions
from raftgroups.idempotency import TOKENS_MAX
from raftgroups.ids import (
    EXPIRED_PER_ENTRY_MAX,
    Epoch,
    LogIndex,
    PartitionId,
    Revision,
    Term,
    index_of,
    revision_of,
)
from raftgroups.inspect import describe_records
from raftgroups.item import Item, decode_item, encode_item, may_expire
from raftgroups.lease import LEASE_SHARE_MAX
from raftgroups.level import BOUNDED, LEASE, LINEARIZABLE, NEWEST, SESSION, STALE, Freshness, Level, Reading, Receipt
from raftgroups.machine import Machine
from raftgroups.membership import Configuration
from raftgroups.messages import (
    BulkReadCall,
    BulkReadReturn,
    BulkWriteCall,
    BulkWriteReturn,
    CallMessage,
    FailureReturn,
    Placement,
    ReadCall,
    ReadReturn,
    Refusal,
    ReturnMessage,
    ScanCall,
    ScanReturn,
    TargetCall,
    TransferCall,
    WatchCall,
    WatchNote,
    WatchReturn,
    WriteCall,
    WriteReturn,
)
from raftgroups.placements import Placements
from raftgroups.result import (
    Changed,
    Cleared,
    Decided,
    Found,
    Missing,
    Reason,
    Rejected,
    Result,
    Reused,
    Unmet,
    Written,
    decode_result,
    encode_result,
)
from raftgroups.ring import hash_tag
from raftgroups.salvage import LoggedWrites, logged_writes
from raftgroups.span import SPAN_BYTES_MAX, SPAN_KEYS_MAX, Pair, Piece, Scanned, Span
from raftgroups.synctimes import SyncTimes
from raftgroups.telling import Telling, tell
from raftgroups.timing import Timing
from raftgroups.topology import Member, Topology
from raftgroups.transport import split_address
from raftgroups.verify import verify_node
from raftgroups.wallclocks import AGE_SECONDS_MAX

__all__ = [
    "AGE_SECONDS_MAX",
    "BOUNDED",
    "CONTENT_TYPE_LENGTH_MAX",
    "EXPECTED_MAX",
    "EXPIRED_PER_ENTRY_MAX",
    "INTEGER_MAX",
    "INTEGER_MIN",
    "KEY_BYTES_MAX",
    "LEASE",
    "LEASE_SHARE_MAX",
    "LINEARIZABLE",
    "NEWEST",
    "RANGE_KEYS_MAX",
    "SESSION",
    "SPAN_BYTES_MAX",
    "SPAN_KEYS_MAX",
    "STALE",
    "STEPS_MAX",
    "TOKENS_MAX",
    "TOKEN_BYTES_MAX",
    "TTL_GRACE_SECONDS",
    "TTL_MS_MAX",
    "VALUE_BYTES_MAX",
    "AppendTo",
    "BehindError",
    "BulkReadCall",
    "BulkReadReturn",
    "BulkWriteCall",
    "BulkWriteReturn",
    "CallMessage",
    "Change",
    "ChangeRefusedError",
    "Changed",
    "Cleared",
    "Command",
    "Comparison",
    "ConditionalDelete",
    "ConditionalPut",
    "Configuration",
    "DamagedDirectoryError",
    "DeadlineError",
    "Decided",
    "Delete",
    "DeleteRange",
    "DirectoryInUseError",
    "DivergedError",
    "DrainingError",
    "Entry",
    "Epoch",
    "Expected",
    "FailureReturn",
    "Field",
    "ForeignDirectoryError",
    "Found",
    "Freshness",
    "Gateway",
    "Get",
    "Host",
    "HostError",
    "HostOptions",
    "Increment",
    "Item",
    "Level",
    "ListenError",
    "LogIndex",
    "LoggedWrites",
    "Machine",
    "Member",
    "Missing",
    "NoQuorumError",
    "NoReplicaError",
    "NotLeaderError",
    "Once",
    "Operator",
    "OutcomeUnknownError",
    "OverloadedError",
    "Pair",
    "PartitionId",
    "Piece",
    "Placement",
    "Placements",
    "Position",
    "Put",
    "RaftGroup",
    "RaftGroupError",
    "ReadCall",
    "ReadReturn",
    "Reading",
    "Reason",
    "Receipt",
    "Refusal",
    "Rejected",
    "Repeatable",
    "Result",
    "ReturnMessage",
    "Reused",
    "Revision",
    "ScanCall",
    "ScanReturn",
    "Scanned",
    "Span",
    "StaleEpochError",
    "Step",
    "StorageFullError",
    "SyncTimes",
    "TargetCall",
    "Telling",
    "Term",
    "Timing",
    "TokenBusyError",
    "Told",
    "TooStaleError",
    "Topology",
    "Touch",
    "Transaction",
    "TransferCall",
    "Unmet",
    "WatchCall",
    "WatchNote",
    "WatchReturn",
    "WriteCall",
    "WriteReturn",
    "Written",
    "decode_command",
    "decode_entry",
    "decode_item",
    "decode_result",
    "describe_records",
    "encode_command",
    "encode_item",
    "encode_result",
    "hash_tag",
    "index_of",
    "logged_writes",
    "may_expire",
    "revision_of",
    "split_address",
    "tell",
    "verify_node",
]
