"""The peers that a node has met, each by the incarnation of its data directory.

    acquaintances := JSON object, peer's name → incarnation, one line, then its CRC32C as 8 hex
                     digits on a line of its own

A data directory gets its incarnation, a random name, when it is founded. A peer that comes back
under its old name with another incarnation has lost its disk: it has forgotten its votes and what
it acknowledged, and as a voter with an empty log it could elect a leader that lacks committed
entries. So it is refused for as long as this file remembers it. The file is written before the
first link with a peer counts as open; damage to it is a DamagedDirectoryError.

Source: Ongaro 2014, section 3.8 (what must survive a restart for a vote to be safe).
"""

import msgspec

from engine import FileSystem, crc32c
from raftgroups.durable import read_whole, write_durably
from raftgroups.errors import DamagedDirectoryError

ACQUAINTANCES = "acquaintances"


class StrangerError(Exception):
    """A peer is not the one that was met under its name before; the text says what to do."""


class Acquaintances:
    """What one node remembers of the others."""

    def __init__(self, file_system: FileSystem, directory: str) -> None:
        """Raises: DamagedDirectoryError, StorageError."""
        self._file_system = file_system
        self._directory = directory
        self._met = read_acquaintances(file_system, directory)

    def meet(self, name: str, incarnation: str) -> None:
        """Remember a peer, or know it again. Raises: StrangerError, StorageError."""
        before = self._met.get(name)
        if before is None:
            met = {**self._met, name: incarnation}
            write_durably(self._file_system, self._directory, ACQUAINTANCES, encode_acquaintances(met))
            self._met = met
        elif before != incarnation:
            raise StrangerError(
                f"node {name!r} runs on another data directory than when it was met before; start it on that one, "
                f"or if it is lost, have other nodes take its place in every partition"
            )


def encode_acquaintances(met: dict[str, str]) -> bytes:
    """The content of the file."""
    line = msgspec.json.encode(met, order="sorted")
    return line + b"\n%08x\n" % crc32c(line)


def decode_acquaintances(path: str, data: bytes) -> dict[str, str]:
    """Raises: DamagedDirectoryError."""
    line, _, rest = data.partition(b"\n")
    if rest != b"%08x\n" % crc32c(line):
        raise DamagedDirectoryError(
            f"{path}: the checksum does not match; restore it from a backup, "
            f"or remove it if no other node has lost its data directory"
        )
    try:
        return msgspec.json.decode(line, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedDirectoryError(f"{path}: {error}") from error


def read_acquaintances(file_system: FileSystem, directory: str) -> dict[str, str]:
    """Nobody, where no peer was met yet. Raises: DamagedDirectoryError, StorageError."""
    path = f"{directory}/{ACQUAINTANCES}"
    return decode_acquaintances(path, read_whole(file_system, path)) if file_system.exists(path) else {}
