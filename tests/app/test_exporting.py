"""Exports over a fake: lines in order, an end that says whether it is one, and failures that do not pass for it."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from app import exporting
from app.exporting import Export
from app.keyrange import KeyRange
from app.scanning import Pager, ScanRequest
from raftgroups import DivergedError, DrainingError, Freshness, Item, NoQuorumError, PartitionId, RaftGroupError
from tests.app.fake_coordinator import FakeCoordinator

REQUEST = ScanRequest(KeyRange(), None, 10, 1 << 20, False, Freshness(), None, 5.0)


def filled(count: int) -> FakeCoordinator:
    return FakeCoordinator({b"%c%03d" % (97 + number % 7, number): Item(number + 1, b"v") for number in range(count)})


async def lines_of(export: Export) -> list[Any]:
    first = await export.begin()
    return [json.loads(line) for part in [part async for part in export.lines(first)] for line in part.splitlines()]


def test_everything_is_a_line_and_the_end_counts_them() -> None:
    fake = filled(95)

    *entries, end = asyncio.run(lines_of(Export(Pager(fake), REQUEST, lambda: False)))

    assert [entry["key"].encode() for entry in entries] == sorted(fake.items)
    assert end == {"complete": True, "count": 95}


def test_of_nothing_there_is_an_end() -> None:
    assert asyncio.run(lines_of(Export(Pager(FakeCoordinator()), REQUEST, lambda: False))) == [
        {"complete": True, "count": 0}
    ]


def test_a_page_that_cannot_be_had_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "PAUSE_SECONDS", 0.0)
    fake = filled(95)

    async def scenario() -> list[Any]:
        export = Export(Pager(fake), REQUEST, lambda: False)
        parts = export.lines(await export.begin())
        found = [await anext(parts)]
        fake.error = NoQuorumError(PartitionId(2))
        asyncio.get_running_loop().call_later(0.02, setattr, fake, "error", None)
        found += [part async for part in parts]
        return [json.loads(line) for part in found for line in part.splitlines()]

    *entries, end = asyncio.run(scenario())
    assert len(entries) == 95 and end == {"complete": True, "count": 95}


@pytest.mark.parametrize(
    ("error", "code"), [(NoQuorumError(PartitionId(2)), "NO_QUORUM"), (DrainingError("stops"), "DRAINING")]
)
def test_an_export_that_cannot_go_on_says_so_in_its_end(
    monkeypatch: pytest.MonkeyPatch, error: RaftGroupError, code: str
) -> None:
    monkeypatch.setattr(exporting, "PATIENCE_SECONDS", 0.0)
    fake = filled(95)

    async def scenario() -> list[Any]:
        export = Export(Pager(fake), REQUEST, lambda: False)
        parts = export.lines(await export.begin())
        found = [await anext(parts)]
        fake.error = error
        found += [part async for part in parts]
        return [json.loads(line) for part in found for line in part.splitlines()]

    *entries, end = asyncio.run(scenario())
    assert len(entries) == 10
    assert (end["complete"], end["count"], end["error"]["code"]) == (False, 10, code)
    after = REQUEST.keys.decode_cursor(end["cursor"])
    fake.error = None
    *rest, end = asyncio.run(lines_of(Export(Pager(fake), replace(REQUEST, after=after), lambda: False)))
    assert [entry["key"].encode() for entry in (*entries, *rest)] == sorted(fake.items)
    assert end == {"complete": True, "count": 85}


def test_a_node_that_stops_ends_it() -> None:
    stops = False

    async def scenario() -> Any:
        nonlocal stops
        export = Export(Pager(filled(95)), REQUEST, lambda: stops)
        parts = export.lines(await export.begin())
        await anext(parts)
        stops = True
        (last,) = [part async for part in parts]
        return json.loads(last)

    end = asyncio.run(scenario())
    assert (end["complete"], end["error"]["code"]) == (False, "DRAINING")


def test_what_fails_at_once_is_no_export() -> None:
    fake = filled(5)
    fake.error = DivergedError("stopped")

    with pytest.raises(DivergedError):
        asyncio.run(lines_of(Export(Pager(fake), REQUEST, lambda: False)))
