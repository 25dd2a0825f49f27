"""What lets replicas that sleep believe each other, without a replica, a link or a clock."""

from collections import deque

from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.lease import NEVER
from raftgroups.messages import AnyMessage, Awake, Beat, Sleep
from raftgroups.timing import Timing
from raftgroups.vigil import SILENCE_SHARE, STANDSTILL_SECONDS, Vigil

TIMING = Timing(quiet_seconds=1.0)
P0, P1 = PartitionId(0), PartitionId(1)
TERM, INDEX = Term(3), LogIndex(9)
TICK = 0.05


class Side:
    """A node that has a link with one other: what it says waits in `outbox`."""

    def __init__(self, name: str, peer: str) -> None:
        self.name, self.peer = name, peer
        self.vigil = Vigil(TIMING, self)
        self.outbox: deque[AnyMessage] = deque()
        self.agrees = True
        self.asleep: set[PartitionId] = set()
        self.distrusts = ""
        self.now = 0.0
        self.vigil.link_up(peer, 0.0)

    def tell(self, peer: str, message: AnyMessage) -> None:
        self.outbox.append(message)

    def lie_down(self, leader: str, message: Sleep, now: float) -> bool:
        if self.agrees:
            self.asleep.add(PartitionId(message.group))
        return self.agrees

    def wake(self, group: PartitionId, now: float) -> None:
        """As a replica: the first that wakes it has it withdrawn."""
        if group in self.asleep:
            self.asleep.discard(group)
            self.vigil.withdraw(group)

    def distrust(self, peer: str, reason: str) -> None:
        self.distrusts = reason

    def offer(self, group: PartitionId = P0, term: Term = TERM) -> None:
        self.asleep.add(group)
        self.vigil.offer(group, term, INDEX, [self.peer])

    def tick(self) -> None:
        self.vigil.tick(self.now)

    def heard_at(self, group: PartitionId = P0) -> float | None:
        contact = self.vigil.contact(group, self.peer)
        return contact.heard_at if contact is not None else None


class Two:
    """A leader's node and a follower's, with a link that is in order."""

    def __init__(self) -> None:
        self.leader, self.follower = Side("a", "b"), Side("b", "a")

    def deliver(self) -> None:
        for side, other in ((self.leader, self.follower), (self.follower, self.leader)):
            while side.outbox:
                message = side.outbox.popleft()
                assert isinstance(message, Beat | Sleep | Awake)
                other.vigil.received(side.name, message, other.now)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            for side in (self.leader, self.follower):
                side.now += TICK
                side.tick()
            self.deliver()


def sleeping(*groups: PartitionId) -> Two:
    two = Two()
    for group in groups or (P0,):
        two.leader.offer(group)
    two.run(0.5)
    assert two.leader.asleep == two.follower.asleep == set(groups or (P0,))
    return two


def test_the_beats_of_a_pair_stand_for_all_groups_that_sleep_between_them() -> None:
    two = sleeping(P0, P1)
    before = two.leader.now

    two.run(1.0)

    for side in (two.leader, two.follower):
        for group in (P0, P1):
            heard_at = side.heard_at(group)
            assert heard_at is not None and heard_at > before + 0.8
    assert two.leader.asleep == {P0, P1}


def test_nothing_but_beats_is_sent_while_groups_sleep() -> None:
    """One in each heartbeat, however many groups there are."""
    two = Two()
    for number in range(300):
        two.leader.offer(PartitionId(number))
    two.run(0.5)

    sent: list[AnyMessage] = []
    for _ in range(20):
        for side in (two.leader, two.follower):
            side.now += TICK
            side.tick()
        sent += two.leader.outbox
        two.deliver()

    assert {type(message) for message in sent} == {Beat}
    assert len(sent) <= 20 * TICK / TIMING.heartbeat_seconds + 1


def test_a_beat_that_left_before_the_follower_agreed_says_nothing_of_the_group() -> None:
    two = Two()
    two.run(0.5)
    two.leader.offer()
    two.follower.now += 1.0
    two.follower.tick()
    assert isinstance(two.follower.outbox[0], Beat)

    beat = two.follower.outbox.popleft()
    assert isinstance(beat, Beat)
    two.leader.vigil.received("b", beat, two.leader.now)

    assert two.leader.heard_at() is None
    two.run(0.3)
    assert two.leader.heard_at() is not None


def test_a_follower_that_does_not_agree_wakes_its_leader() -> None:
    two = Two()
    two.follower.agrees = False

    two.leader.offer()
    two.run(0.3)

    assert two.leader.asleep == set()
    assert two.leader.heard_at() is two.follower.heard_at() is None


def test_who_wakes_says_so_before_its_next_beat() -> None:
    for waker in ("leader", "follower"):
        two = sleeping(P0, P1)
        side: Side = getattr(two, waker)

        side.wake(P0, side.now)
        side.now += 1.0
        side.tick()

        first, second = side.outbox
        assert first == Awake(P0, TERM)
        assert isinstance(second, Beat)
        two.deliver()
        assert two.leader.asleep == two.follower.asleep == {P1}
        assert two.leader.heard_at(P0) is two.follower.heard_at(P0) is None


def test_a_beat_of_the_node_says_nothing_of_a_group_that_woke() -> None:
    """A leader that lost its term leads no more, and its node lives: its followers must not wait for it."""
    two = sleeping(P0, P1)
    two.leader.wake(P0, two.leader.now)

    two.run(2.0)

    assert two.follower.heard_at(P0) is None
    assert two.follower.heard_at(P1) is not None


def test_a_beat_closes_the_link_when_something_before_it_was_lost() -> None:
    for lost in (Sleep(P0, TERM, INDEX), Awake(P0, TERM)):
        two = Two() if isinstance(lost, Sleep) else sleeping()
        two.run(0.2)
        if isinstance(lost, Sleep):
            two.leader.offer()
        else:
            two.leader.wake(P0, two.leader.now)
        assert two.leader.outbox.pop() == lost
        before = two.follower.heard_at()

        two.run(0.3)

        assert "messages about sleep" in two.follower.distrusts
        assert two.follower.heard_at() == before


def test_a_beat_closes_the_link_when_something_before_it_came_twice() -> None:
    two = sleeping()
    two.leader.wake(P0, two.leader.now)
    two.leader.outbox.append(two.leader.outbox[-1])

    two.run(0.3)

    assert two.follower.distrusts


def test_a_beat_that_overtakes_is_not_believed() -> None:
    two = sleeping()
    two.run(0.2)
    two.leader.wake(P0, two.leader.now)
    two.leader.now += 1.0
    two.leader.tick()
    before = two.follower.heard_at()

    beat = two.leader.outbox.pop()
    assert isinstance(beat, Beat)
    two.follower.vigil.received("a", beat, two.follower.now)

    assert two.follower.distrusts
    assert two.follower.heard_at() == before


def test_what_both_have_told_at_once_wakes_both_and_harms_nobody() -> None:
    two = sleeping()

    two.leader.wake(P0, two.leader.now)
    two.follower.wake(P0, two.follower.now)
    two.run(0.3)
    two.leader.offer()
    two.run(0.5)

    assert two.leader.asleep == two.follower.asleep == {P0}
    assert two.leader.heard_at() is not None
    assert not two.leader.distrusts + two.follower.distrusts


def test_an_awake_of_an_older_reign_wakes_nobody() -> None:
    two = sleeping()

    two.leader.vigil.received("b", Awake(P0, Term(TERM - 1)), two.leader.now)

    assert two.leader.asleep == {P0}


def test_a_peer_that_falls_silent_wakes_what_sleeps_with_it_before_anybody_would_have_stood() -> None:
    two = sleeping()
    heard_at = two.follower.heard_at()
    assert heard_at is not None

    while two.follower.asleep:
        two.follower.now += TICK
        two.follower.tick()

    silent_for = two.follower.now - heard_at
    assert SILENCE_SHARE * TIMING.election_seconds_min < silent_for < TIMING.election_seconds_min
    assert two.follower.outbox[-1] == Awake(P0, TERM)


def test_a_node_that_stood_still_reads_first_what_has_come_meanwhile() -> None:
    two = sleeping()

    two.follower.now += max(5.0, STANDSTILL_SECONDS)
    two.follower.tick()
    assert two.follower.asleep == {P0}

    two.follower.now += TICK
    two.follower.tick()
    assert two.follower.asleep == set()


def test_a_link_that_is_lost_takes_all_along() -> None:
    two = sleeping()
    for side in (two.leader, two.follower):
        side.vigil.link_lost(side.peer)
        assert side.heard_at() is None
        side.outbox.clear()
        side.vigil.link_up(side.peer, side.now)

    two.run(0.3)

    assert two.leader.heard_at() is two.follower.heard_at() is None
    assert not two.leader.distrusts + two.follower.distrusts


def test_a_beat_says_whether_those_who_sleep_here_promise_their_votes() -> None:
    side = Side("b", "a")
    leased = Vigil(Timing(lease_seconds=0.5), side)
    leased.link_up("a", 0.0)
    leased.tick(1.0)
    side.vigil.tick(1.0)

    promised, usual = side.outbox
    assert isinstance(promised, Beat) and isinstance(usual, Beat)
    assert promised.promises and not usual.promises


def test_what_a_peer_has_met_is_known_by_when_it_left_here_and_not_by_when_it_was_heard() -> None:
    two = Two()
    assert two.follower.vigil.met_at("a") == 0.0
    assert two.follower.vigil.met_at("c") == NEVER
    for _ in range(3):
        for side in (two.leader, two.follower):
            side.now += TIMING.heartbeat_seconds
            side.tick()
        two.deliver()
    met_at = two.follower.vigil.met_at("a")
    assert two.follower.now - 2 * TIMING.heartbeat_seconds <= met_at <= two.follower.now

    two.leader.now += TIMING.heartbeat_seconds
    two.leader.tick()
    two.follower.now += 60.0
    two.deliver()

    assert two.follower.vigil.met_at("a") < two.follower.now - 59.0
