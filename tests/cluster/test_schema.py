"""The OpenAPI document, as tools read it that know nothing of us: it is complete, and true."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.nodes import Cluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parent.parent.parent
CASES_MIN = 2_000


def run(*command: str, directory: Path, **environment: str) -> str:
    """The output of a tool of this environment, in a directory where it may leave what it likes."""
    tool = Path(sys.executable).parent / command[0]
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(tool), *command[1:]],
        cwd=directory,
        env={**os.environ, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    return done.stdout


@pytest.mark.timeout(300)
def test_schemathesis_finds_nothing(cluster: Cluster, tmp_path: Path, measured: Callable[[str], None]) -> None:
    """All its checks, stateful too, with what the document allows and with what it forbids."""
    url = next(iter(cluster)).url
    output = run(
        "schemathesis",
        *("--config-file", str(ROOT / "tests/cluster/schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--checks", "all", "--max-examples", "150", "--seed", "1"),
        directory=tmp_path,
        PYTHONPATH=str(ROOT),
        SCHEMATHESIS_HOOKS="tests.cluster.schemathesis_hooks",
    )

    passed = re.search(r"([0-9]+) generated, ([0-9]+) passed", output)
    assert passed is not None, output[-2_000:]
    assert passed[1] == passed[2]
    assert int(passed[1]) >= CASES_MIN
    assert re.search(r"✅ Stateful", output), output[-2_000:]
    measured(f"schemathesis: {passed[1]} cases, none failed")


def test_a_generated_client_puts_and_gets(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = next(iter(cluster))
    (tmp_path / "openapi.json").write_bytes(node.request("GET", "/openapi.json")[2])
    run(
        *("openapi-python-client", "generate", "--path", "openapi.json"),
        *("--output-path", "generated_client", "--meta", "none"),
        directory=tmp_path,
    )
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module("generated_client")
    types = importlib.import_module("generated_client.types")
    put_key, get_key = (importlib.import_module(f"generated_client.api.data.{name}_key") for name in ("put", "get"))

    with package.Client(base_url=node.url) as client:
        written = put_key.sync_detailed("generated/ä", client=client, body=types.File(b"\x00value\xff"))
        read = get_key.sync_detailed("generated/ä", client=client)

    assert (written.status_code, read.status_code, read.content) == (204, 200, b"\x00value\xff")
    assert written.headers["etag"] == read.headers["etag"]
