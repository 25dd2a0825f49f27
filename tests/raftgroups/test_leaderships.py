"""What nodes tell each other of who leads, without a group, a link or a clock."""

from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.leaderships import BELIEVED_SECONDS, TELL_SECONDS, Leadership, Leaderships
from raftgroups.messages import Lead, Leads

P0, P1 = PartitionId(0), PartitionId(1)


class Side:
    """A node: what it leads, and what it has sent."""

    def __init__(self) -> None:
        self.led: dict[PartitionId, Lead] = {}
        self.members: dict[PartitionId, str] = {}
        self.sent: list[tuple[str, Leads]] = []
        self.told = Leaderships(2, self.lead_for, lambda peer, message: self.sent.append((peer, message)))

    def lead_for(self, partition: PartitionId, peer: str) -> Lead | None:
        return None if peer in self.members.get(partition, "") else self.led.get(partition)

    def change(self, partition: PartitionId, lead: Lead | None) -> None:
        if lead is None:
            del self.led[partition]
        else:
            self.led[partition] = lead
        self.told.changed([partition])

    def said(self, now: float) -> list[tuple[str, Leads]]:
        """What the tick makes it say."""
        self.sent.clear()
        self.told.tick(now)
        return self.sent.copy()


def lead(term: int = 3, commit: int = 9, *, group: int = 0, has_ended: bool = False) -> Lead:
    return Lead(group, term, commit, commit, has_ended)


def leads(*found: Lead, is_all: bool = True) -> Leads:
    return Leads(list(found), is_all)


def known(leader: str | None, term: int = 3, commit: int = 9, at: float = 1.0) -> Leadership:
    return Leadership(leader, Term(term), LogIndex(commit), LogIndex(commit), at)


def test_a_peer_whose_link_comes_up_is_told_of_all_that_is_led_here() -> None:
    side = Side()
    side.led = {P0: lead(), P1: lead(group=1)}

    side.told.link_up("d", side.led)

    assert side.said(0.0) == [("d", leads(lead(), lead(group=1)))]


def test_members_are_told_nothing_for_they_know_better() -> None:
    side = Side()
    side.led, side.members = {P0: lead()}, {P0: "d"}

    side.told.link_up("d", side.led)

    assert side.said(0.0) == [("d", leads())]


def test_another_leader_is_told_at_once_and_how_far_it_has_got_now_and_then() -> None:
    side = Side()
    side.told.link_up("d", [])
    side.said(0.0)

    side.change(P0, lead())
    assert side.said(0.1) == [("d", leads(lead(), is_all=False))]
    side.change(P0, lead(commit=10))
    assert side.said(0.2) == []
    assert side.said(TELL_SECONDS) == [("d", leads(lead(commit=10)))]
    assert side.said(2 * TELL_SECONDS) == [("d", leads())]


def test_who_leads_no_more_says_so_at_once() -> None:
    side = Side()
    side.led = {P0: lead()}
    side.told.link_up("d", side.led)
    side.said(0.0)

    side.change(P0, None)

    assert side.said(0.1) == [("d", leads(lead(has_ended=True), is_all=False))]
    assert side.said(TELL_SECONDS) == [("d", leads())]


def test_what_was_told_is_known_and_its_age_is_that_of_the_last_confirmation() -> None:
    side = Side()

    assert side.told.of(P0, 1.0) is None
    assert side.told.heard("a", leads(lead(), is_all=False), 1.0) == [P0]
    assert side.told.of(P0, 1.5) == known("a", at=1.0)
    assert side.told.heard("a", leads(), 2.0) == []
    assert side.told.of(P0, 2.5) == known("a", at=2.0)


def test_the_leader_of_the_newer_term_is_believed_in_whatever_order_they_tell() -> None:
    side = Side()
    side.told.heard("b", leads(lead(term=4)), 1.0)

    assert side.told.heard("a", leads(lead(term=3)), 1.1) == []
    assert side.told.heard("a", leads(lead(term=3, has_ended=True)), 1.2) == []

    assert side.told.of(P0, 1.2) == known("b", term=4, at=1.0)
    assert side.told.heard("a", leads(lead(term=5)), 1.3) == [P0]


def test_a_leader_that_leads_no_more_is_none() -> None:
    side = Side()
    side.told.heard("a", leads(lead()), 1.0)

    assert side.told.heard("a", leads(lead(has_ended=True)), 1.4) == [P0]

    assert side.told.of(P0, 1.4) == known(None, at=1.4)


def test_a_leader_whose_link_is_lost_is_not_known_any_more() -> None:
    side = Side()
    side.told.heard("a", leads(lead(), lead(group=1)), 1.0)
    side.told.heard("b", leads(lead(term=4, group=1)), 1.0)

    assert side.told.link_lost("a") == [P0]

    assert side.told.of(P0, 1.0) == known(None)
    assert side.told.of(P1, 1.0) == known("b", term=4)


def test_a_leader_that_has_said_nothing_for_long_is_not_believed() -> None:
    """It may stand still, and others lead."""
    side = Side()
    side.told.heard("a", leads(lead()), 1.0)

    assert side.told.of(P0, 1.0 + BELIEVED_SECONDS) == known("a")
    assert side.told.of(P0, 1.1 + BELIEVED_SECONDS) == known(None)


def test_what_there_cannot_be_fills_no_memory() -> None:
    side = Side()

    assert side.told.heard("a", leads(lead(group=2), lead(group=-1)), 1.0) == []
    assert side.told.of(PartitionId(2), 1.0) is None


def test_the_age_is_told_in_milliseconds() -> None:
    assert known("a", at=1.0).age_ms(1.25) == 250
    assert known("a", at=1.0).age_ms(0.5) == 0
    assert Leadership(None, Term(0), LogIndex(0), LogIndex(0), None).age_ms(1.0) is None
