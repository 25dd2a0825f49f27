"""What `ringkv replicas` shows, and what it waits for."""

import time
from collections.abc import Collection
from typing import Any

from app.client import Client, ClientError

POLL_SECONDS = 0.2


class NotMovedError(ClientError):
    """The replicas are not yet where they shall be; moving them goes on without us."""


def format_replicas(replicas: dict[str, Any]) -> str:
    """One line for a person: who holds the partition, and what is still to be done."""
    parts = [f"partition {replicas['partition']}: voters {' '.join(replicas['voters'])}"]
    if replicas["learners"]:
        parts.append(f"learners {' '.join(replicas['learners'])}")
    if set(replicas["target"]) != set(replicas["voters"]):
        parts.append(f"target {' '.join(replicas['target'])}")
    return ", ".join(parts)


def wait_moved(client: Client, now: dict[str, Any], nodes: Collection[str], timeout_seconds: float) -> dict[str, Any]:
    """Waits until `nodes` are the voters, or whatever the target is when none are named; how it is then.

    Raises: ClientError.
    """
    failure: ClientError | None = None
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        try:
            now, failure = client.replicas(now["partition"]), None
            if set(now["voters"]) == set(nodes or now["target"]) and not now["learners"]:
                return now
        except ClientError as error:
            if not error.is_lasting:
                raise
            failure = error
        time.sleep(POLL_SECONDS)
    doubt = "" if failure is None else f"; {failure}"
    text = f"not done after {timeout_seconds:g} s, and it goes on: {format_replicas(now)}{doubt}"
    raise NotMovedError(text) from failure
