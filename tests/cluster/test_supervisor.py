import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.nodes import wait_until
from tests.cluster.supervised import COMMAND, Supervised, has_ended

pytestmark = pytest.mark.cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Supervised]:
    cluster = Supervised(tmp_path)
    try:
        yield cluster
    finally:
        if cluster.is_running:
            cluster.kill()
        print(cluster.log_text()[-4000:])


def up(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "up", "--data", str(data), "--http-port", "0", "--peer-port", "0", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_clean_and_what_was_stored_is_there_again(cluster: Supervised, number: signal.Signals) -> None:
    cluster.start_ready()
    assert cluster.ringkv("put", "k", "v").returncode == 0
    urls, pids = cluster.urls, [cluster.node_pid(name) for name in cluster.nodes]

    begun = time.monotonic()
    cluster.send(number)

    assert cluster.wait(15) == 0
    assert time.monotonic() - begun < 10
    assert all(map(has_ended, pids))
    assert "not every leadership could be handed over" not in cluster.log_text()

    cluster.start_ready()

    assert cluster.urls == urls
    assert cluster.ringkv("get", "k").stdout == "v"


def test_a_node_that_dies_is_started_again(cluster: Supervised) -> None:
    cluster.start_ready()
    before = cluster.node_pid("n3")

    os.kill(before, signal.SIGKILL)
    wait_until(lambda: cluster.node_pid("n3") != before, 20, "n3 runs again")

    assert "n3 ended unexpectedly (killed by SIGKILL); it starts again" in cluster.log_text()
    assert cluster.ringkv("put", "k", "v").returncode == 0


def test_who_is_not_ready_is_told_with_the_reason(cluster: Supervised) -> None:
    """A node that has lost its disk is refused by the others."""
    cluster.start_ready()
    cluster.send(signal.SIGTERM)
    assert cluster.wait(15) == 0
    shutil.rmtree(cluster.data / "n3")

    cluster.start()

    told = "n3 is not ready: node n"
    wait_until(lambda: told in cluster.log_text(), 60, "the supervisor tells")
    line = next(line for line in cluster.log_text().splitlines() if told in line)
    assert "refuses this node: node 'n3' runs on another data directory" in line
    assert "start it on that one" in line
    assert "n1 is not ready" not in cluster.log_text()[cluster.log_text().index(told) :]


def test_a_node_that_ends_again_and_again_is_told_with_its_last_line(cluster: Supervised) -> None:
    cluster.start_ready()
    damaged = cluster.data / "n3" / "identity"
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])

    os.kill(cluster.node_pid("n3"), signal.SIGKILL)

    told = "n3 has ended 3 times, the last thing it said is: ringkv: "
    wait_until(lambda: told in cluster.log_text(), 60, "the supervisor tells what the node said")
    line = next(line for line in cluster.log_text().splitlines() if told in line)
    assert str(damaged) in line
    assert f"`ringkv verify {cluster.data / 'n3'}`" in line


def test_a_stop_is_clean_while_the_nodes_start(cluster: Supervised) -> None:
    cluster.start()
    wait_until((cluster.data / "n1").exists, 30, "n1 has begun")

    cluster.send(signal.SIGTERM)

    assert cluster.wait(15) == 0


def test_a_stop_is_clean_while_a_node_is_down(cluster: Supervised) -> None:
    cluster.start_ready()
    os.kill(cluster.node_pid("n1"), signal.SIGKILL)

    cluster.send(signal.SIGTERM)

    assert cluster.wait(15) == 0


def test_a_node_that_does_not_stop_is_killed(cluster: Supervised) -> None:
    cluster.start_ready()
    os.kill(cluster.node_pid("n2"), signal.SIGSTOP)

    cluster.send(signal.SIGTERM)

    assert cluster.wait(20) == 1
    assert "n2 did not stop within 10 s and is killed" in cluster.log_text()


def test_the_nodes_die_with_their_supervisor(cluster: Supervised) -> None:
    cluster.start_ready()
    pids = [cluster.node_pid(name) for name in cluster.nodes]

    cluster.kill()

    wait_until(lambda: all(map(has_ended, pids)), 5, "all nodes have ended")


def test_its_files_are_for_their_owner_alone(cluster: Supervised) -> None:
    cluster.start_ready()

    assert cluster.data.stat().st_mode & 0o777 == 0o700
    assert (cluster.data / "secret").stat().st_mode & 0o777 == 0o600
    secret = (cluster.data / "secret").read_text().strip()
    arguments = Path(f"/proc/{cluster.node_pid('n1')}/cmdline").read_text()
    assert secret not in arguments
    assert secret not in cluster.log_text()


def test_what_cannot_be_changed_is_refused(cluster: Supervised) -> None:
    cluster.start_ready()
    second = up(cluster.data)
    cluster.send(signal.SIGTERM)
    cluster.wait(15)

    assert (second.returncode, second.stderr) == (1, f"Error: another `ringkv up` runs on {cluster.data}\n")
    peer_port = str(json.loads((cluster.data / "cluster.json").read_text())["members"][0]["peer_port"])
    for option, known, asked in (("nodes", "3", "4"), ("partitions", "16", "32"), ("peer-port", peer_port, "9001")):
        result = up(cluster.data, f"--{option}", asked)
        assert result.returncode == 1
        assert (
            result.stderr
            == f"Error: {cluster.data} was made with --{option} {known}, not {asked}; give another --data for that\n"
        )


def test_a_port_in_use_stops_everything(cluster: Supervised, tmp_path: Path) -> None:
    """Also when what listens there is a node itself, healthy and ready: it is not ours."""
    cluster.start_ready()
    taken = cluster.urls.split(",")[0].rpartition(":")[2]

    result = up(tmp_path / "other", "--http-port", taken)

    assert result.returncode == 1
    assert "could not start (exit code 1, its reason is above)" in result.stderr
    assert "Traceback" not in result.stderr
    for name in ("n1", "n2", "n3"):
        pid = tmp_path / "other" / name / "node.pid"
        assert not pid.exists() or has_ended(int(pid.read_text()))


def test_another_directory_named_app_is_not_run(cluster: Supervised, tmp_path: Path) -> None:
    """Whoever stands in a project with a package `app` of their own still gets our nodes."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('not the one')")
    program = "from app.cli import main; main()"
    command = [COMMAND[0], "-P", "-c", program, "up", "--data", "d", "--http-port", "0", "--peer-port", "0"]
    root = str(Path(__file__).parent.parent.parent)

    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ringkv is ready: ")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
