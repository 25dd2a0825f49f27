"""What the judges see of a replica: by cases, and against a slow count of what it holds."""

from hypothesis import given
from hypothesis import strategies as st

from app.simulation.judges.replica import Change, Replica
from raftgroups import LogIndex
from tests.simulation.judges.court import NO_OP, P0, FakeNode, StoredEntry, look


def seen(node: FakeNode, replica: Replica) -> Change:
    change = look(node, replica)
    assert change is not None
    return change


def test_nothing_is_seen_twice() -> None:
    node, replica = FakeNode("a"), Replica("a", P0)

    assert seen(node, replica).is_start
    assert look(node, replica) is None


def test_a_sync_alone_is_a_change() -> None:
    """It changes nothing in the replica but what may be counted on."""
    node, replica = FakeNode("a"), Replica("a", P0)
    node.append((1, NO_OP))
    node.sync()
    seen(node, replica)
    node.append((1, NO_OP))
    seen(node, replica)
    assert replica.durable == 1

    node.sync()
    assert seen(node, replica).synced == 1
    assert replica.durable == 2


def test_a_start_is_seen() -> None:
    node, replica = FakeNode("a"), Replica("a", P0)
    seen(node, replica)

    node.restart()
    change = seen(node, replica)
    assert (change.is_start, change.is_anew) == (True, False)


def test_a_replica_made_anew_is_seen() -> None:
    node, replica = FakeNode("a"), Replica("a", P0)
    node.append((1, NO_OP))
    seen(node, replica)
    replica.retire()
    assert not replica.holds(LogIndex(1), 1)

    node.append(after=0)
    change = seen(node, replica)
    assert (change.is_anew, change.cut, replica.durable) == (True, (), 0)


def test_what_was_written_over_is_told() -> None:
    node, replica = FakeNode("a"), Replica("a", P0)
    node.append((1, NO_OP), (1, NO_OP), (1, NO_OP))
    seen(node, replica)

    node.append((2, NO_OP), after=1)
    change = seen(node, replica)
    assert (change.kept, change.cut) == (1, ((2, 1), (3, 1)))


def test_what_a_snapshot_covers_is_not_cut() -> None:
    node, replica = FakeNode("a"), Replica("a", P0)
    node.append((1, NO_OP), (1, NO_OP), (1, NO_OP))
    seen(node, replica)

    node.forget_before(2)
    change = seen(node, replica)
    assert (change.kept, change.cut) == (3, ())


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 3)),
        st.tuples(st.just("write over"), st.integers(0, 6)),
        st.tuples(st.just("forget"), st.integers(0, 6)),
        st.tuples(st.just("snapshot"), st.integers(0, 3)),
        st.tuples(st.just("sync"), st.just(0)),
        st.tuples(st.just("crash"), st.just(0)),
        st.tuples(st.just("look"), st.just(0)),
    ),
    max_size=30,
)


class Slow:
    """A replica, and every entry that it holds by index."""

    def __init__(self) -> None:
        self.node = FakeNode("a")
        self._term = 1

    @property
    def entries(self) -> dict[int, StoredEntry]:
        log = self.node.group.log
        return dict(enumerate(log.entries, log.first_index))

    def do(self, step: str, number: int) -> None:
        node, log = self.node, self.node.group.log
        if step == "append":
            node.append(*[(self._term, NO_OP)] * number)
        elif step == "write over":
            # Whoever writes over an entry is the leader of a later term.
            self._term += 1
            node.append((self._term, NO_OP), after=max(log.last_index - number, log.first_index))
        elif step == "forget":
            node.forget_before(min(log.first_index + number, log.durable_index))
        elif step == "snapshot":
            other = FakeNode("b")
            other.append(*[(self._term, NO_OP)] * (log.last_index + number))
            other.commit(other.group.log.last_index)
            node.receive_snapshot(other)
        elif step == "sync":
            node.sync()
        elif step == "crash":
            del log.entries[log.durable_index - log.first_index + 1 :]
            node.restart()


@given(steps, st.booleans())
def test_it_counts_as_a_slow_count_does(steps: list[tuple[str, int]], sees_each: bool) -> None:
    """It never counts more as durable than is, and just that if it sees each step."""
    slow, replica = Slow(), Replica("a", P0)
    seen(slow.node, replica)
    before = slow.entries

    for step, number in steps:
        slow.do(step, number)
        if step != "look" and not sees_each:
            continue
        change, now, log = look(slow.node, replica), slow.entries, slow.node.group.log
        if change is not None:
            gone = [
                (index, before[index][0]) for index in before if index > min(now) and now.get(index) != before[index]
            ]
            assert list(change.cut) == [(index, term) for index, term in gone if index > min(before)]
            assert all(before[index] == now[index] for index in before if min(now) < index <= change.kept)
            assert change.kept == max([index for index in before if before[index] == now.get(index)] + [min(now)])
        held = {
            index for index in range(1, max(now) + 1) if replica.holds(LogIndex(index), now.get(index, (0, b""))[0])
        }
        assert held <= set(range(1, log.durable_index + 1))
        if sees_each:
            assert replica.durable == log.durable_index
            assert held == set(range(1, log.durable_index + 1))
        before = now
