"""Settings: where they come from, and what is refused."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from app.setting import Setting, SettingsError, settings_of
from app.settings import (
    ALL_SETTINGS,
    LEASE_SECONDS_MAX,
    Limits,
    Settings,
    parse_address,
    parse_seeds,
    unknown_variables,
)

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


NUMBERS = [item for item in ALL_SETTINGS if item.least is not None]


@pytest.mark.parametrize("item", NUMBERS, ids=[item.name for item in NUMBERS])
def test_a_number_has_bounds_that_its_refusal_names(item: Setting) -> None:
    """No limit lets in what a replica does not take, and none is nothing at all."""
    assert item.least is not None and item.most is not None
    for value in (item.least - 1, item.most + 1):
        with pytest.raises(SettingsError, match=f"{item.name} must be from {item.least:.12g} to {item.most:.12g}, not"):
            Settings.load(NEEDED, {item.variable: f"{value:.12g}"})
    with pytest.raises(SettingsError, match=f"{item.name}: expected a (whole )?number, not 'x'"):
        Settings.load(NEEDED, {item.variable: "x"})


@pytest.mark.parametrize("item", [item for item in NUMBERS if not item.name.startswith("timeout")], ids=str)
def test_a_number_may_be_its_bounds(item: Setting) -> None:
    for value in (item.least, item.most):
        settings = Settings.load(NEEDED, {item.variable: f"{value:.12g}"})

        holder = settings if hasattr(settings, item.name) else settings.limits
        assert getattr(holder, item.name) == value


def test_every_setting_is_declared_with_what_it_means() -> None:
    for kind in (Settings, Limits):
        declared = {item.name for item in settings_of(kind)}
        assert {item.name for item in fields(kind)} - declared <= {"limits"}
    for item in ALL_SETTINGS:
        assert item.text.endswith(".") and len(item.text) > 15, item.name
        assert item.kind not in {int, float} or item.least is not None, f"{item.name} has no bounds"


def test_all_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(SettingsError, match=re.escape("name, http and peer are required: give --name --http --peer")):
        Settings.load({"data": "d"}, {})


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_file_gives_what_neither_option_nor_environment_does(tmp_path: Path) -> None:
    path = write(
        tmp_path / "ringkv.toml",
        """
        name = "n2"
        data = "d"
        http = "127.0.0.1:8001"
        peer = "127.0.0.1:9002"
        zone = "file"
        partitions = 8
        lease_seconds = 0.5
        consistency = "stale"
        [seeds]
        n1 = "127.0.0.1:9001"
        n2 = "127.0.0.1:9002"
        [limits]
        pair_bytes_max = 20480
        body_seconds = 3
        """,
    )

    settings = Settings.load({"zone": "option"}, {"RINGKV_CONFIG": path, "RINGKV_PARTITIONS": "4"})

    assert (settings.name, settings.zone, settings.partitions, settings.consistency) == ("n2", "option", 4, "stale")
    assert settings.seeds == {"n1": "127.0.0.1:9001", "n2": "127.0.0.1:9002"}
    assert (settings.limits.pair_bytes_max, settings.limits.body_seconds) == (20480, 3.0)
    assert Settings.load({"config": path}, {"RINGKV_ZONE": "environment"}).zone == "environment"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("partitons = 8", "there is no setting partitons (did you mean partitions?)"),
        ("[limits]\nkey_byte_max = 8", "there is no setting key_byte_max (did you mean key_bytes_max?)"),
        ("[limits]\npartitions = 8", "there is no setting partitions"),
        ("limits = 3", "write [limits]"),
        ("pair_bytes_max = 9\n[limits]\npair_bytes_max = 8", "pair_bytes_max is given twice"),
        ("partitions =", "is not TOML"),
        ("partitions = true", "partitions: expected a whole number, not True"),
        ("partitions = 8.0", "partitions: expected a whole number, not 8.0"),
        ("partitions = [8]", "partitions: expected a whole number, not [8]"),
        ("zone = 8", "zone: expected a text, not 8"),
        ("consistency = 8", "consistency: expected a text, not 8"),
        ("seeds = 8", "seeds: expected NAME=HOST:PORT"),
        ("seeds = {n1 = 8}", "seeds: expected NAME=HOST:PORT"),
        ("secret = 'x'", "put the secret into a file of its own"),
        ("config = 'x'", "there is no setting config"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text: str, complaint: str, tmp_path: Path) -> None:
    path = write(tmp_path / "ringkv.toml", text)

    with pytest.raises(SettingsError, match=re.escape(complaint)):
        Settings.load({**NEEDED, "config": path}, {})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ringkv.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsError, match="is not TOML"):
        Settings.load({**NEEDED, "config": str(tmp_path / "ringkv.toml")}, {})
    with pytest.raises(SettingsError, match=r"config: cannot read .*: No such file"):
        Settings.load({**NEEDED, "config": str(tmp_path / "nowhere.toml")}, {})


def test_a_variable_that_is_no_setting_is_told_of() -> None:
    of_kubernetes = ("RINGKV_SERVICE_HOST", "RINGKV_PORT", "RINGKV_PORT_8001_TCP_ADDR", "RINGKV_PEER_SERVICE_PORT_HTTP")
    environ = dict.fromkeys((*of_kubernetes, "RINGKV_PARTITION", "RINGKV_URL", "RINGKV_ZONE", "PATH"), "1")

    (sentence,) = unknown_variables(environ, ["RINGKV_URL"])

    assert sentence.startswith("RINGKV_PARTITION is no setting, and has no effect (did you mean RINGKV_PARTITIONS?);")


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
        ({"partitions": 2048}, "partitions must be from 1 to 1024, not 2048"),
        ({"partitions": "many"}, "expected a whole number"),
        ({"replication_factor": 0}, "replication_factor must be from 1 to 100, not 0"),
        ({"lease_seconds": -0.1}, "lease_seconds must be from 0 to 0.8, not -0.1"),
        ({"lease_seconds": 0.81}, "lease_seconds must be from 0 to 0.8, not 0.81"),
        ({"lease_seconds": "nan"}, "not nan"),
        ({"lease_seconds": "on"}, "expected a number"),
        ({"consistency": "weak"}, "consistency must be one of linearizable, lease, session, bounded, stale"),
        ({"timeout_ms": 70_000}, "must not exceed timeout_ms_max: 70000 is more than 60000"),
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
