"""What the image begins with. That it works is shown by `make docker-test`."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENTRYPOINT = ROOT / "docker" / "entrypoint.py"


def test_whoever_comes_first_makes_the_secret(tmp_path: Path) -> None:
    """Many nodes start at once; all read the same, whole secret, that nobody else may read."""
    ringkv = tmp_path / "bin" / "ringkv"
    ringkv.parent.mkdir()
    ringkv.write_text('#!/bin/sh\ncat "$RINGKV_SECRET_FILE"\n')
    ringkv.chmod(0o755)
    secret = tmp_path / "secret" / "peers"
    secret.parent.mkdir()
    environment = {**os.environ, "PATH": f"{ringkv.parent}:{os.environ['PATH']}", "RINGKV_SECRET_FILE": str(secret)}

    nodes = [
        subprocess.Popen([sys.executable, ENTRYPOINT, "node"], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    read = {node.communicate(timeout=30)[0] for node in nodes}

    assert len(read) == 1 and re.fullmatch("[0-9a-f]{64}", read.pop())
    assert [path.name for path in secret.parent.iterdir()] == ["peers"]
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "peers"
    done = subprocess.run(
        [sys.executable, ENTRYPOINT, "node"],
        env={**os.environ, "RINGKV_SECRET_FILE": str(missing)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"ringkv: no secret can be made in {missing}: ")
