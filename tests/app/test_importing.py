"""Imports over a fake: lines out of any pieces, each written for itself, many at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from app import importing
from app.importing import ERRORS_SHOWN_MAX, WRITES_OPEN_MAX, Import
from app.settings import Limits
from raftgroups import NoQuorumError, OutcomeUnknownError, PartitionId, StorageFullError
from tests.app.fake_coordinator import FakeCoordinator

LIMITS = Limits(import_pause_seconds=0.2)


def line(key: str, value: str = "v", **more: Any) -> bytes:
    return json.dumps({"key": key, "value": value, **more}).encode() + b"\n"


async def _pieces(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def imported(fake: FakeCoordinator, *pieces: bytes, is_draining: bool = False) -> Import:
    async def scenario() -> Import:
        made = Import(fake, LIMITS, 5.0, lambda: is_draining)
        await made.run(_pieces(pieces))
        return made

    return asyncio.run(scenario())


def test_every_line_is_put() -> None:
    fake = FakeCoordinator()

    made = imported(
        fake,
        line("a", "1", content_type="text/plain", revision=7) + b"\n" + line("b", expires_in=60)[:9],
        line("b", expires_in=60)[9:] + b'{"key":"/w==","key_encoding":"base64","value":"/g==","encoding":"base64"}',
    )

    assert made.document() == {"imported": 3, "failed": 0, "errors": []} and made.problem() is None
    assert (fake.items[b"a"].value, fake.items[b"a"].content_type) == (b"1", "text/plain")
    assert fake.items[b"b"].expires_ms == fake.clock_ms + 60_000
    assert fake.items[b"\xff"].value == b"\xfe"


def test_a_bad_line_is_named_and_the_others_are_kept() -> None:
    fake = FakeCoordinator()

    made = imported(fake, line("a"), b"nonsense\n", line("k" * 2_000), b"x" * 100_000 + b"\n", line("b"))

    assert (made.imported, made.failed, sorted(fake.items)) == (2, 3, [b"a", b"b"])
    assert [error["line"] for error in made.errors] == [2, 3, 4]
    assert {error["outcome"] for error in made.errors} == {"not_applied"}
    assert "2000 bytes" in str(made.errors[1]["detail"])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_as_they_do_anywhere(end: bytes) -> None:
    """And a byte order mark is no part of the first."""
    fake = FakeCoordinator()

    made = imported(fake, b"\xef\xbb\xbf" + line("a").strip() + end, line("b").strip() + end + end)

    assert (made.imported, made.failed, sorted(fake.items)) == (2, 0, [b"a", b"b"])


def test_only_the_first_errors_are_told() -> None:
    made = imported(FakeCoordinator(), b"?\n" * 1_000)

    assert made.failed == 1_000 and len(made.errors) == ERRORS_SHOWN_MAX


@pytest.mark.parametrize("end", [b'{"complete":true,"count":1}', b' { "count" : 1, "complete" : true }\r'])
def test_the_end_of_an_export_is_no_entry(end: bytes) -> None:
    made = imported(FakeCoordinator(), line("a"), end + b"\n", line("b"))

    assert (made.imported, made.failed) == (2, 0)


def test_an_export_that_was_not_complete_is_told() -> None:
    made = imported(FakeCoordinator(), line("a"), b'{"complete":false,"count":1,"error":{"status":503}}\n')

    assert (made.imported, made.failed, made.errors[0]["line"]) == (1, 1, 2)


def test_writes_on_their_way_are_bounded_and_those_of_one_key_wait_for_each_other() -> None:
    fake = FakeCoordinator(is_patient=True)

    async def scenario() -> Import:
        made = Import(fake, LIMITS, 5.0, lambda: False)
        data = b"".join(line(f"k{number}") for number in range(WRITES_OPEN_MAX + 10)) + line("same", "1")
        running = asyncio.create_task(made.run(_pieces([data, line("same", "2"), line("same", "3")])))
        await asyncio.sleep(0.01)
        assert len(fake.waiting) == WRITES_OPEN_MAX
        fake.release()
        await asyncio.sleep(0.01)
        assert len(fake.waiting) == 11
        fake.is_patient = False
        fake.release()
        await running
        return made

    assert asyncio.run(scenario()).imported == WRITES_OPEN_MAX + 13
    assert fake.items[b"same"].value == b"3"


def test_a_write_that_was_not_applied_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "PAUSE_SECONDS", 0.001)
    fake = FakeCoordinator()
    fake.error = NoQuorumError(PartitionId(1))

    async def scenario() -> Import:
        made = Import(fake, LIMITS, 5.0, lambda: False)
        asyncio.get_running_loop().call_later(0.02, setattr, fake, "error", None)
        await made.run(_pieces([line("a"), line("b")]))
        return made

    made = asyncio.run(scenario())
    assert (made.imported, made.failed, made.problem()) == (2, 0, None)
    assert len(fake.deadlines) > 4


def test_a_failure_for_good_ends_it_and_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was written, so the answer is that of the write."""
    monkeypatch.setattr(importing, "PATIENCE_SECONDS", 0.0)
    fake = FakeCoordinator()
    fake.error = StorageFullError("no room")

    made = imported(fake, line("a"), line("b"))

    problem = made.problem()
    assert problem is not None and (problem.kind.status, problem.kind.outcome) == (507, "not_applied")
    assert problem.detail == "line 1: no room" and made.failed == 1


@pytest.mark.parametrize("is_unknown", [False, True])
def test_a_failure_after_writes_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch, is_unknown: bool) -> None:
    """What was written, or may have been, is not undone."""
    monkeypatch.setattr(importing, "PATIENCE_SECONDS", 0.0)
    fake = FakeCoordinator()
    if is_unknown:
        fake.error = OutcomeUnknownError("late")

    async def pieces() -> AsyncIterator[bytes]:
        yield line("a")
        fake.error = fake.error or StorageFullError("no room")
        yield line("b")
        yield line("c")

    async def scenario() -> Import:
        made = Import(fake, LIMITS, 5.0, lambda: False)
        await made.run(pieces())
        return made

    made = asyncio.run(scenario())
    problem = made.problem()
    assert problem is not None
    assert (problem.kind.code, problem.kind.outcome) == ("INCOMPLETE_IMPORT", "unknown")
    assert problem.members == {"imported": made.imported, "failed": 1, "next_line": 1 if is_unknown else 2}
    assert problem.detail.endswith(f"go on with line {problem.members['next_line']}")
    assert made.imported == (0 if is_unknown else 1)


@pytest.mark.parametrize(("is_draining", "code"), [(True, "DRAINING"), (False, "TOO_SLOW")])
def test_a_silent_client_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, is_draining: bool, code: str) -> None:
    """Neither for long, nor at all by a node that stops."""
    monkeypatch.setattr(importing, "LOOK_SECONDS", 0.01)

    async def scenario() -> Import:
        made = Import(FakeCoordinator(), LIMITS, 5.0, lambda: is_draining)
        never = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield b""
            await never.wait()

        await made.run(pieces())
        return made

    problem = asyncio.run(scenario()).problem()
    assert problem is not None and problem.kind.code == code
