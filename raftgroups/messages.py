"""What nodes say to each other, inside the frames of a link.

    frame body := msgpack [message, …]         all that one loop turn has for one peer
    message    := [tag, group, …]              a Raft message of one group
                | [tag, …]                     a request between gateways, a snapshot's bytes

Fields are positional. A decoder that meets an unknown tag or a wrong type raises
`msgspec.ValidationError`, and the link that carried it is closed.
"""

from typing import get_args

import msgspec

from raftgroups.change import Told
from raftgroups.level import Freshness, Receipt
from raftgroups.span import Piece, Span

PROTOCOL_VERSION = 4


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of every message."""


class Append(Message, frozen=True, tag=1):
    """Leader → follower: the entries after `prev_index`, whose term is `prev_term`.

    entries    (term, payload) of prev_index + 1, prev_index + 2, …
    commit     the leader's commit index
    sequence   grows with every Append to this follower; the reply carries it back
    """

    group: int
    term: int
    prev_index: int
    prev_term: int
    entries: list[tuple[int, bytes]]
    commit: int
    sequence: int


class AppendReply(Message, frozen=True, tag=2):
    """Follower → leader.

    match      with `ok`: every entry up to here equals the leader's and is on disk
    hint_index, hint_term   without: the newest entry that might match (raft thesis, section 3.5)
    """

    group: int
    term: int
    sequence: int
    ok: bool
    match: int
    hint_index: int = 0
    hint_term: int = 0


class Heartbeat(Message, frozen=True, tag=3):
    """Leader → follower: `term` is still mine, and I have committed up to `commit`.

    The follower commits that far only where its log is known to match.

    round      the newest ReadIndex round; its echo proves that the term held when it was sent
    """

    group: int
    term: int
    commit: int
    round: int


class HeartbeatReply(Message, frozen=True, tag=4):
    """Follower → leader: at `round` this follower's term was `term`.

    promise    it will vote for nobody before its shortest election timeout has passed (lease.py)
    has_room   its disk could take a vote now
    """

    group: int
    term: int
    round: int
    promise: bool = False
    has_room: bool = True


class VoteRequest(Message, frozen=True, tag=5):
    """Candidate → voter. With `probe` it is a PreVote: nothing changes, the answer is a forecast.

    transfer   the old leader asked for this election: stickiness does not apply
    """

    group: int
    term: int
    last_index: int
    last_term: int
    probe: bool
    transfer: bool


class VoteReply(Message, frozen=True, tag=6):
    """Voter → candidate. `term` is the request's when granted, else the voter's own.

    absence_ms  how long ago the voter knew of a leader last; None: never since it was started
    """

    group: int
    term: int
    probe: bool
    granted: bool
    absence_ms: int | None = None


class TimeoutNow(Message, frozen=True, tag=7):
    """Leader → caught-up follower: stand for election at once (raft thesis, section 3.10)."""

    group: int
    term: int


class ReadIndexRequest(Message, frozen=True, tag=8):
    """Follower → leader: up to which index must I have applied to serve reads that wait here?"""

    group: int
    term: int
    read: int


class ReadIndexReply(Message, frozen=True, tag=9):
    """Leader → follower. `index` 0 is a refusal: not the leader, or not for that term.

    commit     the leader's commit index; `index` may be its first entry, not committed yet
    """

    group: int
    term: int
    read: int
    index: int
    commit: int


class SnapshotOffer(Message, frozen=True, tag=10):
    """Leader → follower too far behind: a checkpoint at `index` follows as SnapshotChunks.

    files      (name, size in bytes) in the order in which they are sent
    """

    group: int
    term: int
    transfer: int
    index: int
    files: list[tuple[str, int]]


class SnapshotChunk(Message, frozen=True, tag=11):
    """Leader → follower: the next bytes of the checkpoint's files, laid end to end from `offset`."""

    group: int
    transfer: int
    offset: int
    data: bytes


class SnapshotReply(Message, frozen=True, tag=12):
    """Follower → leader: bytes received so far; `installed` when the checkpoint is in force; `failed` ends it."""

    group: int
    term: int
    transfer: int
    received: int
    installed: bool = False
    failed: bool = False


class Removed(Message, frozen=True, tag=13):
    """Leader → node that is none of the group's members: your removal, or more, is committed at `index`."""

    group: int
    term: int
    index: int


class Placement(Message, frozen=True, tag=14):
    """Any node → any: the committed configuration of a group, from the log entry at `index` (0: the founding one)."""

    group: int
    index: int
    voters: tuple[str, ...]
    learners: tuple[str, ...] = ()
    target: tuple[str, ...] = ()


class ClockAsk(Message, frozen=True, tag=15):
    """Any node → any: what time of day is it there? `at` is the asker's monotonic clock, in seconds."""

    at: float


class ClockTell(Message, frozen=True, tag=16):
    """The answer, in milliseconds since the epoch; `at` comes back as it was."""

    at: float
    wall_ms: int


class DiskReport(msgspec.Struct, frozen=True, array_like=True):
    """Of the sender's disk.

    sync_us    the median time of its newest syncs, in microseconds; None, if there were few lately
    is_slow    it is much slower than the others': the sender had better not lead
    """

    sync_us: int | None = None
    is_slow: bool = False


class Beat(Message, frozen=True, tag=17, forbid_unknown_fields=False):
    """Any node → any, once a heartbeat: I live, and what I have told of sleeping groups stands (vigil.py).

    number     grows with each Beat over a link
    echo       the newest Beat of the other side that had come, 0 if none had
    held_us    how long ago that came, in microseconds
    told       how many Sleep and Awake have left over this link before it
    heard      how many of the other side's had come
    promises   groups that sleep here under a leader over there promise what HeartbeatReply.promise says
    disk       what may be said of the disk here (diskwatch.py)
    """

    number: int
    echo: int = 0
    held_us: int = 0
    told: int = 0
    heard: int = 0
    promises: bool = False
    disk: DiskReport = DiskReport()


class Sleep(Message, frozen=True, tag=18):
    """Leader → follower: all is done, up to `index`; from now on Beats tell that it is so still."""

    group: int
    term: int
    index: int


class Awake(Message, frozen=True, tag=19):
    """Leader → follower, or follower → leader: what Beats told of this group counts no more."""

    group: int
    term: int


class Lead(msgspec.Struct, frozen=True, array_like=True):
    """A group that the sender leads, or leads no more, and how far it has got."""

    group: int
    term: int
    commit: int
    applied: int
    has_ended: bool = False


class Leads(Message, frozen=True, tag=27):
    """Leader → node without a replica: what has changed; with `is_all` nothing else has since such a one."""

    leads: list[Lead]
    is_all: bool


class Address(Message, frozen=True, tag=29):
    """Any node → any: I have a link with the node `name`, and it says that it is reached at `peer`."""

    name: str
    peer: str


class WriteCall(Message, frozen=True, tag=20):
    """Gateway → leader: propose `command` (encoded) for `partition`."""

    call: int
    partition: int
    epoch: int
    timeout_ms: int
    command: bytes


class ReadCall(Message, frozen=True, tag=21):
    """Gateway → replica: read `key`, as fresh as this."""

    call: int
    partition: int
    epoch: int
    timeout_ms: int
    fresh: Freshness
    key: bytes


class WriteReturn(Message, frozen=True, tag=22):
    """Leader → gateway: what the command came to, encoded as in result.py unless it is a Written."""

    call: int
    revision: int
    result: bytes = b""


class ReadReturn(Message, frozen=True, tag=23):
    """Replica → gateway. `item` is encoded as in item.py, empty when the key is absent."""

    call: int
    item: bytes
    receipt: Receipt


class FailureReturn(Message, frozen=True, tag=24):
    """Either → gateway: why it failed, as the name of a RaftGroupError's class, and its text."""

    call: int
    error: str
    text: str
    leader: str = ""


class TransferCall(Message, frozen=True, tag=25):
    """Gateway → leader: have `node` lead `partition`."""

    call: int
    partition: int
    node: str


class TargetCall(Message, frozen=True, tag=26):
    """Gateway → leader: have `nodes` become the voters of `partition`."""

    call: int
    partition: int
    nodes: list[str]


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """Why one command of many failed: a RaftGroupError, as in FailureReturn."""

    error: str
    text: str
    leader: str = ""


class BulkWriteCall(Message, frozen=True, tag=30):
    """Gateway → leader: propose these commands (encoded) for `partition`, in this order."""

    call: int
    partition: int
    epoch: int
    timeout_ms: int
    commands: list[bytes]


class BulkWriteReturn(Message, frozen=True, tag=31):
    """Leader → gateway: of each command the revision of its Written, or its encoded result, or why it failed."""

    call: int
    outcomes: list[int | bytes | Refusal]


class BulkReadCall(Message, frozen=True, tag=32):
    """Gateway → replica: read these keys, as fresh as this."""

    call: int
    partition: int
    epoch: int
    timeout_ms: int
    fresh: Freshness
    keys: list[bytes]


class BulkReadReturn(Message, frozen=True, tag=33):
    """Replica → gateway: of each key the item, as in ReadReturn; the receipt is that of all."""

    call: int
    items: list[bytes]
    receipt: Receipt


class ScanCall(Message, frozen=True, tag=40):
    """Gateway → replica: read the beginning of `span`, as fresh as this."""

    call: int
    partition: int
    epoch: int
    timeout_ms: int
    fresh: Freshness
    span: Span


class ScanReturn(Message, frozen=True, tag=41):
    """Replica → gateway."""

    call: int
    piece: Piece
    receipt: Receipt


class WatchCall(Message, frozen=True, tag=44):
    """Gateway → replica: tell what follows a position, as soon as there is something, or after `wait_ms` nothing."""

    call: int
    partition: int
    epoch: int
    wait_ms: int
    entry: int
    ordinal: int


class WatchReturn(Message, frozen=True, tag=45):
    """Replica → gateway: changes in order, and the position after them.

    oldest     the first entry of the history there, when that does not reach back so far
    refusal    why it tells nothing
    """

    call: int
    changes: list[Told]
    entry: int
    ordinal: int
    oldest: int = 0
    refusal: str = ""


class WatchNote(Message, frozen=True, tag=46):
    """Gateway → all others: what the short ids of a watch stand for (app/watchledger.py).

    call, partition   nothing: it is not answered, and of no one partition
    base      the positions of all partitions, with the first places; else empty
    offset    where `places` go, in bytes
    """

    call: int
    partition: int
    segment: bytes
    base: bytes
    offset: int
    places: bytes


RaftMessage = (
    Append
    | AppendReply
    | Heartbeat
    | HeartbeatReply
    | VoteRequest
    | VoteReply
    | TimeoutNow
    | ReadIndexRequest
    | ReadIndexReply
    | Removed
)
VigilMessage = Beat | Sleep | Awake
SnapshotMessage = SnapshotOffer | SnapshotChunk | SnapshotReply
ClockMessage = ClockAsk | ClockTell
GossipMessage = Placement | Address | Leads
CallMessage = (
    WriteCall | ReadCall | TransferCall | TargetCall | ScanCall | BulkWriteCall | BulkReadCall | WatchCall | WatchNote
)
ReturnMessage = WriteReturn | ReadReturn | FailureReturn | ScanReturn | BulkWriteReturn | BulkReadReturn | WatchReturn
AnyMessage = RaftMessage | SnapshotMessage | VigilMessage | GossipMessage | ClockMessage | CallMessage | ReturnMessage

CLOCK_KINDS = frozenset(get_args(ClockMessage))
CALL_KINDS = frozenset(get_args(CallMessage))
WRITE_KINDS = frozenset((WriteCall, BulkWriteCall))
RETURN_KINDS = frozenset(get_args(ReturnMessage))
GOSSIP_KINDS = frozenset(get_args(GossipMessage))
VIGIL_KINDS = frozenset(get_args(VigilMessage))
SNAPSHOT_KINDS = frozenset(get_args(SnapshotMessage))

encode_messages = msgspec.msgpack.Encoder().encode
decode_messages = msgspec.msgpack.Decoder(list[AnyMessage]).decode
