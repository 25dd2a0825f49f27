"""Deleting a range of keys: what a request may say, the pieces it is done in, and what is told of it."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from app import deletion
from app.deletion import Deleter, Deletion, DeletionRequest, read_deletion
from app.keyrange import KeyRange
from app.problems import Problem
from app.settings import Limits
from raftgroups import (
    Item,
    NoQuorumError,
    OutcomeUnknownError,
    OverloadedError,
    PartitionId,
    RaftGroupError,
)
from tests.app.fake_coordinator import FakeCoordinator
from tests.app.running import Running

LIMITS = Limits()
KEYS = [b"k%02d" % number for number in range(20)]


def read(query: bytes, **headers: bytes) -> DeletionRequest | Problem:
    return read_deletion(query, {name.replace("_", "-").encode(): value for name, value in headers.items()}, LIMITS)


def wanted(query: bytes, **headers: bytes) -> DeletionRequest:
    found = read(query, **headers)
    assert isinstance(found, DeletionRequest), found
    return found


def test_a_request_names_its_keys() -> None:
    assert wanted(b"prefix=a%2Fb").keys == KeyRange(b"a/b")
    assert wanted(b"start=a&end=b").keys == KeyRange(b"", b"a", b"b")
    assert wanted(b"all=true").keys == KeyRange()
    full = wanted(b"prefix=a", kv_timeout_ms=b"250", idempotency_key=b"t", kv_session=b"1-2-3000")
    assert full == DeletionRequest(KeyRange(b"a"), 0.25, {2: 0x3000}, b"t")


@pytest.mark.parametrize(
    ("query", "headers", "code"),
    [
        (b"", {}, "NOT_TOGETHER"),
        (b"prefix=", {}, "NOT_TOGETHER"),
        (b"prefix=&start=&end=", {}, "NOT_TOGETHER"),
        (b"all=false", {}, "BAD_PARAMETER"),
        (b"all", {}, "BAD_PARAMETER"),
        (b"prefix=a&all=true", {}, "NOT_TOGETHER"),
        (b"prefix=a&prefix=b", {}, "DUPLICATE_PARAMETER"),
        (b"prefix=a&limit=3", {}, "UNKNOWN_PARAMETER"),
        (b"prefix=%zz", {}, "BAD_PARAMETER"),
        (b"prefix=a", {"if_match": b"*"}, "UNSUPPORTED"),
        (b"prefix=a", {"if_none_match": b"*"}, "UNSUPPORTED"),
        (b"prefix=a", {"kv_timeout_ms": b"x"}, "BAD_HEADER"),
        (b"prefix=a", {"kv_session": b"x"}, "UNSUPPORTED"),
        (b"prefix=a", {"idempotency_key": b""}, "BAD_HEADER"),
    ],
)
def test_what_is_wrong_is_refused(query: bytes, headers: dict[str, bytes], code: str) -> None:
    """Above all a request that has forgotten to say which keys."""
    problem = read(query, **headers)

    assert isinstance(problem, Problem) and problem.kind.code == code


class Store(FakeCoordinator):
    """Fails with `failures` in turn, None: not, and then no more."""

    failures: Sequence[RaftGroupError | None] = ()

    def write_many(self, partition, commands, deadline, done) -> None:  # type: ignore[no-untyped-def]
        self.error, self.failures = (self.failures[0], self.failures[1:]) if self.failures else (None, ())
        super().write_many(partition, commands, deadline, done)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """Twenty keys in four partitions, four or six in each, which are deleted two at a time."""
    monkeypatch.setattr(deletion, "PIECE_KEYS_MAX", 2)
    monkeypatch.setattr(deletion, "PARTITIONS_AT_ONCE", 1)
    store = Store(items={key: Item(1, b"v") for key in [*KEYS, b"other"]})
    store.partition_of = lambda key: PartitionId(key[-1] % 4)  # type: ignore[method-assign]
    return store


def delete(store: Store, query: bytes = b"prefix=k", **headers: bytes) -> Deletion:
    return asyncio.run(Deleter(store).delete(wanted(query, **headers)))


def test_every_partition_is_deleted_a_piece_at_a_time(store: Store) -> None:
    done = delete(store)

    assert (done.deleted, done.is_complete, done.problem()) == (20, True, None)
    assert list(store.items) == [b"other"]
    assert len(store.bulks) == 3 + 3 + 2 + 2 and {size for _, size in store.bulks} == {1}
    assert sorted(done.marks) == [0, 1, 2, 3]


def test_bounds_are_heeded(store: Store) -> None:
    assert delete(store, b"start=k05&end=k08").deleted == 3
    assert delete(store, b"all=true").deleted == 18
    assert not store.items


def test_a_failure_before_anything_was_deleted_is_what_it_is(store: Store) -> None:
    store.failures = [NoQuorumError(PartitionId(3))]

    problem = delete(store).problem()

    assert problem is not None and (problem.kind.code, problem.kind.outcome) == ("NO_QUORUM", "not_applied")
    assert problem.members["deleted"] == 0 and len(store.items) == 21


def test_a_failure_in_the_middle_says_how_far_it_came(store: Store) -> None:
    store.failures = [None, None, NoQuorumError(PartitionId(3))]

    problem = delete(store).problem()

    assert problem is not None and problem.kind.outcome == "unknown" and problem.members["deleted"] == 4
    assert "partition 3" in problem.detail and len(store.items) == 17


def test_an_unknown_outcome_stays_one(store: Store) -> None:
    store.failures = [OutcomeUnknownError("who knows")]

    problem = delete(store).problem()

    assert problem is not None and problem.kind.outcome == "unknown"


def test_a_request_without_time_says_that_more_is_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "TIME_SHARE", 0.0)

    assert (delete(store).is_complete, len(store.items)) == (False, 21)


def test_a_repeated_request_deletes_nothing_twice(store: Store) -> None:
    first = delete(store, idempotency_key=b"t")
    store.items[b"k03"] = Item(1, b"new")
    again = delete(store, idempotency_key=b"t")

    assert (first.deleted, again.deleted) == (20, 20) and b"k03" in store.items
    assert delete(store, b"prefix=k0", idempotency_key=b"t").problem().kind.code == "IDEMPOTENCY_KEY_REUSED"  # type: ignore[union-attr]
    assert delete(store).deleted == 1


def test_a_repeated_request_goes_on_where_the_first_failed(store: Store) -> None:
    store.failures = [None, NoQuorumError(PartitionId(3))]
    assert delete(store, idempotency_key=b"t").failure is not None

    assert delete(store, idempotency_key=b"t").deleted == 20


def test_only_so_many_ranges_are_deleted_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "DELETIONS_OPEN_MAX", 0)

    assert isinstance(delete(store).failure, OverloadedError)


def test_the_route_answers(gateway: Running) -> None:
    gateway.fake.items.update({key: Item(1, b"v") for key in KEYS})

    answer = httpx.request("DELETE", f"{gateway.url}/v1/kv", params={"prefix": "k0"})
    refused = httpx.request("DELETE", f"{gateway.url}/v1/kv")

    assert (answer.status_code, answer.json()) == (200, {"deleted": 10, "complete": True})
    assert "kv-session" in answer.headers
    assert (refused.status_code, refused.json()["code"]) == (422, "NOT_TOGETHER")
    gateway.fake.error = NoQuorumError(PartitionId(3))
    failed = httpx.request("DELETE", f"{gateway.url}/v1/kv", params={"prefix": "k"})
    assert (failed.status_code, failed.json()["deleted"]) == (503, 0)
