"""Clears away what an arena makes outside of its processes, whatever becomes of the one that made it.

    order := JSON line [kind, path]
    kind  := "mount" | "group" (a control group) | "tree" (a directory and all in it) | "file"

Nothing happens before stdin ends, which it does with the process at its other end, by SIGKILL too.
Then all that was named is removed, the newest first; what is not there any more, or never was, is no failure.
"""

import errno
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

CLEAR_SECONDS = 20.0
POLL_SECONDS = 0.05


class Janitor:
    """The process, as seen by the one it clears up after. A context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.janitor"], stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=CLEAR_SECONDS + 10)
        assert self._process.returncode == 0, "something was left behind"

    @property
    def pid(self) -> int:
        return self._process.pid

    def will_clear(self, kind: str, path: Path) -> None:
        """To be called before the thing is made."""
        assert kind in CLEARERS, kind
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([kind, str(path)]) + "\n")
        self._process.stdin.flush()


def _unmount(path: Path) -> None:
    if path.is_mount():
        subprocess.run(["umount", path], check=True, capture_output=True)


def _remove_group(path: Path) -> None:
    path.rmdir()


def _remove_tree(path: Path) -> None:
    shutil.rmtree(path)


CLEARERS: dict[str, Callable[[Path], None]] = {
    "mount": _unmount,
    "group": _remove_group,
    "tree": _remove_tree,
    "file": Path.unlink,
}


def _clear(kind: str, path: Path, until: float) -> bool:
    """Tries for as long as processes that are about to end may still use it."""
    while True:
        try:
            CLEARERS[kind](path)
            return True
        except (OSError, subprocess.CalledProcessError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOENT:
                return True
            if time.monotonic() > until:
                print(f"{kind} {path}: {error}", file=sys.stderr)
                return False
        time.sleep(POLL_SECONDS)


def main() -> int:
    things = [json.loads(line) for line in sys.stdin]
    until = time.monotonic() + CLEAR_SECONDS
    cleared = [_clear(kind, Path(path), until) for kind, path in reversed(things)]
    return 0 if all(cleared) else 1


if __name__ == "__main__":
    sys.exit(main())
