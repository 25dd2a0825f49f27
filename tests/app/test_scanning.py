"""Scans: what a query asks for, and pages out of the pieces of partitions."""

import asyncio

import pytest

from app import scanning
from app.keyrange import KeyRange
from app.problems import Problem
from app.scanning import PAGES_OPEN_MAX, Page, Pager, ScanRequest, read_scan, receipt_lines
from app.session import decode_session
from app.settings import Limits
from raftgroups import (
    Freshness,
    Item,
    Level,
    NoQuorumError,
    OverloadedError,
    PartitionId,
    Receipt,
    index_of,
)
from tests.app.fake_coordinator import FakeCoordinator

LIMITS = Limits()
P1, P2 = PartitionId(1), PartitionId(2)


def wanted(query: bytes = b"", **headers: bytes) -> ScanRequest:
    fields = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    found = read_scan(query, fields, LIMITS, Level.LINEARIZABLE)
    assert isinstance(found, ScanRequest), found
    return found


def test_a_scan_without_words_is_the_first_hundred_keys() -> None:
    request = wanted()

    assert request == ScanRequest(KeyRange(), None, 100, 1 << 20, False, Freshness(), None, 5.0)


def test_every_word_is_understood() -> None:
    keys = KeyRange(b"\xff/ +", b"a", b"b", True)
    query = b"prefix=%FF/+%2B&start=a&end=b&limit=7&max_bytes=8&keys_only=true&reverse=true"
    query += b"&consistency=bounded&max_staleness=9&cursor=" + keys.encode_cursor(b"x").encode()

    request = wanted(query, kv_timeout_ms=b"250")

    fresh = Freshness(Level.BOUNDED, 0, 9)
    assert request == ScanRequest(keys, b"x", 7, 8, True, fresh, None, 0.25)


def test_a_bound_may_be_longer_than_any_key() -> None:
    assert wanted(b"prefix=" + b"a" * 2_000).keys == KeyRange(b"a" * 2_000)


def test_words_without_a_value_say_nothing() -> None:
    assert wanted(b"prefix=&start=&end=&cursor=") == wanted()


def test_an_export_takes_no_words_of_a_page_and_has_the_largest() -> None:
    found = read_scan(b"prefix=a", {}, LIMITS, Level.STALE, is_paged=False)

    assert isinstance(found, ScanRequest)
    assert (found.limit, found.bytes_max, found.fresh.level) == (1_000, 1 << 20, Level.STALE)
    refused = read_scan(b"limit=3", {}, LIMITS, Level.STALE, is_paged=False)
    assert isinstance(refused, Problem) and refused.members == {"parameter": "limit"}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        (b"limit=0", "limit"),
        (b"limit=1001", "limit"),
        (b"limit=-1", "limit"),
        (b"limit=1.5", "limit"),
        (b"limit=", "limit"),
        (b"limit=%FF", "limit"),
        (b"limit=99999999999999999999", "limit"),
        (b"max_bytes=0", "max_bytes"),
        (b"max_bytes=1048577", "max_bytes"),
        (b"keys_only=1", "keys_only"),
        (b"reverse=TRUE", "reverse"),
        (b"prefix=%zz", "prefix"),
        (b"cursor=x", "cursor"),
        (b"cursor=%FF", "cursor"),
        (b"prefix=b&cursor=" + KeyRange(b"a").encode_cursor(b"a1").encode(), "cursor"),
        (b"reverse=true&cursor=" + KeyRange().encode_cursor(b"a1").encode(), "cursor"),
        (b"consistency=newest", "consistency"),
        (b"limit=5&limit=5", "limit"),
        (b"colour=red", "colour"),
    ],
)
def test_a_bad_word_is_named(query: bytes, parameter: str) -> None:
    found = read_scan(query, {}, LIMITS, Level.LINEARIZABLE)

    assert isinstance(found, Problem)
    assert found.kind.status == 400 and found.members == {"parameter": parameter}
    assert repr(parameter) in found.detail


@pytest.mark.parametrize(
    ("query", "fields", "status", "named"),
    [
        (b"", {b"kv-timeout-ms": b"0"}, 400, {"header": "KV-Timeout-Ms"}),
        (b"", {b"kv-session": b"nonsense"}, 400, {"header": "KV-Session"}),
        (b"consistency=stale", {b"kv-session": b"1-1-1"}, 422, {"header": "KV-Session"}),
        (b"max_staleness=5", {}, 422, {"parameter": "max_staleness"}),
    ],
)
def test_a_bad_header_is_named_and_what_does_not_go_together(
    query: bytes, fields: dict[bytes, bytes], status: int, named: dict[str, str]
) -> None:
    found = read_scan(query, fields, LIMITS, Level.LINEARIZABLE)

    assert isinstance(found, Problem)
    assert found.kind.status == status and found.members == named


def page(fake: FakeCoordinator, request: ScanRequest) -> Page:
    return asyncio.run(Pager(fake).page(request, request.after, 1e9))


def filled(count: int) -> FakeCoordinator:
    return FakeCoordinator({b"%c%03d" % (97 + number % 7, number): Item(number + 1, b"v") for number in range(count)})


def test_a_page_has_the_keys_of_all_partitions_in_order() -> None:
    fake = filled(300)

    found = page(fake, wanted(b"limit=200"))

    assert [key for key, _ in found.pairs] == sorted(fake.items)[:200]
    assert found.after == found.pairs[-1][0]
    assert {partition for partition, _, _ in fake.spans} == {0, 1, 2, 3}


def test_each_partition_is_asked_for_what_the_session_has_seen_of_it() -> None:
    """And for what the page itself has seen, where it is asked again."""
    fake = filled(300)
    fake.revision = 9 << 12

    page(fake, wanted(b"limit=250&consistency=session", kv_session=b"1-1-7000"))

    first = {partition: fresh.index for partition, _, fresh in reversed(fake.spans)}
    assert first == {0: 0, P1: index_of(0x7000), P2: 0, 3: 0}
    assert {fresh.index for _, _, fresh in fake.spans[4:]} <= {9}
    assert {fresh.level for _, _, fresh in fake.spans} == {Level.SESSION}


def test_a_page_fails_with_the_first_partition_that_does() -> None:
    fake = filled(10)
    fake.error = NoQuorumError(P1)

    with pytest.raises(NoQuorumError):
        page(fake, wanted())


def test_pages_under_way_are_bounded() -> None:
    async def scenario() -> None:
        fake = filled(10)
        fake.is_patient = True
        pager = Pager(fake)
        tasks = [asyncio.create_task(pager.page(wanted(), None, 1e9)) for _ in range(PAGES_OPEN_MAX)]
        await asyncio.sleep(0)

        with pytest.raises(OverloadedError):
            await pager.page(wanted(), None, 1e9)

        fake.is_patient = False
        fake.release()
        assert {len(found.pairs) for found in await asyncio.gather(*tasks)} == {10}
        assert len((await pager.page(wanted(), None, 1e9)).pairs) == 10

    asyncio.run(scenario())


def partition_of(key: bytes) -> PartitionId:
    return PartitionId(key[0])


def test_when_a_key_expires_is_counted_by_the_time_of_its_partition() -> None:
    receipts = {
        P1: Receipt(Level.STALE, 0, "n2", "leader", 5, 1_000),
        P2: Receipt(Level.STALE, 0, "n1", "leader", 6, 9),
    }

    page = Page(partition_of, receipts=receipts)

    assert [page.clock_ms_of(key) for key in (b"\1a", b"\2a")] == [1_000, 9]


def test_the_receipt_is_that_of_the_weakest_part() -> None:
    receipts = {
        P1: Receipt(Level.LINEARIZABLE, 0, "n2", "leader", 5),
        P2: Receipt(Level.BOUNDED, 70, "n1", "follower", 6),
    }

    lines = receipt_lines(Page(partition_of, receipts=receipts), {1: 1}).decode().split("\r\n")

    assert lines[:3] == [
        "kv-consistency: bounded",
        "kv-staleness-ms: 70",
        "kv-served-by: n1;role=follower, n2;role=leader",
    ]
    marks = decode_session(lines[3].removeprefix("kv-session: ").encode())
    assert marks is not None
    assert {partition: index_of(mark) for partition, mark in marks.items()} == {P1: 5, P2: 6}
    assert b"kv-session" not in receipt_lines(Page(partition_of, receipts=receipts), None)


@pytest.mark.parametrize(
    ("levels", "weakest"),
    [
        ([Level.LINEARIZABLE, Level.LEASE], Level.LEASE),
        ([Level.SESSION, Level.BOUNDED], Level.BOUNDED),
        ([Level.STALE, Level.BOUNDED, Level.LINEARIZABLE], Level.STALE),
        ([Level.LINEARIZABLE, Level.SESSION], Level.SESSION),
        ([], Level.LINEARIZABLE),
    ],
)
def test_the_weakest_level(levels: list[Level], weakest: Level) -> None:
    receipts = {PartitionId(number): Receipt(level, 0, "n1", "leader") for number, level in enumerate(levels)}

    assert Page(partition_of, receipts=receipts).level() is weakest


def test_two_pieces_of_a_partition_are_worth_the_weaker() -> None:
    """But what was seen of it is the newer."""
    older = Receipt(Level.LINEARIZABLE, 0, "n1", "leader", 5)
    newer = Receipt(Level.STALE, 20, "n2", "follower", 4)

    assert scanning.weaker(None, older) == older
    assert scanning.weaker(older, newer) == Receipt(Level.STALE, 20, "n2", "follower", 5)
