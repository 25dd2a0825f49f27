import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.offline import OfflineError, verify_directory
from app.supervisor import Wish, prepare
from engine import Engine, OsFileSystem, WriteBatch
from raftgroups.directory import DataDirectory
from raftgroups.host import HostOptions
from raftgroups.ids import PartitionId
from raftgroups.nodelog import NodeLog


def filled(directory: Path) -> Path:
    engine = Engine.open(str(directory))
    for number in range(100):
        batch = WriteBatch()
        batch.put(b"key %d" % number, b"value" * 10)
        engine.write(batch)
    engine.flush()
    engine.close()
    return directory


def filled_node(directory: Path) -> Path:
    """What a node with one partition leaves behind."""
    data = DataDirectory.open(OsFileSystem(), HostOptions("n1", str(directory), "127.0.0.1:9001", "127.0.0.1:8001"))
    NodeLog(OsFileSystem(), data.log_path).close()
    filled(Path(data.replica_path(PartitionId(0))))
    data.close()
    return directory


def filled_cluster(directory: Path) -> Path:
    """What `ringkv up` leaves behind: two nodes, and its plan."""
    directory.mkdir(exist_ok=True)
    prepare(directory, Wish(nodes=2, http_port=8001, peer_port=9001, partitions=1))
    for name in ("n1", "n2"):
        filled_node(directory / name)
    return directory


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)


def verify(directory: Path) -> Result:
    return CliRunner().invoke(main, ["verify", str(directory)])


def test_a_whole_engine_is_found_whole(tmp_path: Path) -> None:
    result = verify(filled(tmp_path / "engine"))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path / 'engine'}: no damage found\n"


def test_a_flipped_bit_is_named_with_its_file(tmp_path: Path) -> None:
    table = next(filled(tmp_path / "engine").glob("*.sst"))
    flip(table)

    result = verify(tmp_path / "engine")

    assert result.exit_code == 1
    assert table.name in result.stdout
    assert "Traceback" not in result.output


def test_a_store_without_its_first_file_is_a_store(tmp_path: Path) -> None:
    (filled(tmp_path / "engine") / "CURRENT").unlink()

    result = verify(tmp_path / "engine")

    assert result.exit_code == 1
    assert result.stdout.startswith(f"{tmp_path / 'engine' / 'CURRENT'} is damaged at byte 0: it is missing")


def test_damage_is_found_in_a_node_and_in_a_cluster(tmp_path: Path) -> None:
    filled_node(tmp_path / "node")
    cluster = filled_cluster(tmp_path / "cluster")
    assert verify_directory(tmp_path / "node") == verify_directory(cluster) == []
    for directory in (tmp_path / "node", cluster / "n1", cluster / "n2"):
        flip(next(directory.glob("p0000-0001/*.sst")))

    assert len(verify_directory(tmp_path / "node")) == 1
    assert [damage.split("/p0000")[0] for damage in verify_directory(cluster)] == [f"{cluster}/n1", f"{cluster}/n2"]


def test_what_is_lost_of_a_cluster_is_named(tmp_path: Path) -> None:
    cluster = filled_cluster(tmp_path)
    (cluster / "n1" / "identity").unlink()
    shutil.rmtree(cluster / "n2")

    assert verify_directory(cluster) == [f"{cluster}/n1/identity is missing", f"{cluster}/n2 is missing"]
    (cluster / "cluster.json").write_text("{")
    damaged, *others = verify_directory(cluster)
    assert damaged.startswith(f"{cluster}/cluster.json is damaged")
    assert others == [f"{cluster}/n1/identity is missing"]


def test_what_is_in_use_is_not_judged(tmp_path: Path) -> None:
    engine = Engine.open(str(tmp_path / "engine"))
    try:
        with pytest.raises(OfflineError, match="stop its node first"):
            verify_directory(tmp_path / "engine")
    finally:
        engine.close()


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    result = verify(tmp_path)

    assert (result.exit_code, result.stderr) == (1, f"Error: {tmp_path} is no data directory of ringkv\n")
    assert list(tmp_path.iterdir()) == []
