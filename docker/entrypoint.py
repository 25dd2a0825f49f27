"""Starts `ringkv` in a container: makes the secret that the nodes share, if it is not there yet, and becomes the node.

The nodes of docker/compose.yaml share the volume that holds it. Whichever comes first makes it: it is written under a
name of its own, and gets the one that is read only when it is whole.
"""

import os
import secrets
import sys
from pathlib import Path


def ensure_secret(path: Path) -> None:
    """Make a secret that cannot be guessed, unless there is one. Raises: OSError."""
    if path.exists():
        return
    mine = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        # Not a rename: another node's may be in use already.
        os.link(mine, path)
    except FileExistsError:
        pass
    finally:
        mine.unlink()


def main() -> None:
    path = os.environ.get("RINGKV_SECRET_FILE")
    if path and sys.argv[1:2] == ["node"]:
        try:
            ensure_secret(Path(path))
        except OSError as error:
            sys.exit(f"ringkv: no secret can be made in {path}: {error.strerror}; mount a volume there")
    os.execvp("ringkv", ["ringkv", *sys.argv[1:]])


if __name__ == "__main__":
    main()
