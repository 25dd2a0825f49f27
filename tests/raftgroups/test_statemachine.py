import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Engine, InlineExecutor, MemoryFileSystem, Options, WouldBlockError
from raftgroups.command import Command, ConditionalPut, Delete, Put, encode_beginning, encode_command, encode_entry
from raftgroups.ids import LogIndex, Term, revision_of
from raftgroups.item import Item, decode_item
from raftgroups.result import Result, Written
from raftgroups.span import Span
from raftgroups.statemachine import StateMachine

PATH = "/p0000-0001"


def open_machine(disk: MemoryFileSystem) -> StateMachine:
    return StateMachine(Engine.open(PATH, Options(own_log=False), file_system=disk, executor=InlineExecutor()))


def entry(*commands: Command, clock_ms: int = 1) -> bytes:
    return encode_entry(clock_ms, [encode_command(command) for command in commands])


def apply(machine: StateMachine, index: int, *commands: Command, term: int = 1, clock_ms: int = 1) -> list[Result]:
    return machine.apply(LogIndex(index), Term(term), entry(*commands, clock_ms=clock_ms))


def item(machine: StateMachine, key: bytes) -> Item | None:
    stored = machine.get(key, wait=True)
    return decode_item(stored) if stored is not None else None


def test_a_new_machine_has_applied_nothing() -> None:
    machine = open_machine(MemoryFileSystem())

    assert (machine.applied_index, machine.applied_term, machine.clock_ms) == (0, 0, 0)
    assert item(machine, b"key") is None


def test_a_put_is_read_back_with_its_revision() -> None:
    machine = open_machine(MemoryFileSystem())

    results = apply(machine, 7, Put(b"key", b"value", "text/plain"))

    revision = revision_of(LogIndex(7), 0)
    assert results == [Written(revision)]
    assert item(machine, b"key") == Item(revision, b"value", "text/plain")


def test_a_delete_leaves_nothing() -> None:
    machine = open_machine(MemoryFileSystem())
    apply(machine, 1, Put(b"key", b"value"))

    apply(machine, 2, Delete(b"key"))

    assert item(machine, b"key") is None


def test_the_last_command_of_an_entry_wins() -> None:
    machine = open_machine(MemoryFileSystem())

    results = apply(machine, 1, Put(b"key", b"1"), Delete(b"key"), Put(b"key", b"2"), Delete(b"other"))

    assert results == [Written(revision_of(LogIndex(1), place)) for place in range(4)]
    assert item(machine, b"key") == Item(revision_of(LogIndex(1), 2), b"2")


def test_an_entry_that_was_applied_is_skipped() -> None:
    machine = open_machine(MemoryFileSystem())
    apply(machine, 3, Put(b"key", b"new"))

    assert apply(machine, 3, Put(b"key", b"again")) == []
    assert apply(machine, 2, Put(b"key", b"old")) == []
    assert machine.applied_index == 3
    found = item(machine, b"key")
    assert found is not None
    assert found.value == b"new"


def test_a_no_op_moves_the_index_and_nothing_else() -> None:
    machine = open_machine(MemoryFileSystem())
    apply(machine, 1, Put(b"key", b"value"))

    assert apply(machine, 2, term=4) == []
    assert (machine.applied_index, machine.applied_term) == (2, 4)
    assert item(machine, b"key") is not None


def test_time_never_goes_back() -> None:
    machine = open_machine(MemoryFileSystem())
    clocks = []
    for index, clock_ms in enumerate((50, 80, 20, 81), 1):
        apply(machine, index, clock_ms=clock_ms)
        clocks.append(machine.clock_ms)

    assert clocks == [50, 80, 80, 81]


def test_keys_of_users_never_meet_the_machines_own() -> None:
    machine = open_machine(MemoryFileSystem())

    apply(machine, 1, Put(b"applied", b"x"), Put(b"\x00applied", b"y"), Delete(b"\x00applied"))

    assert machine.applied_index == 1
    assert open_machine_again(machine) == (1, 1)
    found = item(machine, b"applied")
    assert found is not None
    assert found.value == b"x"


def open_machine_again(machine: StateMachine) -> tuple[int, int]:
    again = StateMachine(machine.engine)
    return again.applied_index, again.applied_term


def test_a_read_that_would_wait_says_so() -> None:
    disk = MemoryFileSystem()
    machine = open_machine(disk)
    apply(machine, 1, *[Put(b"key%d" % number, random.Random(number).randbytes(5_000)) for number in range(10)])
    machine.engine.flush()
    machine.engine.close()
    machine = open_machine(disk)
    disk.nowait = False

    with pytest.raises(WouldBlockError):
        machine.get(b"key9", wait=False)
    assert machine.get(b"key9", wait=True) == machine.get(b"key9", wait=False)


@pytest.mark.parametrize("command", [Put(b"k" * 1024, b"v" * 10_240), Put(b"\x00", b""), Delete(b"\xff" * 1024)])
def test_every_command_that_is_let_in_can_be_applied(command: Command) -> None:
    machine = open_machine(MemoryFileSystem())

    assert len(apply(machine, 1, command)) == 1


keys = st.sampled_from([b"a", b"b", b"c", b"\x00", b"applied"])
commands = st.one_of(st.builds(Put, keys, st.binary(max_size=9), st.just("t")), st.builds(Delete, keys))


@given(st.lists(st.lists(commands, max_size=4), min_size=1, max_size=25), st.integers(0, 2**32))
def test_a_crash_and_a_replay_end_as_if_nothing_had_happened(batches: list[list[Put | Delete]], seed: int) -> None:
    """Flushes and crashes fall anywhere; the log is replayed from any place at or before what was flushed."""
    rng = random.Random(seed)
    log = [entry(*batch, clock_ms=rng.randrange(100)) for batch in batches]
    calm, model = open_machine(MemoryFileSystem()), dict[bytes, bytes]()
    for index, payload in enumerate(log, 1):
        calm.apply(LogIndex(index), Term(1), payload)
    for batch in batches:
        for command in batch:
            if isinstance(command, Put):
                model[command.key] = command.value
            else:
                model.pop(command.key, None)
    disk = MemoryFileSystem()
    machine, at = open_machine(disk), 0
    for _ in range(4):
        upto = rng.randint(at, len(log))
        for index in range(rng.randint(0, min(at, machine.applied_index)) + 1, upto + 1):
            machine.apply(LogIndex(index), Term(1), log[index - 1])
            if rng.random() < 0.2:
                machine.engine.flush()
        machine.engine.close()
        disk.restart(rng)
        machine = open_machine(disk)
        at = machine.applied_index
    for index in range(1, len(log) + 1):
        machine.apply(LogIndex(index), Term(1), log[index - 1])

    assert list(machine.engine.scan()) == list(calm.engine.scan())
    assert (machine.applied_index, machine.clock_ms) == (calm.applied_index, calm.clock_ms)
    found = {key: item(machine, key) for key in (b"a", b"b", b"c", b"\x00", b"applied")}
    assert {key: value.value for key, value in found.items() if value is not None} == model


def test_a_scan_is_of_the_users_keys_as_they_are_when_it_is_asked_for() -> None:
    """What is written before it is read is not in it."""
    machine = open_machine(MemoryFileSystem())
    apply(machine, 1, *(Put(key, b"v") for key in (b"\x00", b"b", b"\xff\xff", b"")[:3]))

    job = machine.scan(Span())
    apply(machine, 2, Put(b"c", b"late"), Delete(b"b"))

    assert [key for key, _ in job().pairs] == [b"\x00", b"b", b"\xff\xff"]
    assert [key for key, _ in machine.scan(Span(b"b", b"d"))().pairs] == [b"c"]
    assert [key for key, _ in machine.scan(Span(reverse=True, limit=2))().pairs] == [b"\xff\xff", b"c"]


def test_a_scan_leaves_out_what_has_expired() -> None:
    """Though nothing has removed it yet."""
    machine = open_machine(MemoryFileSystem())
    apply(machine, 1, ConditionalPut(b"brief", b"v", "", 10, None), Put(b"long", b"v"), clock_ms=100)
    assert len(machine.scan(Span())().pairs) == 2

    machine.clock_ms = 110

    assert [key for key, _ in machine.scan(Span())().pairs] == [b"long"]


def test_the_grace_that_was_given_is_kept() -> None:
    """A replica that is opened again, or is sent this state, knows by how much time is behind."""
    machine = open_machine(MemoryFileSystem())
    machine.apply(LogIndex(1), Term(1), encode_beginning(100, 40))
    machine.apply(LogIndex(2), Term(1), entry(clock_ms=150))
    machine.apply(LogIndex(3), Term(2), encode_beginning(160, 2))

    assert (machine.clock_ms, machine.behind_ms) == (160, 42)
    assert StateMachine(machine.engine).behind_ms == 42
