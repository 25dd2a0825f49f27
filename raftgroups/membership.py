"""Membership: which nodes hold a group, derived from what the log says.

    configuration := msgpack [voters, learners, target]

A configuration is an entry of the log and is in force from the moment it is appended, committed
or not; a truncated suffix takes its configurations along. Two neighbours differ by one voter at
most, so any majority of the one meets any majority of the other. Users set only the target, the
wished set of voters; whoever leads takes one step at a time toward it, so a change of leader in
the middle loses nothing.

Source: Ongaro 2014, sections 4.1 (single-server changes), 4.2.1 (learners catch up first),
4.2.2 (a leader removes itself), 4.2.3 (removed servers do not disturb).
"""

from collections.abc import Collection, Iterable

import msgspec

from raftgroups.ids import LogIndex


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """Who holds a group.

    voters    count in majorities; leadership belongs with the first
    learners  are sent everything and count in nothing
    target    the wished voters, in the wished order; empty: as they are
    """

    voters: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    target: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        return self.voters + self.learners

    @property
    def is_settled(self) -> bool:
        """Nothing is left to do for the target."""
        return not self.target or (self.voters == self.target and not self.learners)

    def is_majority(self, nodes: Iterable[str]) -> bool:
        """Whether `nodes`, each named once, hold a majority of the voters."""
        return 2 * sum(node in self.voters for node in nodes) > len(self.voters)


NOBODY = Configuration()


def is_single_step(before: Configuration, after: Configuration) -> bool:
    """Whether one may follow the other in the log: they differ by at most one voter, and leave one."""
    return bool(after.voters) and len(set(before.voters) ^ set(after.voters)) <= 1


def next_step(
    now: Configuration, leader: str, caught_up: Collection[str], heard: Collection[str]
) -> Configuration | None:
    """The next configuration on the way to the target, None when there is nothing to do yet.

    caught_up   learners whose log is as good as the leader's
    heard       nodes that answered lately, the leader included

    Invariant: additions go before removals, the leader goes last, and nobody is promoted or
    removed unless a majority of those who remain is there to commit it.
    """
    voters, learners, target = now.voters, now.learners, now.target
    if now.is_settled:
        return None
    for node in learners:
        if node not in target:
            return Configuration(voters, _without(learners, node), target)
    missing = [node for node in target if node not in voters]
    for node in missing:
        if node in learners and node in caught_up:
            after = Configuration(_in_order((*voters, node), target), _without(learners, node), target)
            return after if after.is_majority(heard) else None
    for node in missing:
        if node not in learners and not learners:
            return Configuration(voters, (*learners, node), target)
    if missing:
        return None
    surplus = sorted((node for node in voters if node not in target), key=lambda node: node == leader)
    for node in surplus:
        after = Configuration(_in_order(_without(voters, node), target), learners, target)
        return after if after.is_majority(heard) else None
    return Configuration(target, learners, target)


def _without(nodes: tuple[str, ...], gone: str) -> tuple[str, ...]:
    return tuple(node for node in nodes if node != gone)


def _in_order(nodes: tuple[str, ...], target: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the target first, in its order."""
    return tuple(node for node in target if node in nodes) + tuple(node for node in nodes if node not in target)


class Configurations:
    """The configurations of one log: the newest committed one, and those after it.

    Invariant: indexes grow; the first is committed.
    """

    def __init__(self, index: LogIndex, configuration: Configuration) -> None:
        self._known = [(index, configuration)]

    @property
    def index(self) -> LogIndex:
        """Of the entry that holds the current one; 0 for the founding one."""
        return self._known[-1][0]

    @property
    def current(self) -> Configuration:
        return self._known[-1][1]

    @property
    def committed(self) -> tuple[LogIndex, Configuration]:
        return self._known[0]

    def appended(self, index: LogIndex, configuration: Configuration) -> None:
        assert index > self.index, "a configuration follows the one before it"
        self._known.append((index, configuration))

    def truncated(self, first: LogIndex) -> bool:
        """The entries from `first` on are gone; says whether the current configuration went with them."""
        if self._known[-1][0] < first:
            return False
        kept = [known for known in self._known if known[0] < first]
        assert kept, "a committed configuration is never cut off"
        changed = len(kept) < len(self._known)
        self._known = kept
        return changed

    def is_pending(self, commit: LogIndex) -> bool:
        """A change is in flight: the current configuration is not committed."""
        return self.index > commit

    def commit(self, commit: LogIndex) -> bool:
        """Everything up to `commit` is committed; says whether a configuration became so."""
        news = False
        while len(self._known) > 1 and self._known[1][0] <= commit:
            del self._known[0]
            news = True
        return news

    def restored(self, index: LogIndex, configuration: Configuration, snapshot: LogIndex, *, keeps_log: bool) -> None:
        """A snapshot at `snapshot` came, with the configuration as of there."""
        later = [known for known in self._known if known[0] > snapshot] if keeps_log else []
        self._known = [(index, configuration), *later]

    def names(self, node: str) -> bool:
        """Whether `node` is a member by the committed configuration or any after it.

        A replica that no configuration of its own names has lost, or never had, what a vote
        vouches for: it is new here, or was removed. It must not vote.
        """
        return any(node in configuration.members for _, configuration in self._known)

    def may_lead(self, node: str) -> bool:
        """Whether `node` may stand: also while its removal, or its promotion, is not committed."""
        return any(node in configuration.voters for _, configuration in self._known)
