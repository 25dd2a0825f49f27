"""Clients on both sides of a fork: each process has what it asked for, and neither disturbs the other."""

import asyncio
import multiprocessing
import os
import pickle
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from typing import Any

import pytest

from app.client import AsyncClient, Client, ConditionFailedError, InvalidArgumentTypeError, OutcomeUnknownError, Watch
from app.clienterrors import Response, error_of
from app.forks import let_go
from app.pipeline import PipelinedClient
from app.sending import CALLS_MAX
from raftgroups import Item
from tests.app.fake_gateway import FakeGateway, Fate
from tests.app.running import Running, eventually, running
from tests.app.scripted import Silent

# From Python 3.12 on a fork is told that there are threads: here there are some on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

CHILD_SECONDS = 20


class Child:
    """A copy of this process that does one thing, and says whether that went well."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.id = os.fork()
        if self.id == 0:
            status = 1
            try:
                signal.alarm(CHILD_SECONDS)
                act()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)

    def end(self) -> None:
        """Wait for it. Raises: AssertionError, if it did not go well."""
        assert os.waitstatus_to_exitcode(os.waitpid(self.id, 0)[1]) == 0, "see what the child says"


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        gateway.data = {b"%d" % number: (b"%d" % number, "") for number in range(10)}
        yield gateway


def ask(client: Client, number: int) -> None:
    for _ in range(100):
        found = client.get(str(number))
        assert found is not None and found.value == b"%d" % number


async def ask_async(client: AsyncClient, number: int) -> None:
    for _ in range(20):
        found = await asyncio.gather(*(client.get(str(number)) for _ in range(10)))
        assert {value and value.value for value in found} == {b"%d" % number}


def test_each_process_gets_what_it_asks_for(gateway: FakeGateway) -> None:
    """A connection that is used by two gives each the other's answers."""
    with Client(gateway.url) as client:
        ask(client, 0)

        children = [Child(lambda number=number: ask(client, number)) for number in (1, 2, 3)]  # type: ignore[misc]
        ask(client, 0)

        for child in children:
            child.end()


@pytest.mark.parametrize("kind", [AsyncClient, PipelinedClient])
def test_so_does_each_with_a_loop_of_its_own(gateway: FakeGateway, kind: type[AsyncClient]) -> None:
    async def act(number: int) -> None:
        await ask_async(client, number)

    async def parent() -> None:
        await ask_async(client, 0)
        children.extend(Child(lambda number=number: asyncio.run(act(number))) for number in (1, 2, 3))  # type: ignore[misc]
        await ask_async(client, 0)
        await client.close()

    client = kind(gateway.url)
    children: list[Child] = []
    asyncio.run(parent())
    for child in children:
        child.end()


def test_a_client_goes_on_with_another_loop(gateway: FakeGateway) -> None:
    """After a second asyncio.run its connections would belong to a loop that is closed."""
    client = AsyncClient(gateway.url)

    async def act(number: int, *, is_last: bool = False) -> None:
        await ask_async(client, number)
        await client._sender.close() if is_last else _abort_all(client)

    asyncio.run(act(0))
    Child(lambda: asyncio.run(ask_async(client, 1))).end()
    asyncio.run(act(2, is_last=True))


def _abort_all(client: AsyncClient) -> None:
    """As asyncio.run would not: a transport that it leaves open says so when it is collected."""
    for place in client._sender._places.values():  # type: ignore[attr-defined]
        for connection in place.idle.take_all():
            connection.close()


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_a_child_closes_stays_open_for_its_parent(kind: type[Any]) -> None:
    """The server sees no end of the connection, and the parent goes on using it."""
    with FakeGateway() as gateway:
        if kind is Client:
            with Client(gateway.url) as client:
                client.put("a", "1")
                Child(client.close).end()
                client.put("b", "2")
        else:

            async def run() -> None:
                async with AsyncClient(gateway.url) as client:
                    await client.put("a", "1")
                    Child(lambda: asyncio.run(client.close())).end()
                    await client.put("b", "2")

            asyncio.run(run())

        assert (len(gateway.data), gateway.connections) == (2, 1)


def test_two_processes_draw_different_idempotency_keys(gateway: FakeGateway) -> None:
    """Else the second one's counter would stay where it is, and be told that it had counted."""
    with Client(gateway.url) as client:
        client.incr("n")
        children = [Child(lambda: [client.incr("n") for _ in range(5)]) for _ in range(3)]
        client.incr("n")
        for child in children:
            child.end()

        assert client.incr("n").value == 18
        assert len({headers["idempotency-key"] for headers in gateway.headers}) == 18


def test_a_scan_goes_on_in_both(running_gateway: Running) -> None:
    with Client(running_gateway.url) as client:
        scan = client.scan(page_keys=3)
        first = [next(scan).key for _ in range(4)]

        def rest() -> None:
            assert first + [item.key for item in scan] == [b"k%02d" % number for number in range(20)]

        child = Child(rest)
        rest()
        child.end()


@pytest.fixture
def running_gateway() -> Iterator[Running]:
    with running() as started:
        started.fake.items = {b"k%02d" % number: Item(number + 1, b"v") for number in range(20)}
        yield started


def test_a_watch_tells_both_of_every_change(running_gateway: Running) -> None:
    with Client(running_gateway.url) as client, client.watch(prefix="k") as changes:
        client.put("k1", "1")
        assert next(changes).key == b"k1"

        def rest() -> None:
            assert [next(changes).key for _ in range(20)] == [b"k%d" % number for number in range(2, 22)]

        child = Child(rest)
        for number in range(2, 22):
            client.put(f"k{number}", "1")
        rest()
        child.end()


def test_an_async_watch_tells_both_of_every_change(running_gateway: Running) -> None:
    async def rest(changes: Any) -> None:
        assert [(await anext(changes)).key for _ in range(20)] == [b"k%d" % number for number in range(2, 22)]

    async def run() -> Child:
        async with AsyncClient(running_gateway.url) as client, client.watch(prefix="k") as changes:
            await client.put("k1", "1")
            assert (await anext(changes)).key == b"k1"
            child = Child(lambda: asyncio.run(rest(changes)))
            for number in range(2, 22):
                await client.put(f"k{number}", "1")
            await rest(changes)
            return child

    asyncio.run(run()).end()


def test_a_watch_that_a_child_closes_goes_on_in_its_parent(running_gateway: Running) -> None:
    with Client(running_gateway.url) as client, client.watch(prefix="k") as changes:
        Child(client.close).end()
        client.put("k1", "1")

        assert next(changes).key == b"k1"


def test_no_lock_that_another_thread_held_is_waited_for(running_gateway: Running) -> None:
    """In a child there is only the thread that forked: what the others held, nobody gives back."""
    found: list[bytes] = []

    def read(changes: Watch) -> None:
        found.extend(change.key for change in changes)

    with Client(running_gateway.url) as client:
        changes = client.watch(prefix="k").__enter__()
        reader = threading.Thread(target=read, args=(changes,))
        reader.start()
        client.put("k1", "1")
        eventually(lambda: found == [b"k1"])

        Child(changes.close).end()

        client.put("k2", "1")
        eventually(lambda: found == [b"k1", b"k2"])
        changes.close()
        reader.join(5)
        assert not reader.is_alive()


def test_no_turn_that_another_thread_had_is_waited_for(gateway: FakeGateway) -> None:
    silent = Silent()
    with silent, Client(silent.url, timeout_seconds=30, attempt_seconds=30) as client:
        threads = [threading.Thread(target=_fail, args=(client,)) for _ in range(CALLS_MAX)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(client._sender._busy) == CALLS_MAX)
        client._gateways.urls[:] = [gateway.url]

        Child(lambda: ask(client, 1)).end()

        client.close()
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads)


def _fail(client: Client) -> None:
    with pytest.raises(OutcomeUnknownError):
        client.put("k", "v")


def test_a_socket_that_is_let_go_of_says_nothing_and_keeps_its_number() -> None:
    ours, theirs = socket.socketpair()
    kept = ours.dup()
    with ours, theirs, kept:
        let_go(ours.fileno())

        kept.send(b"still there")
        assert theirs.recv(100) == b"still there"
        with pytest.raises(OSError):
            ours.send(b"nowhere")


@pytest.mark.parametrize("carry", [pickle.dumps, copy, deepcopy])
def test_no_copy_of_a_client_is_made(carry: Callable[[object], object]) -> None:
    with Client("http://h") as client:
        for thing in (client, client.watch(prefix=""), AsyncClient("http://h")):
            with pytest.raises(InvalidArgumentTypeError, match="cannot be pickled or copied"):
                carry(thing)


def test_what_was_found_and_what_went_wrong_goes_to_another_process() -> None:
    """A worker of multiprocessing that fails hands its error to its parent, and one that cannot be read breaks it."""
    body = b'{"code":"PRECONDITION_FAILED","detail":"it is at 7","outcome":"not_applied","retryable":false}'
    failed = error_of(Response(412, {"etag": '"7"'}, body), is_write=True)
    with FakeGateway(lambda *_: Fate.SERVED) as gateway, Client(gateway.url) as client:
        written = client.put("k", "v")
        found = client.get("k")

    copied = pickle.loads(pickle.dumps(failed))

    assert isinstance(copied, ConditionFailedError)
    assert (str(copied), copied.revision, copied.status, copied.retryable) == (str(failed), 7, 412, False)
    for thing in (written, found):
        assert pickle.loads(pickle.dumps(thing)) == thing
    for error in (OutcomeUnknownError("lost", code="C", is_write=False), OutcomeUnknownError("lost")):
        copied = pickle.loads(pickle.dumps(error))
        assert (str(copied), vars(copied)) == (str(error), vars(error))


def test_a_pool_of_forked_workers_shares_one_client(gateway: FakeGateway) -> None:
    global _shared
    with Client(gateway.url) as _shared:
        _shared.get("1")
        with multiprocessing.get_context("fork").Pool(3) as pool:
            assert pool.map(_get, range(10)) == [b"%d" % number for number in range(10)]


_shared: Client


def _get(number: int) -> bytes | None:
    time.sleep(0)
    found = _shared.get(str(number))
    return None if found is None else found.value
