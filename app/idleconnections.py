"""Idle connections: those that stay open for the next request, by gateway."""

from collections import deque
from typing import Generic, Protocol, TypeVar

IDLE_SECONDS = 60.0  # less than a gateway keeps an idle connection


class Keepable(Protocol):
    """A connection that may be used again."""

    @property
    def is_open(self) -> bool: ...

    def close(self) -> None: ...


KeepableT = TypeVar("KeepableT", bound=Keepable)


class IdleConnections(Generic[KeepableT]):
    """Open connections that nobody uses; of each gateway the one that was used last is taken first.

    Shared by threads without a lock: a deque gives each of its members to one of them.
    """

    def __init__(self) -> None:
        self._idle: dict[str, deque[tuple[float, KeepableT]]] = {}

    def take(self, url: str, now: float) -> KeepableT | None:
        """One to this gateway that is still open, if there is one."""
        idle = self._idle.get(url)
        while idle:
            try:
                since, connection = idle.pop()
            except IndexError:
                break  # Another thread was quicker.
            if now - since < IDLE_SECONDS and connection.is_open:
                return connection
            connection.close()
        return None

    def keep(self, url: str, connection: KeepableT, now: float) -> None:
        """Keep this one for the next."""
        self._idle.setdefault(url, deque()).append((now, connection))

    def take_all(self) -> list[KeepableT]:
        """All there are, to be closed."""
        found, self._idle = self._idle, {}
        return [connection for idle in found.values() for _, connection in idle]
