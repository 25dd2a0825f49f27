"""`ringkv settings`, the help of `ringkv node`, and variables that are no settings."""

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from app.cli import main
from app.settings import ALL_SETTINGS, CONFIG, SECRET_FILE
from tests.app.test_server import node


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environ)


def test_every_setting_is_printed_with_default_and_bounds() -> None:
    shown = run("settings").stdout

    for item in (*ALL_SETTINGS, SECRET_FILE, CONFIG):
        assert f"{item.variable}  (" in shown or f"{item.variable}\n" in shown
    assert "RINGKV_PARTITIONS  (default 16; from 1 to 1024)\n" in shown
    assert "RINGKV_NAME  (required)\n" in shown


def test_the_same_as_json() -> None:
    listed = {item["name"]: item for item in json.loads(run("settings", "--json").stdout)}

    assert listed["partitions"] | {"text": ""} == {
        "name": "partitions",
        "variable": "RINGKV_PARTITIONS",
        "option": "--partitions",
        "required": False,
        "default": 16,
        "least": 1,
        "most": 1024,
        "choices": None,
        "text": "",
    }
    assert listed["secret"]["option"] is None


def test_the_help_of_a_node_says_what_is_required_and_takes_every_setting() -> None:
    shown = run("node", "--help").stdout

    required, others = shown.split("Settings:")
    for option in ("--name", "--data", "--http", "--peer"):
        assert option in required and f"  {option} " not in others
    assert required.count("[required]") == 4
    for item in (*ALL_SETTINGS, SECRET_FILE, CONFIG):
        assert (f"  {item.option} " in shown) is not item.is_secret, item.name


def test_all_that_is_missing_is_told_at_once() -> None:
    failed = run("node", "--data", "d")

    assert failed.exit_code == 2
    assert "name, http and peer are required: give --name --http --peer, or RINGKV_NAME RINGKV_HTTP" in failed.stderr


def test_a_cluster_is_not_begun_with_settings_that_no_node_takes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    config = tmp_path / "ringkv.toml"
    config.write_text("head_secods = 3")

    for arguments, environ, complaint in (
        (("--lease-seconds", "5"), {}, "lease_seconds must be from 0 to 0.8, not 5"),
        (("--consistency", "weak"), {}, "consistency must be one of"),
        (("--config", str(config)), {}, "there is no setting head_secods (did you mean head_seconds?)"),
        ((), {"RINGKV_HEAD_SECONDS": "-1"}, "head_seconds must be from"),
    ):
        failed = run("up", "--data", str(data), *arguments, **environ)
        assert failed.exit_code == 2 and complaint in failed.stderr, failed.output
    assert not data.exists()


def test_a_variable_that_is_no_setting_is_a_warning(tmp_path: Path) -> None:
    with node(tmp_path / "n1", RINGKV_PARTITIONS="2", RINGKV_HEAD_SECOND="3", RINGKV_URL="http://x") as running:
        running.process.terminate()
        _, said = running.process.communicate(timeout=20)

    assert said.count("is no setting") == 1
    assert (
        "WARNING n1 ringkv.node RINGKV_HEAD_SECOND is no setting, and has no effect (did you mean RINGKV_HEAD" in said
    )


def test_a_node_reads_a_file(tmp_path: Path) -> None:
    config = tmp_path / "ringkv.toml"
    config.write_text("name = 'n1'\ndata = 'd'\nhttp = '127.0.0.1:0'\npeer = '127.0.0.1:0'\npartitions = 3")

    failed = subprocess.run(
        [sys.executable, "-m", "app.cli", "node", "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert failed.returncode == 2 and "partitions must be a power of two up to 1024, not 3" in failed.stderr
