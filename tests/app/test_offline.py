from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.offline import VerifyError, verify_directory
from engine import Engine, WriteBatch


def filled(directory: Path) -> Path:
    engine = Engine.open(str(directory))
    for number in range(100):
        batch = WriteBatch()
        batch.put(b"key %d" % number, b"value" * 10)
        engine.write(batch)
    engine.flush()
    engine.close()
    return directory


def verify(directory: Path) -> Result:
    return CliRunner().invoke(main, ["verify", str(directory)])


def test_a_whole_engine_is_found_whole(tmp_path: Path) -> None:
    result = verify(filled(tmp_path / "engine"))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path / 'engine'}: no damage found\n"


def test_a_flipped_bit_is_named_with_its_file(tmp_path: Path) -> None:
    table = next(filled(tmp_path / "engine").glob("*.sst"))
    data = bytearray(table.read_bytes())
    data[10] ^= 1
    table.write_bytes(data)

    result = verify(tmp_path / "engine")

    assert result.exit_code == 1
    assert table.name in result.stdout
    assert "Traceback" not in result.output


def test_what_is_in_use_is_not_judged(tmp_path: Path) -> None:
    engine = Engine.open(str(tmp_path / "engine"))
    try:
        with pytest.raises(VerifyError, match="stop its node first"):
            verify_directory(tmp_path / "engine")
    finally:
        engine.close()


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    result = verify(tmp_path)

    assert (result.exit_code, result.stderr) == (1, f"Error: {tmp_path} is no data directory of ringkv\n")
    assert list(tmp_path.iterdir()) == []
