"""What clients did to a store and what they saw, recorded to be judged later.

    history := line*                            JSON lines, one operation each
    line    := {"client": int, "op": "put" | "get" | "delete", "key": str, "value": str | null,
                "output": str | null, "ok": bool | null, "call": ns, "return": ns | null}

`ok` true: it happened. `ok` false: it certainly did not. `ok` null: nobody knows; a write may have
taken effect at any time after its call or never, a get says nothing. A get's null output is "absent".
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

Value = str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one client, as the client saw it.

    value     what a put wrote; None for a delete and a get
    output    what a get returned; None is "absent"
    ok        True happened, False certainly did not, None unknown
    returned  nanoseconds; None when no answer came
    """

    client: int
    kind: str
    key: str
    value: Value
    output: Value
    ok: bool | None
    called: int
    returned: int | None

    @property
    def is_unknown(self) -> bool:
        return self.ok is None or self.returned is None

    @property
    def is_read(self) -> bool:
        return self.kind == "get"

    def to_json(self) -> str:
        return json.dumps(
            {
                "client": self.client,
                "op": self.kind,
                "key": self.key,
                "value": self.value,
                "output": self.output,
                "ok": self.ok,
                "call": self.called,
                "return": self.returned,
            }
        )

    @classmethod
    def from_json(cls, line: str) -> "Operation":
        """Raises: ValueError for a kind that is not put, get or delete."""
        record = json.loads(line)
        kind = record["op"]
        if kind not in ("put", "get", "delete"):
            raise ValueError(f"not an operation on a register: {kind}")
        return cls(
            client=record["client"],
            kind=kind,
            key=record["key"],
            value=record.get("value") if kind == "put" else None,
            output=record.get("output"),
            ok=False if record.get("fail") else record.get("ok"),
            called=record["call"],
            returned=record.get("return"),
        )


@dataclass(slots=True)
class History:
    """Collects the operations of many clients.

    clock  nanoseconds, never falling; a simulator gives its own
    """

    clock: Callable[[], int] = time.monotonic_ns
    _ended: list[Operation] = field(default_factory=list)
    _open: dict[int, Operation] = field(default_factory=dict)
    _calls: int = 0
    _clients: int = 0

    def new_client(self) -> int:
        """An id never given before. Whoever got an unknown outcome goes on under a new one."""
        self._clients += 1
        return self._clients

    def call(self, client: int, kind: str, key: str, value: Value = None) -> int:
        """Records that an operation begins; the answer names it in `end`."""
        self._calls += 1
        operation = Operation(client, kind, key, value, None, None, self.clock(), None)
        self._open[self._calls] = operation
        return self._calls

    def end(self, call: int, ok: bool | None, output: Value = None) -> None:
        returned = None if ok is None else self.clock()
        operation = self._open.pop(call)
        self._ended.append(replace(operation, ok=ok, output=output, returned=returned))

    def operations(self) -> list[Operation]:
        """All so far in order of call; those that have not ended are unknown."""
        return sorted([*self._ended, *self._open.values()], key=lambda o: o.called)

    def dump(self) -> str:
        return "".join(o.to_json() + "\n" for o in self.operations())


def load(text: str) -> list[Operation]:
    """Reads what `History.dump` wrote."""
    return [Operation.from_json(line) for line in text.splitlines() if line.strip()]
