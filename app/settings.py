"""Settings of one node: from the command line and the environment, checked once, passed down whole.

An option given wins over its environment variable, which wins over the default. The variable of
`head_bytes_max` is RINGKV_HEAD_BYTES_MAX, and so for every field here; `secret_file` names a file that holds the
secret, so that it need not stand in an argument list.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from raftgroups import (
    CONTENT_TYPE_LENGTH_MAX,
    KEY_BYTES_MAX,
    LEASE_SHARE_MAX,
    SPAN_BYTES_MAX,
    SPAN_KEYS_MAX,
    VALUE_BYTES_MAX,
    HostOptions,
    Level,
    Timing,
    split_address,
)

# Hosts that stand for every address of the machine.
EVERYWHERE = frozenset(("0.0.0.0", "::"))  # noqa: S104  # it is recognised, not bound

# Whoever guesses the secret is a node; this many random bytes cannot be guessed.
SECRET_BYTES_WANTED = 16

# A follower that counts the shortest election timeout on its clock must not be done before the lease of the leader is
# on that one's, though the one clock runs up to 10 % faster than the other.
LEASE_SECONDS_MAX = LEASE_SHARE_MAX * Timing().election_seconds_min

IDEMPOTENCY_SECONDS = 86_400.0
IDEMPOTENCY_SECONDS_MAX = 30 * 86_400.0

# What a replica takes, whoever asks: no limit may let more in.
CEILINGS = {
    "key_bytes_max": KEY_BYTES_MAX,
    "pair_bytes_max": VALUE_BYTES_MAX,
    "content_type_bytes_max": CONTENT_TYPE_LENGTH_MAX,
    "scan_keys_max": SPAN_KEYS_MAX,
    "scan_bytes_max": SPAN_BYTES_MAX,
}


class SettingsError(ValueError):
    """A setting is missing, malformed or unsafe; the text names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request or connection may take; published by /v1/limits.

    pair_bytes_max    key and value together
    head_bytes_max    request line and headers together
    body_bytes_max    a body on any route but /v1/kv/{key}, which `pair_bytes_max` bounds, and those of the next two
    batch_bytes_max   a body of /v1/batch or /v1/txn
    batch_operations_max   of one batch
    scan_keys_max     keys in a page of a scan
    scan_bytes_max    keys and values together in such a page, unless it is a single pair
    drain_bytes_max   how much of a refused body is read and thrown away to keep the connection
    watches_max       open at one node
    watch_queue_bytes_max   of events that a watch has yet to hand out; then its reader is waited for
    pipeline_max      requests of one connection taken in before their answers are out
    send_seconds      how long a client may leave its answers unread
    linger_seconds    how long a refused client is listened to, so that it reads the refusal before the reset
    """

    key_bytes_max: int = 1_024
    pair_bytes_max: int = 10_240
    content_type_bytes_max: int = 255
    head_bytes_max: int = 16_384
    headers_max: int = 100
    body_bytes_max: int = 65_536
    batch_bytes_max: int = 1 << 20
    batch_operations_max: int = 1_000
    scan_keys_max: int = 1_000
    scan_bytes_max: int = 1 << 20
    drain_bytes_max: int = 65_536
    connections_max: int = 8_192
    watches_max: int = 4_096
    watch_queue_bytes_max: int = 131_072
    pipeline_max: int = 64
    head_seconds: float = 8.0
    body_seconds: float = 8.0
    send_seconds: float = 30.0
    keep_alive_seconds: float = 75.0
    linger_seconds: float = 2.0
    timeout_ms: int = 5_000
    timeout_ms_max: int = 60_000

    def __post_init__(self) -> None:
        for item in fields(self):
            if getattr(self, item.name) <= 0:
                raise SettingsError(f"{item.name} must be greater than 0")
        for name, ceiling in CEILINGS.items():
            if getattr(self, name) > ceiling:
                raise SettingsError(f"{name} must not exceed {ceiling}, which is what a replica takes")
        if self.timeout_ms > self.timeout_ms_max:
            raise SettingsError("timeout_ms must not exceed timeout_ms_max")


@dataclass(frozen=True, slots=True)
class Settings:
    """One node.

    name                this node's, unique in the cluster
    data                its directory
    http, peer          host:port to listen on: for clients, and for the other nodes; 0.0.0.0 and [::] are everywhere
    seeds               the initial members (name: the peer address that the others reach it at), itself included; none:
                        a cluster of one
    zone                replicas prefer different zones
    secret              shared by all nodes; without one every peer address must be loopback
    partitions          arcs of the ring, a power of two; fixed when the cluster is made
    lease_seconds       how long a leader that a majority has confirmed may answer lease reads by itself; 0: never
    consistency         the level of a read that does not ask for one
    idempotency_seconds how long the result of a write with an Idempotency-Key is kept
    """

    name: str
    data: str
    http: str
    peer: str
    seeds: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    secret: bytes = field(default=b"", repr=False)
    partitions: int = 16
    replication_factor: int = 3
    lease_seconds: float = 0.0
    consistency: Level = Level.LINEARIZABLE
    idempotency_seconds: float = IDEMPOTENCY_SECONDS
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", self.name):
            raise SettingsError(f"name must be 1 to 64 letters, digits, '_', '.' or '-', not {self.name!r}")
        parse_address("http", self.http)
        parse_address("peer", self.peer)
        for name, address in self.seeds.items():
            parse_address(f"seeds: {name}", address)
        self._check_seeds()
        if not 1 <= self.partitions <= 1_024 or self.partitions & (self.partitions - 1):
            raise SettingsError(f"partitions must be a power of two from 1 to 1024, not {self.partitions}")
        if self.replication_factor < 1:
            raise SettingsError("replication_factor must be at least 1")
        check_lease(self.lease_seconds)
        check_keeping(self.idempotency_seconds)
        self._check_secret()

    def _check_seeds(self) -> None:
        if not self.seeds:
            return
        reached = self.seeds.get(self.name, "")
        host, port = parse_address("peer", self.peer)
        is_everywhere = host in EVERYWHERE and reached.endswith(f":{port}")
        if reached != self.peer and not is_everywhere:
            example = f"NAME-OR-ADDRESS:{port}" if host in EVERYWHERE else self.peer
            raise SettingsError(f"seeds must include this node itself, as {self.name}={example}")

    @property
    def http_reached(self) -> str:
        """Where clients reach it: of one that listens everywhere, at the host that the other nodes know."""
        host, port = parse_address("http", self.http)
        if host not in EVERYWHERE or not self.seeds:
            return self.http
        known = self.seeds[self.name].rpartition(":")[0]
        return f"{known}:{port}"

    def _check_secret(self) -> None:
        if self.secret:
            return
        for address in (self.peer, *self.seeds.values()):
            if not _is_loopback(parse_address("peer", address)[0]):
                raise SettingsError(
                    f"peer address {address} is not loopback: nodes that talk over a network need a shared secret; "
                    "give --secret-file or RINGKV_SECRET"
                )

    @classmethod
    def load(cls, options: Mapping[str, object], environ: Mapping[str, str]) -> Self:
        """Settings from `options` (None: not given) and RINGKV_* of `environ`.

        Raises: SettingsError.
        """
        own = {item.name: item for item in fields(cls) if item.name != "limits"}
        bounds = {item.name: item for item in fields(Limits)}
        strangers = set(options) - {*own, *bounds, "secret_file"}
        assert not strangers, f"no such settings: {strangers}"
        given: dict[str, object] = {}
        for name in (*own, *bounds, "secret_file"):
            value = options.get(name)
            if value is None:
                value = environ.get(f"RINGKV_{name.upper()}") or None
            if value is not None:
                given[name] = value
        if "secret_file" in given:
            given["secret"] = _read_secret(str(given.pop("secret_file")))
        for name, item in own.items():
            if name not in given and item.default is MISSING and item.default_factory is MISSING:
                raise SettingsError(f"{name} is required: give --{name} or RINGKV_{name.upper()}")
        chosen: dict[str, Any] = {name: _convert(name, given[name]) for name in given}
        limits = Limits(**{name: value for name, value in chosen.items() if name in bounds})
        return cls(limits=limits, **{name: value for name, value in chosen.items() if name in own})

    def host_options(self, process_id: int) -> HostOptions:
        """What the replication layer needs to know."""
        return HostOptions(
            name=self.name,
            directory=self.data,
            peer=self.peer,
            http=self.http_reached,
            pid=process_id,
            seeds=dict(self.seeds),
            zone=self.zone,
            partitions=self.partitions,
            replication_factor=self.replication_factor,
            secret=self.secret,
            timing=Timing(lease_seconds=self.lease_seconds),
        )


def check_keeping(seconds: float) -> None:
    """Raises: SettingsError, for an idempotency_seconds that cannot be."""
    if not 1 <= seconds <= IDEMPOTENCY_SECONDS_MAX:
        raise SettingsError(f"idempotency_seconds must be from 1 to {IDEMPOTENCY_SECONDS_MAX:g}, not {seconds:g}")


def check_lease(seconds: float) -> None:
    """Raises: SettingsError."""
    if not 0 <= seconds <= LEASE_SECONDS_MAX:
        raise SettingsError(
            f"lease_seconds must be from 0, which is off, to {LEASE_SECONDS_MAX:g}, "
            f"{LEASE_SHARE_MAX:g} of the shortest election timeout; not {seconds:g}"
        )


def parse_address(name: str, text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`.

    Raises: SettingsError, which says `name`.
    """
    try:
        return split_address(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def parse_seeds(text: str) -> dict[str, str]:
    """`n1=HOST:PORT,n2=HOST:PORT` as a mapping.

    Raises: SettingsError.
    """
    seeds: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, address = part.partition("=")
        if not equals or not name:
            raise SettingsError(f"seeds: expected NAME=HOST:PORT, not {part!r}")
        if name in seeds:
            raise SettingsError(f"seeds: {name} is named twice")
        seeds[name] = address
    return seeds


def _convert(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    if name == "seeds":
        return parse_seeds(value)
    if name == "secret":
        return value.encode()
    if name in {"name", "data", "http", "peer", "zone"}:
        return value
    if name == "consistency":
        try:
            return Level(value)
        except ValueError:
            raise SettingsError(f"consistency must be one of {', '.join(Level)}, not {value!r}") from None
    number = float if name.endswith("_seconds") else int
    try:
        return number(value)
    except ValueError:
        raise SettingsError(f"{name}: expected a number, not {value!r}") from None


def _read_secret(path: str) -> bytes:
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"secret_file: cannot read {path}: {error.strerror}") from error
    if not secret:
        raise SettingsError(f"secret_file: {path} is empty")
    return secret


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
