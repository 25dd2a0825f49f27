from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftgroups.ids import LogIndex, Term
from raftgroups.replication import (
    Accept,
    Diverged,
    Progress,
    Reject,
    State,
    newest_not_after,
    quorum_match,
    reconcile,
)

WINDOW = 4
RETRY = 0.25


@dataclass
class Log:
    """Terms of entries `first`, first + 1, …; the first of them is all that a snapshot left."""

    terms: list[int] = field(default_factory=lambda: [0])
    first: int = 0

    @property
    def first_index(self) -> LogIndex:
        return LogIndex(self.first)

    @property
    def last_index(self) -> LogIndex:
        return LogIndex(self.first + len(self.terms) - 1)

    def term_at(self, index: LogIndex) -> Term:
        assert self.first_index <= index <= self.last_index, "asked for an entry that is not in the log"
        return Term(self.terms[index - self.first])

    def take(self, prev: int, terms: Sequence[int], verdict: Accept) -> None:
        """What a follower does with an Accept."""
        if verdict.skip < len(terms):
            start = prev + 1 + verdict.skip
            assert self.first < start <= self.last_index + 1, "the log stays contiguous"
            self.terms[start - self.first :] = terms[verdict.skip :]


def judge(log: Log, commit: int, prev: int, prev_term: int, terms: Sequence[int]) -> Accept | Reject | Diverged:
    return reconcile(log, LogIndex(commit), LogIndex(prev), Term(prev_term), [Term(term) for term in terms])


# A follower's verdict.


def test_entries_at_the_end_of_the_log_are_new() -> None:
    assert judge(Log([0, 1, 1]), 0, 2, 1, [1, 2]) == Accept(0, LogIndex(4))


def test_entries_that_match_are_kept() -> None:
    """Truncating a matching suffix loses what was acknowledged, until it is sent again (thesis, 3.5; defect S2)."""
    assert judge(Log([0, 1, 1, 1, 1]), 0, 1, 1, [1]) == Accept(1, LogIndex(2))
    assert judge(Log([0, 1, 1, 1, 1]), 0, 0, 0, [1, 1, 1]) == Accept(3, LogIndex(3))


def test_an_old_append_matches_no_further_than_it_reaches() -> None:
    assert judge(Log([0, 1, 1, 1, 1]), 0, 2, 1, []) == Accept(0, LogIndex(2))


def test_only_what_conflicts_is_replaced() -> None:
    """Thesis, 3.5: an entry that conflicts goes, and all that follow it."""
    assert judge(Log([0, 1, 1, 2, 2]), 2, 1, 1, [1, 3, 3]) == Accept(1, LogIndex(4))


def test_a_gap_is_rejected_with_the_end_of_the_log() -> None:
    assert judge(Log([0, 1, 1]), 0, 7, 3, [3]) == Reject(LogIndex(2), Term(1))


def test_a_rejection_skips_the_whole_conflicting_term() -> None:
    """Thesis, 3.5: a round for each term, not for each entry."""
    assert judge(Log([0, 1, 1, 2, 2, 2]), 0, 5, 3, []) == Reject(LogIndex(2), Term(1))


def test_a_rejection_never_points_below_the_commit_index() -> None:
    assert judge(Log([0, 2, 2, 2, 2, 2]), 3, 5, 3, []) == Reject(LogIndex(3), Term(2))


@pytest.mark.parametrize("commit", [2, 3, 4])
def test_a_conflict_with_a_committed_entry_is_a_divergence(commit: int) -> None:
    assert judge(Log([0, 1, 1, 2, 2]), commit, 1, 1, [3, 3]) == Diverged(LogIndex(2))
    assert judge(Log([0, 1, 1, 2, 2]), commit, 2, 3, []) == Diverged(LogIndex(2))


def test_a_log_after_a_snapshot_takes_an_append_that_begins_before_it() -> None:
    log = Log([1, 1, 2], first=10)

    assert judge(log, 10, 7, 1, [1, 1, 1, 1, 2, 2]) == Accept(5, LogIndex(13))
    assert judge(log, 10, 5, 1, [1, 1]) == Accept(2, LogIndex(7))
    assert judge(log, 10, 10, 1, [3]) == Accept(0, LogIndex(11))


def test_what_contradicts_a_snapshot_is_a_divergence() -> None:
    assert judge(Log([2, 2], first=10), 10, 8, 1, [1, 1]) == Diverged(LogIndex(10))
    assert judge(Log([2, 2], first=10), 10, 10, 1, []) == Diverged(LogIndex(10))


@dataclass(frozen=True)
class Logs:
    """A leader's whole log and a follower's, as terms by index, and what the follower has committed."""

    leader: list[int]
    follower: list[int]
    commit: int
    follower_first: int
    leader_first: int

    @property
    def common(self) -> int:
        """The highest index up to which both are equal."""
        pairs = list(zip(self.leader, self.follower, strict=False))
        return next((index for index, (a, b) in enumerate(pairs) if a != b), len(pairs)) - 1


@st.composite
def reachable_logs(draw: st.DrawFn) -> Logs:
    """Two logs that a run of Raft can leave behind: each term's leader extends some prefix of an older log.

    In such logs an entry's index and term name the whole log before it (Log Matching).
    """
    logs = [[0]]
    for term in range(1, draw(st.integers(2, 7))):
        base = draw(st.sampled_from(logs))
        kept = draw(st.integers(1, len(base)))
        logs.append(base[:kept] + [term] * draw(st.integers(1, 5)))
    leader = logs[-1]
    follower = draw(st.sampled_from(logs))
    follower = follower[: draw(st.integers(1, len(follower)))]
    common = Logs(leader, follower, 0, 0, 0).common
    commit = draw(st.integers(0, common))
    follower_first = draw(st.integers(0, commit))
    return Logs(leader, follower, commit, follower_first, draw(st.integers(0, len(leader) - 1)))


@given(reachable_logs(), st.data())
def test_after_an_accept_the_log_equals_the_leaders_up_to_the_match(logs: Logs, data: st.DataObject) -> None:
    """Against a model that compares whole logs: what matches stays, what is committed stays."""
    prev = data.draw(st.integers(0, len(logs.leader) - 1))
    terms = logs.leader[prev + 1 : prev + 1 + data.draw(st.integers(0, 6))]
    log = Log(logs.follower[logs.follower_first :], logs.follower_first)

    verdict = judge(log, logs.commit, prev, logs.leader[prev], terms)

    assert not isinstance(verdict, Diverged)
    if isinstance(verdict, Reject):
        assert prev > logs.common
        assert logs.commit <= verdict.index <= log.last_index
        assert verdict.index < prev
        assert verdict.term == log.term_at(verdict.index)
        return
    assert prev <= logs.common
    assert verdict.match == prev + len(terms)
    log.take(prev, terms, verdict)
    after = logs.follower[: logs.follower_first] + log.terms
    assert after[: verdict.match + 1] == logs.leader[: verdict.match + 1]
    assert after[: logs.commit + 1] == logs.follower[: logs.commit + 1]
    if verdict.match <= logs.common:
        assert after == logs.follower


@given(reachable_logs())
def test_a_leader_finds_the_meeting_point_in_few_rounds(logs: Logs) -> None:
    """One round for each term of the follower's suffix, not for each entry; then the logs are equal."""
    leader = Log(logs.leader[logs.leader_first :], logs.leader_first)
    follower = Log(logs.follower[logs.follower_first :], logs.follower_first)
    progress = Progress(LogIndex(leader.last_index + 1))
    rounds = 0
    while progress.state is State.PROBE:
        rounds += 1
        prev = progress.next_index - 1
        assert prev >= leader.first, "the leader asks only for what it has"
        terms = leader.terms[prev + 1 - leader.first :]
        sequence = progress.sent(leader.last_index, 0.0)
        verdict = judge(follower, logs.commit, prev, leader.term_at(LogIndex(prev)), terms)
        assert not isinstance(verdict, Diverged)
        if isinstance(verdict, Accept):
            follower.take(prev, terms, verdict)
            progress.accepted(sequence, verdict.match)
        elif verdict.index < leader.first:
            return
        else:
            progress.rejected(sequence, newest_not_after(leader, verdict.index, verdict.term))
            if progress.next_index - 1 < leader.first:
                return

    assert rounds <= len(set(logs.follower) | set(logs.leader)) + 1
    assert progress.match == leader.last_index
    assert follower.terms[-1] == leader.terms[-1]
    assert logs.follower[: follower.first] + follower.terms == logs.leader


@given(reachable_logs(), st.integers(0, 30), st.integers(0, 8))
def test_the_newest_entry_not_after_is_what_a_search_finds(logs: Logs, index: int, term: int) -> None:
    log = Log(logs.leader[logs.leader_first :], logs.leader_first)
    fitting = [at for at in range(log.first, min(max(index, log.first), log.last_index) + 1) if logs.leader[at] <= term]

    found = newest_not_after(log, LogIndex(max(index, log.first)), Term(term))

    assert found == max(fitting, default=log.first)


# What is committed.


@pytest.mark.parametrize(
    ("matches", "committed"),
    [
        ([7], 7),
        ([7, 3], 3),
        ([7, 3, 5], 5),
        ([7, 0, 0], 0),
        ([9, 7, 5, 3], 5),
        ([9, 9, 5, 3], 5),
        ([9, 7, 5, 3, 1], 5),
        ([9, 9, 9, 0, 0], 9),
        ([9, 9, 0, 0, 0], 0),
    ],
)
def test_a_majority_commits(matches: list[int], committed: int) -> None:
    """Thesis, 3.6.2, and 4.1 for groups of even size."""
    assert quorum_match(matches) == committed


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7))
def test_the_committed_index_is_the_highest_that_a_majority_has(matches: list[int]) -> None:
    by_counting = max(
        index for index in range(10) if index == 0 or 2 * sum(match >= index for match in matches) > len(matches)
    )

    assert quorum_match(matches) == by_counting


# What a leader knows of a follower.


def replicating(match: int = 5) -> Progress:
    progress = Progress(LogIndex(match + 1))
    progress.accepted(progress.sent(LogIndex(match), 0.0), LogIndex(match))
    assert progress.state is State.REPLICATE
    return progress


def test_a_probe_is_alone_in_flight_until_it_is_answered_or_late() -> None:
    progress = Progress(LogIndex(4))

    assert progress.may_send(1.0, RETRY, WINDOW)
    progress.sent(LogIndex(3), 1.0)
    assert not progress.may_send(1.0, RETRY, WINDOW)
    assert not progress.may_send(1.0 + RETRY - 0.01, RETRY, WINDOW)
    assert progress.may_send(1.0 + RETRY, RETRY, WINDOW)


def test_an_accepted_probe_opens_the_window() -> None:
    progress = Progress(LogIndex(4))

    news = progress.accepted(progress.sent(LogIndex(9), 0.0), LogIndex(9))

    assert news
    assert (progress.state, progress.match, progress.next_index) == (State.REPLICATE, 9, 10)


def test_a_window_of_appends_is_in_flight() -> None:
    """Thesis, 10.2.1."""
    progress = replicating(5)
    sequences = []
    for last in range(6, 6 + WINDOW):
        assert progress.may_send(0.0, RETRY, WINDOW)
        sequences.append(progress.sent(LogIndex(last), 0.0))

    assert not progress.may_send(9.0, RETRY, WINDOW)
    assert progress.next_index == 6 + WINDOW
    progress.accepted(sequences[0], LogIndex(6))
    assert progress.may_send(9.0, RETRY, WINDOW)
    assert progress.next_index == 6 + WINDOW, "an answer does not have sent entries sent again"


def test_a_rejection_in_replication_starts_a_probe_above_the_match() -> None:
    progress = replicating(5)
    sequence = progress.sent(LogIndex(8), 0.0)

    progress.rejected(sequence, LogIndex(2))

    assert (progress.state, progress.next_index) == (State.PROBE, 6)


def test_a_stale_rejection_is_ignored() -> None:
    """Rejections of older probes arrive late; obeying them sends the whole log again (defect R2b)."""
    progress = Progress(LogIndex(20))
    stale = progress.sent(LogIndex(19), 0.0)
    progress.link_lost()
    fresh = progress.sent(LogIndex(19), 1.0)

    progress.rejected(stale, LogIndex(3))
    assert progress.next_index == 20
    progress.accepted(fresh, LogIndex(19))
    progress.rejected(stale, LogIndex(3))
    assert (progress.state, progress.next_index) == (State.REPLICATE, 20)


def test_a_follower_whose_disk_lost_what_it_confirmed_gets_it_again() -> None:
    """It says so when it is asked for the very entry that it had confirmed last; nothing else takes that back."""
    progress = replicating(5)
    refused = progress.sent(LogIndex(8), 0.0)
    assert not progress.rejected(refused, LogIndex(2)), "it may lack what was sent before that"
    assert (progress.match, progress.next_index) == (5, 6)

    assert progress.rejected(progress.sent(LogIndex(5), 1.0), LogIndex(2))
    assert (progress.state, progress.match, progress.next_index) == (State.PROBE, 2, 3)
    assert progress.accepted(progress.sent(LogIndex(5), 1.0), LogIndex(2)) is False
    assert (progress.state, progress.next_index) == (State.REPLICATE, 3)


def test_a_refusal_that_says_nothing_new_is_answered_at_the_pace_of_a_probe() -> None:
    progress = replicating(5)
    progress.link_lost()

    assert not progress.rejected(progress.sent(LogIndex(5), 1.0), LogIndex(5))

    assert (progress.state, progress.next_index) == (State.PROBE, 6)
    assert not progress.may_send(1.0, RETRY, WINDOW)
    assert progress.may_send(1.0 + RETRY, RETRY, WINDOW)


def test_a_stale_acceptance_is_still_true() -> None:
    progress = replicating(5)
    sequence = progress.sent(LogIndex(9), 0.0)
    progress.link_lost()
    progress.sent(LogIndex(9), 1.0)

    assert progress.accepted(sequence, LogIndex(9))
    assert (progress.state, progress.match, progress.next_index) == (State.PROBE, 9, 10)


def test_a_lost_link_has_what_was_in_flight_sent_again() -> None:
    progress = replicating(5)
    progress.sent(LogIndex(9), 0.0)

    progress.link_lost()

    assert (progress.state, progress.next_index) == (State.PROBE, 6)
    assert progress.may_send(0.0, RETRY, WINDOW)


def test_nothing_is_sent_during_a_snapshot() -> None:
    progress = replicating(5)
    late = progress.sent(LogIndex(6), 0.0)
    progress.snapshot_needed()

    assert not progress.may_send(100.0, RETRY, WINDOW)
    progress.rejected(late, LogIndex(2))
    assert progress.state is State.SNAPSHOT
    progress.snapshot_installed(LogIndex(40))
    assert (progress.state, progress.match, progress.next_index) == (State.PROBE, 40, 41)


def test_after_a_failed_snapshot_the_follower_is_probed() -> None:
    progress = Progress(LogIndex(9))
    progress.snapshot_needed()

    progress.snapshot_failed()

    assert progress.state is State.PROBE
    assert progress.may_send(0.0, RETRY, WINDOW)


def test_an_older_snapshot_does_not_lower_the_match() -> None:
    progress = replicating(50)
    progress.snapshot_needed()

    progress.snapshot_installed(LogIndex(40))

    assert (progress.match, progress.next_index) == (50, 51)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 20), st.integers(0, 40)), max_size=60))
def test_match_falls_only_by_a_lost_tail_and_what_is_sent_next_lies_above_it(steps: list[tuple[int, int, int]]) -> None:
    progress = Progress(LogIndex(15))
    last = 0
    for kind, back, index in steps:
        before, lost = progress.match, False
        sequence = max(0, last - back)
        if kind == 0 and progress.may_send(0.0, 0.0, WINDOW):
            last = progress.sent(LogIndex(progress.next_index - 1 + index), 0.0)
        elif kind == 1 and last:
            progress.accepted(sequence, LogIndex(index))
        elif kind == 2 and last:
            lost = progress.rejected(sequence, LogIndex(index))
        elif kind == 3:
            progress.link_lost()
        elif kind == 4:
            progress.snapshot_needed()
        elif kind == 5:
            progress.snapshot_installed(LogIndex(index))
        elif kind == 6:
            progress.snapshot_failed()
        assert (progress.match < before) == lost
        assert progress.next_index > progress.match
