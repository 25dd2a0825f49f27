"""What stands in for the parts of an engine that this process must not touch."""

from typing import Any, NoReturn

from engine.errors import ClosedError


class Refusal:
    """Whatever is asked of it is a ClosedError that says why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def _refuse(self, *_: object) -> NoReturn:
        raise ClosedError(self._reason)

    def __getattr__(self, name: str) -> Any:
        self._refuse()

    __bool__ = __enter__ = __exit__ = _refuse
