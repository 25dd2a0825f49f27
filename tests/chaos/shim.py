"""faultshim.c, compiled, and its control files."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from shutil import which

COMPILERS = ("cc", "gcc", "clang")
SOURCE = Path(__file__).with_name("faultshim.c")
# The shim looks at its control file at most so often.
NOTICE_SECONDS = 0.05


def missing() -> str:
    """Why the shim cannot be compiled; empty when it can."""
    return "" if any(map(which, COMPILERS)) else "no C compiler is installed"


def compile_shim(directory: Path) -> Path:
    """The shared library, in the directory."""
    compiler = next(found for found in map(which, COMPILERS) if found)
    library = directory / "faultshim.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Shim:
    """One process's faults."""

    def __init__(self, library: Path, directory: Path, name: str) -> None:
        self._library = library
        self._control = directory / f"{name}.control"
        self._log = directory / f"{name}.faults"
        self._synced = directory / f"{name}.synced"

    @property
    def files(self) -> tuple[Path, ...]:
        """What it needs while it works; its log is not among them."""
        return self._library, self._control, self._control.with_suffix(".new"), self._synced

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAULTSHIM_CONTROL": str(self._control),
            "FAULTSHIM_LOG": str(self._log),
            "FAULTSHIM_SYNCED": str(self._synced),
        }

    def set(self, **faults: str | int) -> None:
        """These faults and no others, from now on."""
        temporary = self._control.with_suffix(".new")
        temporary.write_text("".join(f"{name} {value}\n" for name, value in faults.items()))
        temporary.replace(self._control)

    def clear(self) -> None:
        self._control.unlink(missing_ok=True)

    def log_text(self) -> str:
        """What was injected, and when the control file was read."""
        return self._log.read_text() if self._log.exists() else ""

    def synced_sizes(self) -> dict[int, int]:
        """How much of each file, by inode, had reached the disk at the last sync of it."""
        if not self._synced.exists():
            return {}
        pairs = (line.split() for line in self._synced.read_text().splitlines())
        return {int(pair[0]): int(pair[1]) for pair in pairs if len(pair) == 2}

    def cut_power(self, directory: Path) -> int:
        """Take from a dead process's files what had not been synced; returns how many bytes that was.

        Names are kept: only contents are lost.
        """
        sizes, lost = self.synced_sizes(), 0
        for path in directory.rglob("*"):
            state = path.lstat()
            if path.is_file() and not path.is_symlink() and state.st_size > (kept := sizes.get(state.st_ino, 0)):
                lost += state.st_size - kept
                os.truncate(path, kept)
        return lost
