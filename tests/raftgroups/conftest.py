"""Clusters of PySyncObj as it is shipped, whose clock is the test's."""

from collections.abc import Iterator

import pytest
from pysyncobj import syncobj

from tests.raftgroups.stock import StockMaker, StockWire


@pytest.fixture
def make_stock(monkeypatch: pytest.MonkeyPatch) -> Iterator[StockMaker]:
    wires: list[StockWire] = []

    def make(names: str, **conf: object) -> StockWire:
        monkeypatch.setattr(syncobj, "monotonicTime", lambda: wires[0].now if wires else 1000.0)
        wires.append(StockWire(names, **conf))
        return wires[0]

    yield make
    for wire in wires:
        wire.close()


@pytest.fixture
def stock(make_stock: StockMaker) -> StockWire:
    return make_stock("abc")
