"""Settings of one node: from the command line, the environment and a file, checked once, passed down whole.

An option given wins over its environment variable, which wins over the configuration file, which wins over the
default. The option of `head_bytes_max` is --head-bytes-max, its variable RINGKV_HEAD_BYTES_MAX, its name in the file
head_bytes_max, and so for every setting; `secret_file` names a file that holds the secret, so that it need not stand
in an argument list. Each is described where it is declared, and `ringkv settings` prints all of it.
"""

import ipaddress
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.logs import FORMATS, LEVELS
from app.origins import parse_hosts, parse_origins
from app.setting import Setting, SettingsError, nearest, setting, settings_of
from raftgroups import (
    CONTENT_TYPE_LENGTH_MAX,
    KEY_BYTES_MAX,
    LEASE_SHARE_MAX,
    SPAN_BYTES_MAX,
    SPAN_KEYS_MAX,
    TTL_GRACE_SECONDS,
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

PARTITIONS_MAX = 1_024
NODES_MAX = 100

_MEBIBYTE = 1 << 20
_HOUR_SECONDS = 3_600.0

# Kubernetes gives every container such variables of a Service that is called `ringkv`; nobody has set them.
_OF_A_SERVICE = re.compile(r"RINGKV_(.*_)?(PORT(_.+)?|SERVICE_(HOST|PORT(_.+)?))")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request or connection may take; published by /v1/limits."""

    key_bytes_max: int = setting(1_024, least=1, most=KEY_BYTES_MAX, text="A longer key is refused with 414.")
    pair_bytes_max: int = setting(
        10_240,
        least=1,
        most=VALUE_BYTES_MAX,
        text="Key and value together; a larger pair is refused with 413. Give it to all nodes alike.",
    )
    content_type_bytes_max: int = setting(
        255, least=1, most=CONTENT_TYPE_LENGTH_MAX, text="The Content-Type that is kept with a value."
    )
    head_bytes_max: int = setting(
        16_384, least=1, most=_MEBIBYTE, text="The request line and the headers of a request together."
    )
    headers_max: int = setting(100, least=1, most=10_000, text="The headers of a request.")
    body_bytes_max: int = setting(
        65_536,
        least=1,
        most=64 * _MEBIBYTE,
        text="A body, except for that of a key, which pair_bytes_max bounds, a batch or a transaction, which"
        " batch_bytes_max bounds, and an import, which may have any length.",
    )
    batch_bytes_max: int = setting(
        _MEBIBYTE, least=1, most=64 * _MEBIBYTE, text="The body of a batch or a transaction."
    )
    batch_operations_max: int = setting(1_000, least=1, most=100_000, text="The operations of one batch.")
    scan_keys_max: int = setting(1_000, least=1, most=SPAN_KEYS_MAX, text="The keys in one page of a scan.")
    scan_bytes_max: int = setting(
        _MEBIBYTE,
        least=1,
        most=SPAN_BYTES_MAX,
        text="The keys and values in one page of a scan, unless it is a single pair.",
    )
    drain_bytes_max: int = setting(
        65_536,
        least=1,
        most=64 * _MEBIBYTE,
        text="How much of a refused body is read and thrown away to keep its connection.",
    )
    connections_max: int = setting(
        8_192, least=1, most=1_000_000, text="Open connections of clients; one more is refused with 503."
    )
    watches_max: int = setting(4_096, least=1, most=1_000_000, text="Watches that are open at this node.")
    watch_queue_bytes_max: int = setting(
        131_072,
        least=1,
        most=64 * _MEBIBYTE,
        text="Events that a watch has yet to hand out; when there are more, its reader is waited for.",
    )
    pipeline_max: int = setting(
        64, least=1, most=10_000, text="Requests of one connection that are taken in before their answers are out."
    )
    head_seconds: float = setting(8.0, least=0.001, most=_HOUR_SECONDS, text="How long a head may take to arrive.")
    body_seconds: float = setting(8.0, least=0.001, most=_HOUR_SECONDS, text="How long a body may take to arrive.")
    import_pause_seconds: float = setting(
        300.0,
        least=0.001,
        most=24 * _HOUR_SECONDS,
        text="How long the body of an import may pause before no more of it is waited for; what has come is kept.",
    )
    send_seconds: float = setting(
        30.0, least=0.001, most=_HOUR_SECONDS, text="How long a client may leave its answers unread."
    )
    keep_alive_seconds: float = setting(
        75.0, least=0.001, most=24 * _HOUR_SECONDS, text="How long a connection may be idle."
    )
    linger_seconds: float = setting(
        2.0,
        least=0.001,
        most=_HOUR_SECONDS,
        text="How long a refused client is listened to, so that it reads the refusal before the connection ends.",
    )
    timeout_ms: int = setting(
        5_000, least=1, most=3_600_000, text="How long a request may take that does not say so with KV-Timeout-Ms."
    )
    timeout_ms_max: int = setting(60_000, least=1, most=3_600_000, text="The longest KV-Timeout-Ms that is granted.")

    def __post_init__(self) -> None:
        for item in settings_of(Limits):
            item.check(getattr(self, item.name))
        if self.timeout_ms > self.timeout_ms_max:
            raise SettingsError(
                f"timeout_ms must not exceed timeout_ms_max: {self.timeout_ms} is more than {self.timeout_ms_max}"
            )


@dataclass(frozen=True, slots=True)
class Settings:
    """One node: what it is called, where it keeps its state and listens, and what its cluster is like."""

    name: str = setting(text="This node's name: unique in its cluster, and its identity for as long as it lives.")
    data: str = setting(text="The directory where this node keeps its state.")
    http: str = setting(text="HOST:PORT to serve HTTP at; 0.0.0.0 and [::] are every address of the machine.")
    peer: str = setting(text="HOST:PORT to listen at for the other nodes.")
    seeds: Mapping[str, str] = setting(
        factory=dict,
        text="The initial members, this one too, and the peer addresses that the others reach them at:"
        " n1=HOST:PORT,n2=HOST:PORT. Without it the node is a cluster of one. Names are identity: on a later start the"
        " addresses may be others, but not the names.",
    )
    zone: str = setting("", text="The replicas of a partition prefer different zones.")
    secret: bytes = setting(
        b"",
        is_secret=True,
        text="What proves that a node belongs to the cluster. Without one every peer address must be loopback.",
    )
    partitions: int = setting(
        16, least=1, most=PARTITIONS_MAX, text="Arcs of the ring of a new cluster: a power of two, fixed for ever."
    )
    replication_factor: int = setting(
        3, least=1, most=NODES_MAX, text="Of a new cluster: how many nodes hold each partition."
    )
    lease_seconds: float = setting(
        0.0,
        least=0,
        most=LEASE_SECONDS_MAX,
        text="How long a leader that a majority has confirmed answers reads with consistency=lease by itself; 0 is"
        " never. Set it only where the rates of any two nodes' monotonic clocks differ by less than 10 %, or such reads"
        " may be old; others never are. Give it to all nodes alike. While it is set, a leader that fails is replaced"
        " only after a second or two.",
    )
    quiet_seconds: float = setting(
        2.0,
        least=0,
        most=_HOUR_SECONDS,
        text="A partition sleeps once nothing has been asked of it for so long: it costs nothing then, and wakes with"
        " the next request. 0 is never.",
    )
    consistency: Level = setting(
        Level.LINEARIZABLE, choices=tuple(Level), text="The level of a read that does not ask for one."
    )
    idempotency_seconds: float = setting(
        IDEMPOTENCY_SECONDS,
        least=1,
        most=IDEMPOTENCY_SECONDS_MAX,
        text="How long the result of a write with an Idempotency-Key is kept.",
    )
    ttl_grace_seconds: float = setting(
        TTL_GRACE_SECONDS,
        least=0,
        most=_HOUR_SECONDS,
        text="While a partition has no leader nobody can renew what is about to expire. So when it has one again, keys"
        " with a TTL live longer by that time, but by no more than this; 0 is not at all. Give it to all nodes alike.",
    )
    drain_seconds: float = setting(
        0.0,
        least=0,
        most=_HOUR_SECONDS,
        text="How long a node that is told to stop goes on serving, with /readyz at 503 and Connection: close in every"
        " answer: as long as load balancers take to notice. A second signal ends it. `ringkv up`, which stops all of"
        " its nodes, sets it to 0.",
    )
    allow_host: str = setting(
        "",
        is_list=True,
        text="Names that the node is asked by, beside its addresses, localhost, the name that http binds, names without"
        " a dot, and those of the nodes; where it listens everywhere, also names in .local, .internal, .svc and"
        " .home.arpa. Any other Host is refused with 421. *.example.com is all below it, * is any.",
    )
    allow_origin: str = setting(
        "",
        is_list=True,
        text="Origins of web pages, as https://example.com:8443, that may use this node as its own pages do; * is any."
        " What pages of any other origin would change is refused with 403.",
    )
    log_level: str = setting("info", choices=LEVELS, text="The least that is logged.")
    log_format: str = setting("text", choices=FORMATS, text="How it is logged: text for people, json for programs.")
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", self.name):
            raise SettingsError(f"name must be 1 to 64 letters, digits, '_', '.' or '-', not {self.name!r}")
        parse_address("http", self.http)
        parse_address("peer", self.peer)
        for name, address in self.seeds.items():
            parse_address(f"seeds: {name}", address)
        self._check_seeds()
        for item in settings_of(Settings):
            item.check(getattr(self, item.name))
        if self.partitions & (self.partitions - 1):
            raise SettingsError(f"partitions must be a power of two up to {PARTITIONS_MAX}, not {self.partitions}")
        parse_hosts(self.allow_host)
        parse_origins(self.allow_origin)
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
        """Settings from `options` (None: not given), RINGKV_* of `environ`, and the file that `config` of them names.

        Raises: SettingsError.
        """
        known = {item.name: item for item in (*ALL_SETTINGS, SECRET_FILE, CONFIG)}
        assert options.keys() <= known.keys(), f"no such settings: {options.keys() - known.keys()}"
        given: dict[str, object] = {}
        for name, item in known.items():
            value = options.get(name)
            if value is None:
                value = environ.get(item.variable) or None
            if value is not None:
                given[name] = value
        if "config" in given:
            given = {**read_config(Path(str(given.pop("config")))), **given}
        if "secret_file" in given:
            given["secret"] = _read_secret(str(given.pop("secret_file")))
        missing = [item for item in known.values() if item.required and item.name not in given]
        if missing:
            raise SettingsError(_missing(missing))
        chosen: dict[str, Any] = {name: _convert(known[name], value) for name, value in given.items()}
        bounds = {item.name for item in settings_of(Limits)}
        limits = Limits(**{name: value for name, value in chosen.items() if name in bounds})
        return cls(limits=limits, **{name: value for name, value in chosen.items() if name not in bounds})

    def differences(self) -> str:
        """The settings that have no default, or another value, as NAME=VALUE; a secret is only said to be there."""
        told = []
        for item in ALL_SETTINGS:
            value = getattr(self if hasattr(self, item.name) else self.limits, item.name)
            if item.required or value != (item.default if item.default is not None else type(value)()):
                told.append(f"{item.name}={_shown(item, value)}")
        return " ".join(told)

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
            timing=Timing(lease_seconds=self.lease_seconds, quiet_seconds=self.quiet_seconds),
            ttl_grace_seconds=self.ttl_grace_seconds,
        )


def check_settings(environ: Mapping[str, str]) -> None:
    """Look at what all nodes of a cluster on this machine are given, before the first of them is started.

    Raises: SettingsError.
    """
    own = {"name": "n1", "data": ".", "http": "127.0.0.1:8001", "peer": "127.0.0.1:9001"}
    Settings.load(own, {name: value for name, value in environ.items() if name != "RINGKV_SEEDS"})


def read_config(path: Path) -> dict[str, object]:
    """The settings that a TOML file gives: `name = value` for each, those of a request also in [limits].

    Raises: SettingsError, which names the file.
    """
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"config: cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"config: {path} is not TOML: {error}") from error
    limits = document.pop("limits", {})
    if not isinstance(limits, dict):
        raise SettingsError(f"config: {path}: limits must be a table: write [limits] and the settings under it")
    takes = {item.name: item for item in (*ALL_SETTINGS, SECRET_FILE) if not item.is_secret}
    own = {item.name: item for item in settings_of(Limits)}
    for table, names in ((document, takes), (limits, own)):
        for name in table:
            if name == "secret":
                raise SettingsError(
                    f"config: {path}: put the secret into a file of its own, and name it as secret_file"
                )
            if name not in names:
                raise SettingsError(
                    f"config: {path}: there is no setting {name}{nearest(name, names)}; `ringkv settings` lists all"
                )
    twice = document.keys() & limits.keys()
    if twice:
        raise SettingsError(f"config: {path}: {min(twice)} is given twice; take one of them out")
    return document | limits


def unknown_variables(environ: Mapping[str, str], others: Iterable[str] = ()) -> list[str]:
    """A sentence for each RINGKV_* of `environ` that is neither a setting nor one of `others`."""
    known = dict.fromkeys((*(item.variable for item in (*ALL_SETTINGS, SECRET_FILE, CONFIG)), *others))
    return [
        f"{name} is no setting, and has no effect{nearest(name, known)}; `ringkv settings` lists all"
        for name in sorted(environ)
        if name.startswith("RINGKV_") and name not in known and not _OF_A_SERVICE.fullmatch(name)
    ]


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


def _missing(missing: list[Setting]) -> str:
    names = [item.name for item in missing]
    ways = [" ".join(item.option for item in missing), " ".join(item.variable for item in missing)]
    listed = f"{', '.join(names[:-1])} and {names[-1]} are" if len(names) > 1 else f"{names[0]} is"
    return f"{listed} required: give {ways[0]}, or {ways[1]} in the environment, or name a file with --config"


def _convert(item: Setting, value: object) -> object:
    if item.name == "secret":
        return value.encode() if isinstance(value, str) else value
    if item.name != "seeds":
        return item.convert(value)
    if isinstance(value, str):
        return parse_seeds(value)
    if isinstance(value, Mapping) and all(isinstance(address, str) for address in value.values()):
        return dict(value)
    raise SettingsError("seeds: expected NAME=HOST:PORT,NAME=HOST:PORT, or a table of names and addresses")


def _read_secret(path: str) -> bytes:
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"secret_file: cannot read {path}: {error.strerror}") from error
    if not secret:
        raise SettingsError(f"secret_file: {path} is empty")
    return secret


SECRET_FILE = Setting(
    "secret_file",
    str,
    "A file that holds the secret, so that it need not stand in the environment.",
    None,
    required=False,
)
CONFIG = Setting("config", str, "A TOML file with any of these settings, as NAME = VALUE.", None, required=False)
ALL_SETTINGS = (*settings_of(Settings), *settings_of(Limits))
"""Every setting; `secret_file` and `config` say where to find some of them."""


def _shown(item: Setting, value: object) -> str:
    if item.is_secret:
        return "(set)"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={address}" for name, address in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
