"""Settings: where they come from, and what is refused."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.settings import CEILINGS, LEASE_SECONDS_MAX, Limits, Settings, SettingsError, parse_address, parse_seeds

NEEDED = {"name": "n1", "data": "d", "http": "127.0.0.1:8001", "peer": "127.0.0.1:9001"}
SECRET = b"0123456789abcdef"


def test_an_option_wins_over_the_environment_and_that_over_the_default() -> None:
    environ = {"RINGKV_ZONE": "east", "RINGKV_PARTITIONS": "8", "RINGKV_HEAD_SECONDS": "2.5", "OTHER": "x"}

    settings = Settings.load({**NEEDED, "zone": "west", "secret_file": None}, environ)

    assert (settings.zone, settings.partitions, settings.replication_factor) == ("west", 8, 3)
    assert settings.limits.head_seconds == 2.5
    assert settings.limits.body_seconds == Limits().body_seconds


def test_everything_may_come_from_the_environment() -> None:
    environ = {f"RINGKV_{name.upper()}": value for name, value in NEEDED.items()}
    environ["RINGKV_SEEDS"] = "n1=127.0.0.1:9001, n2=127.0.0.1:9002"

    settings = Settings.load({}, environ)

    assert settings.seeds == {"n1": "127.0.0.1:9001", "n2": "127.0.0.1:9002"}


@pytest.mark.parametrize(("name", "ceiling"), CEILINGS.items())
def test_no_limit_lets_in_what_a_replica_does_not_take(name: str, ceiling: int) -> None:
    variable = f"RINGKV_{name.upper()}"
    assert getattr(Settings.load(NEEDED, {variable: f"{ceiling}"}).limits, name) == ceiling

    with pytest.raises(SettingsError, match=f"{name} must not exceed {ceiling}"):
        Settings.load(NEEDED, {variable: f"{ceiling + 1}"})


@pytest.mark.parametrize("seconds", [0.0, 0.5, LEASE_SECONDS_MAX])
def test_a_lease_ends_before_anybody_else_may_be_elected(seconds: float) -> None:
    """Even where the leader's clock runs 10 % slower than that of the follower that waits the shortest time."""
    settings = Settings.load(NEEDED, {"RINGKV_LEASE_SECONDS": str(seconds)})

    timing = settings.host_options(42).timing

    assert timing.lease_seconds == seconds
    assert timing.lease_seconds * 1.1 < timing.election_seconds_min
    assert Settings.load(NEEDED, {}).host_options(42).timing.lease_seconds == 0


def test_a_secret_comes_from_a_file_and_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")

    settings = Settings.load({**NEEDED, "peer": "10.0.0.1:9001", "secret_file": str(path)}, {})

    assert settings.secret == SECRET
    assert SECRET.decode() not in repr(settings)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": None}, "name is required"),
        ({"name": "a/b"}, "name must be"),
        ({"http": "8001"}, "http: expected HOST:PORT"),
        ({"http": ":8001"}, "http: expected HOST:PORT"),
        ({"http": "127.0.0.1:http"}, "http: expected HOST:PORT"),
        ({"http": "127.0.0.1:65536"}, "http: expected HOST:PORT"),
        ({"peer": "::1:9001"}, "needs brackets"),
        ({"peer": "10.0.0.1:9001"}, "is not loopback"),
        ({"peer": "n1.example:9001"}, "is not loopback"),
        ({"seeds": "n1=127.0.0.1:9001,n2=10.0.0.2:9001"}, "is not loopback"),
        ({"seeds": "n2=127.0.0.1:9002"}, "must include this node itself"),
        ({"seeds": "n1=127.0.0.1:9009"}, "must include this node itself"),
        ({"seeds": "n1"}, "expected NAME=HOST:PORT"),
        ({"seeds": "n1=127.0.0.1:9001,n1=127.0.0.1:9002"}, "named twice"),
        ({"partitions": 12}, "power of two"),
        ({"partitions": 2048}, "power of two"),
        ({"partitions": "many"}, "expected a number"),
        ({"replication_factor": 0}, "at least 1"),
        ({"lease_seconds": -0.1}, "lease_seconds must be from 0, which is off, to 0.8, 0.8 of the shortest election"),
        ({"lease_seconds": 0.81}, "shortest election timeout; not 0.81"),
        ({"lease_seconds": "nan"}, "not nan"),
        ({"lease_seconds": "on"}, "expected a number"),
        ({"head_bytes_max": 0}, "greater than 0"),
        ({"timeout_ms": 70_000}, "must not exceed"),
        ({"secret_file": "/nowhere/at/all"}, "cannot read"),
    ],
)
def test_what_is_wrong_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(text)):
        Settings.load({**NEEDED, **options}, {})


def test_loopback_needs_no_secret() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "localhost", "[::1]"):
        assert Settings.load({**NEEDED, "peer": f"{host}:9001"}, {}).secret == b""


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"\n")

    with pytest.raises(SettingsError, match="is empty"):
        Settings.load({**NEEDED, "secret_file": str(path)}, {})


def test_addresses() -> None:
    assert parse_address("http", "[::1]:80") == ("::1", 80)
    assert parse_address("http", "localhost:0") == ("localhost", 0)
    assert parse_seeds("") == {}


def test_the_host_is_told_everything() -> None:
    settings = Settings.load({**NEEDED, "seeds": "n1=127.0.0.1:9001", "zone": "z", "secret": SECRET}, {})

    options = settings.host_options(42)

    assert (options.name, options.directory, options.pid, options.zone) == ("n1", "d", 42, "z")
    assert (options.http, options.peer, options.seeds) == (settings.http, settings.peer, settings.seeds)
    assert (options.secret, options.partitions, options.replication_factor) == (SECRET, 16, 3)


def test_a_node_that_listens_everywhere_is_reached_by_the_name_the_others_know() -> None:
    seeds = {"n1": "n1-peer:9001", "n2": "n2-peer:9001"}
    node = Settings(name="n1", data="d", http="0.0.0.0:8001", peer="0.0.0.0:9001", seeds=seeds, secret=b"x" * 32)

    assert node.http_reached == "n1-peer:8001"
    assert node.host_options(1).http == "n1-peer:8001"
    assert node.host_options(1).peer == "0.0.0.0:9001"
    with pytest.raises(SettingsError, match="n1=NAME-OR-ADDRESS:9002"):
        replace(node, peer="0.0.0.0:9002")
    with pytest.raises(SettingsError, match=r"n1=10\.0\.0\.1:9001"):
        replace(node, peer="10.0.0.1:9001")
    assert replace(node, http="10.0.0.1:8001").http_reached == "10.0.0.1:8001"
