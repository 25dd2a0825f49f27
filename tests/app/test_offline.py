import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.offline import OfflineError, bytes_below, verify_directory
from app.supervisor import Wish, prepare
from engine import Engine, EngineError, Options, OsFileSystem, WriteBatch
from raftgroups.command import Put, encode_command, encode_entry
from raftgroups.directory import DataDirectory
from raftgroups.host import HostOptions
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.nodelog import Entries, HardState, NodeLog
from raftgroups.statemachine import StateMachine


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


def hidden(directory: Path) -> Path:
    """A store with a newer value and a deletion over older values, whose table is damaged where they are."""
    engine = Engine.open(str(filled(directory)), Options(worker_process=False))
    engine.compact()
    old = set(directory.glob("*.sst"))
    update = WriteBatch()
    update.put(b"key 3", b"newer")
    update.delete(b"key 4")
    engine.write(update)
    engine.flush()
    engine.close()
    (table,) = set(directory.glob("*.sst")) - old
    flip(table)
    return directory


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def content(directory: Path) -> dict[bytes, bytes]:
    engine = Engine.open(str(directory))
    try:
        return dict(engine.scan())
    finally:
        engine.close()


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


EXPECTED = {b"key %d" % number: b"value" * 10 for number in range(100)}


def test_a_whole_store_is_repaired_without_a_word_of_loss(tmp_path: Path) -> None:
    result = run("repair", filled(tmp_path / "old"), tmp_path / "new")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path}/new: 100 keys\n"
    assert content(tmp_path / "new") == content(tmp_path / "old") == EXPECTED


@pytest.mark.parametrize("options", [(), ("--without-doubtful",)])
def test_what_is_lost_is_told_and_what_it_hid_is_kept_if_wished(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = run("repair", hidden(tmp_path / "old"), tmp_path / "new", "--doubtful", tmp_path / "doubts", *options)

    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: {tmp_path}/old: not all could be saved, or not for certain\n",
    )
    table = next(path for path in (tmp_path / "old").glob("*.sst") if str(path) in result.stdout)
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{table}, bytes 0 to ")
    assert lines[0].endswith("lost: keys from b'key 3' to b'key 4'; 2 older records in their place")
    assert lines[1:3] == [
        f"{table}: 2 records lost, 1 of them deletions",
        "2 keys doubtful: the newest record may be lost, or taken for an older one",
    ]
    assert (tmp_path / "doubts").read_text() == "b'key 3'\nb'key 4'\n"
    doubtful = set() if options else {b"key 3", b"key 4"}
    found = content(tmp_path / "new")
    assert found.keys() == EXPECTED.keys() - {b"key 3", b"key 4"} | doubtful
    assert found.items() <= EXPECTED.items()


def test_a_node_is_not_repaired(tmp_path: Path) -> None:
    node, cluster = filled_node(tmp_path / "node"), filled_cluster(tmp_path / "cluster")

    for directory, replica in ((node, node), (cluster, cluster / "n1"), (cluster / "n1", cluster / "n1")):
        refused = run("repair", directory, tmp_path / "new")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "have other nodes hold its partitions" in refused.stderr
        assert refused.stderr.endswith(f"such as {replica}/p0000-0001\n")
    assert not (tmp_path / "new").exists()


def replicated(directory: Path, *, flushed: int, logged: int) -> Path:
    """A node whose one replica has flushed some entries, and has all in its log."""
    data = DataDirectory.open(OsFileSystem(), HostOptions("n1", str(directory), "127.0.0.1:9001", "127.0.0.1:8001"))
    entries = [(1, encode_entry(0, [encode_command(Put(b"key %d" % i, b"value"))])) for i in range(1, logged + 1)]
    log = NodeLog(OsFileSystem(), data.log_path)
    log.add(Entries(0, 1, entries))
    log.close()
    engine = Engine.open(data.replica_path(PartitionId(0)), Options(own_log=False, worker_process=False))
    machine = StateMachine(engine)
    for index, (term, payload) in enumerate(entries[:flushed], 1):
        machine.apply(LogIndex(index), Term(term), payload)
    engine.flush()
    engine.close()
    replica = Path(data.replica_path(PartitionId(0)))
    data.close()
    return replica


def test_a_replica_is_saved_with_what_the_log_of_its_node_has(tmp_path: Path) -> None:
    replica = replicated(tmp_path / "node", flushed=3, logged=5)

    result = run("repair", replica, tmp_path / "new")

    assert result.exit_code == 0
    assert result.stderr.startswith("these are a replica's records, with b'\\x01' before each user's key;")
    assert result.stdout.splitlines() == [
        "the store kept no log; the new one does, so that it cannot take its place",
        f"{tmp_path}/new: 6 keys, with what 2 writes of logs made",
    ]
    found = content(tmp_path / "new")
    assert {key for key in found if key[:1] == b"\x01"} == {b"\x01key %d" % i for i in range(1, 6)}
    with pytest.raises(EngineError, match="it keeps its own log"):
        Engine.open(str(tmp_path / "new"), Options(own_log=False))


def test_a_replica_without_its_nodes_log_lacks_its_newest_writes(tmp_path: Path) -> None:
    replicated(tmp_path / "node", flushed=3, logged=5).rename(tmp_path / "p0000-0001")

    result = run("repair", tmp_path / "p0000-0001", tmp_path / "new")

    assert result.exit_code == 1
    assert "is not beside it; perhaps lost: writes from 1 on" in result.stdout
    assert len(content(tmp_path / "new")) == 4


def test_a_replica_of_a_node_that_runs_is_not_repaired(tmp_path: Path) -> None:
    replica = replicated(tmp_path / "node", flushed=3, logged=5)
    lock = OsFileSystem().lock(str(tmp_path / "node" / "LOCK"))

    result = run("repair", replica, tmp_path / "new")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "stop its node first" in result.stderr
    lock.close()


def test_a_repair_writes_into_nothing_that_is_there(tmp_path: Path) -> None:
    old = filled(tmp_path / "old")
    (tmp_path / "link").symlink_to(old)
    (tmp_path / "file").touch()
    before = sorted(path.name for path in old.iterdir())

    for new in (old, old / "new", tmp_path / "link" / "new", tmp_path, tmp_path / "file"):
        result = run("repair", old, new)
        assert (result.exit_code, result.stdout) == (1, ""), new
        assert "Traceback" not in result.output
    assert sorted(path.name for path in old.iterdir()) == before


def test_what_is_no_store_or_in_use_is_not_repaired(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    engine = Engine.open(str(tmp_path / "used"))

    for old, reason in ((tmp_path / "empty", "there is no store"), (tmp_path / "used", "stop its node first")):
        result = run("repair", old, tmp_path / "new")
        assert (result.exit_code, result.stdout) == (1, "")
        assert reason in result.stderr
    engine.close()
    assert not (tmp_path / "new").exists()


def test_a_repair_is_a_command_of_its_own_process(tmp_path: Path) -> None:
    hidden(tmp_path / "old")
    command = [sys.executable, "-m", "app.cli", "repair", str(tmp_path / "old"), str(tmp_path / "new")]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/new: 100 keys"
    assert run("verify", tmp_path / "new").exit_code == 0


def test_every_file_of_a_node_is_printed(tmp_path: Path) -> None:
    """What is no file of a store is told in one line."""
    filled_node(tmp_path)
    for path in sorted(tmp_path.rglob("*")):
        if path.is_dir():
            continue
        result = run("inspect", path)
        if path.suffix in {".sst", ".log"} or path.name.startswith(("CURRENT", "MANIFEST")):
            assert (result.exit_code, result.stderr) == (0, ""), path
            assert result.stdout.startswith(f"{path}: ")
        else:
            assert (result.exit_code, result.stdout) == (1, ""), path
            assert result.stderr == f"Error: {path} is no SSTable, log, manifest or CURRENT of a store\n"


def test_inspect_prints_what_it_is_asked_for(tmp_path: Path) -> None:
    table = next(filled(tmp_path / "db").glob("*.sst"))

    plain, keys, values, few = (
        run("inspect", table, *options).stdout for options in ((), ("--keys",), ("--values",), ("--keys", "--limit", 2))
    )

    assert "    b'key 7' =" not in plain
    assert "    b'key 7' = 50 bytes\n" in keys
    assert f"    b'key 7' = {b'value' * 10!r}\n" in values
    assert few.count("    b'key") == 2
    assert "... 98 more keys" in few


def test_a_node_log_is_printed(tmp_path: Path) -> None:
    data = DataDirectory.open(OsFileSystem(), HostOptions("n1", str(tmp_path), "127.0.0.1:9001", "127.0.0.1:8001"))
    log = NodeLog(OsFileSystem(), data.log_path)
    log.add(HardState(0, 3, "n1"))
    log.close()
    data.close()

    assert "partition 0: term 3, vote for 'n1'" in run("inspect", tmp_path / "log" / "000001.log").stdout


def test_a_reader_who_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    """As with `ringkv inspect FILE | head -1`."""
    engine = Engine.open(str(tmp_path), Options(worker_process=False))
    engine.write(WriteBatch({b"key %06d" % number: b"value" for number in range(20_000)}))
    engine.flush()
    engine.close()
    table = next(tmp_path.glob("*.sst"))
    command = [sys.executable, "-m", "app.cli", "inspect", "--values", str(table)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(os.fsencode(table))
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("name", ["000001.sst", "000001.log", "MANIFEST-000001", "CURRENT"])
def test_garbage_is_printed_as_damage(tmp_path: Path, name: str) -> None:
    for data in (b"", b"\xff" * 5000):
        (tmp_path / name).write_bytes(data)

        result = run("inspect", tmp_path / name)

        assert (result.exit_code, result.stderr) == (0, "")
        assert ("damaged" in result.stdout) == (data != b"" or name in {"000001.sst", "CURRENT"})


def test_every_byte_that_is_read_is_told_once(tmp_path: Path) -> None:
    """So that a bar which shows them comes to its end, and no further."""
    directory = filled_cluster(tmp_path / "cluster")
    told: list[int] = []

    assert verify_directory(directory, told.append) == []

    tables = list(directory.rglob("*.sst"))
    assert sum(path.stat().st_size for path in tables) <= sum(told) <= bytes_below(directory)


def test_problems_as_json(tmp_path: Path) -> None:
    directory = filled(tmp_path / "engine")
    assert json.loads(run("verify", str(directory), "--json").stdout) == {"directory": str(directory), "problems": []}
    flip(next(directory.glob("*.sst")))

    result = run("verify", str(directory), "--json")

    assert result.exit_code == 1 and len(json.loads(result.stdout)["problems"]) >= 1
    repaired = json.loads(run("repair", str(directory), str(tmp_path / "new"), "--json").stdout)
    assert repaired["is_whole"] is False and repaired["lines"]
