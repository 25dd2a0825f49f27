"""The register of faults: where each is shown, by a scenario with real processes, by a test, or why it cannot be.

A scenario belongs to the row that its name begins with; what is listed here is what others add to it.
`absent` says why a part of a row, or all of it, does not apply.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """tests: "file::test" from the directory tests."""

    name: str
    fault: str
    tests: tuple[str, ...] = ()
    absent: str = ""


ROWS = (
    Row("P1", "SIGKILL of a leader", ("cluster/test_failover.py", "cluster/test_kills.py")),
    Row("P2", "SIGKILL of a follower", ("cluster/test_kills.py",)),
    Row(
        "P3",
        "SIGKILL of all nodes at once",
        ("cluster/test_kills.py::test_no_acknowledged_write_is_lost_with_all_nodes",),
    ),
    Row(
        "P4",
        "power cut of one node, of all",
        (
            "raftgroups/test_crash.py::test_power_may_fail_at_any_change",
            "engine/test_matrix.py::test_a_crash_at_any_moment_loses_nothing_that_was_promised",
        ),
    ),
    Row(
        "P5",
        "crash at every change of the disk: append, flush, compaction, manifest, snapshot, truncation, vote",
        (
            "raftgroups/test_crash.py::test_power_may_fail_at_any_change",
            "raftgroups/test_nodelog.py::test_power_may_fail_at_any_change_of_the_disk",
            "raftgroups/test_snapshot.py::test_power_may_fail_at_any_change_of_the_followers_disk",
        ),
    ),
    Row(
        "P6",
        "failpoints before and after write, sync, apply, reply, flush, rename",
        ("raftgroups/test_crash.py::test_power_may_fail_at_any_change",),
        absent="the product has no failpoints to forget in it: the disk itself fails, at each of its changes",
    ),
    Row("P7", "SIGSTOP of a leader, for up to 10 s", ("cluster/test_history.py", "cluster/test_lease.py")),
    Row("P8", "SIGSTOP of a majority", ("cluster/test_minority.py",)),
    Row("P9", "a fifth of a processor"),
    Row("P10", "kills every few seconds"),
    Row("N1", "minority and majority cut off from each other", ("cluster/test_minority.py",)),
    Row("N2", "an old leader alone with its clients"),
    Row("N3", "a leader that is deaf, one that is mute"),
    Row("N4", "two sides with one node in common; a ring"),
    Row("N5", "a cut that comes and goes at the pace of elections"),
    Row("N6", "loss, delay, reordering, duplicates"),
    Row("N7", "big messages blocked, heartbeats pass"),
    Row(
        "N8",
        "a thin link, also while a snapshot goes through it",
        ("raftgroups/test_snapshot.py::test_a_transfer_that_does_not_move_is_given_up",),
    ),
    Row("N9", "resets in the middle of a message, half-open connections", ("raftgroups/test_link.py",)),
    Row("N10", "links that fail one by one and come back in another order"),
    Row(
        "N11",
        "the answer to a client is lost",
        (
            "cluster/test_exactly_once.py::test_counters_end_exact_though_every_request_is_repeated",
            "cluster/test_outcomes.py",
            "chaos/test_counting.py",
        ),
    ),
    Row("C1", "a wall clock that jumps, strobes, drifts"),
    Row("C2", "a monotonic clock that leaps", ("raftgroups/test_consensus_membership.py",)),
    Row(
        "S1",
        "a disk without room",
        (
            "raftgroups/test_host.py::test_a_full_disk_refuses_writes_and_recovers",
            "raftgroups/test_host.py::test_a_disk_without_room_for_tables_refuses_writes_and_recovers",
            "raftgroups/test_nodelog.py::test_a_full_disk_loses_nothing_and_is_tried_again",
            "engine/test_store.py::test_a_manifest_that_does_not_fit_the_disk_stays_the_old_one",
        ),
    ),
    Row(
        "S2",
        "a sync that fails, a write that fails or stops half-way",
        (
            "engine/test_commitlog.py::test_a_failed_sync_is_never_tried_again",
            "engine/test_matrix.py::test_any_call_may_fail",
            "raftgroups/test_host.py::test_a_failed_sync_is_the_end_of_the_node",
        ),
    ),
    Row("S3", "a table that cannot be read", ("engine/test_verify.py::test_a_file_that_cannot_be_read_is_a_problem",)),
    Row(
        "S4",
        "a write torn by a crash",
        (
            "engine/test_commitlog.py::test_a_tail_torn_at_any_length_is_cut",
            "raftgroups/test_nodelog.py::test_a_torn_frame_at_the_end_is_cut_off",
        ),
    ),
    Row(
        "S5",
        "the end of a log lost that had been promised",
        ("raftgroups/test_replication.py::test_a_follower_whose_disk_lost_what_it_confirmed_gets_it_again",),
        absent="on as many nodes as make a majority: nothing tells a lost end of a log from one never written",
    ),
    Row(
        "S6",
        "one bit wrong, in every byte of every file",
        (
            "engine/test_commitlog.py::test_every_flipped_bit_of_a_closed_log_is_found",
            "engine/test_manifest.py::test_every_flipped_bit_is_found",
            "engine/test_sstable.py::test_every_flipped_bit_is_found_or_harmless",
            "engine/test_verify.py::test_every_flipped_bit_of_every_file_is_named",
            "engine/test_flips.py::test_a_flipped_bit_is_detected_or_harmless",
            "raftgroups/test_nodelog.py::test_damage_to_what_was_synced_is_refused",
            "raftgroups/test_snapshot_faults.py::test_damage_does_not_spread",
            "raftgroups/test_host.py::test_who_finds_its_tables_damaged_leads_no_longer",
        ),
    ),
    Row(
        "S7",
        "damage in different places of two nodes' logs",
        absent="that the two repair each other: each refuses to start, and one of them has to be replaced by a move",
    ),
    Row(
        "S8",
        "a file missing, or an old one back",
        (
            "engine/test_verify.py::test_a_missing_file_is_named",
            "engine/test_store.py::test_a_missing_table_keeps_the_store_closed",
            "raftgroups/test_journal.py::test_a_log_that_lacks_what_the_engine_needs_is_damaged",
            "raftgroups/test_journal.py::test_an_engine_older_than_the_logs_snapshot_is_damaged",
        ),
        absent="a whole directory of an earlier day put back: nothing in it is wrong but its age; the CURRENT of a "
        "replica that joined later: it is taken for one whose making was cut short, and filled anew",
    ),
    Row(
        "S9",
        "directories swapped, the directory of another cluster",
        ("raftgroups/test_directory.py::test_the_directory_of_another_is_refused",),
    ),
    Row("S10", "a directory lost and begun anew", ("cluster/test_lost_disk.py",)),
    Row("S11", "slow syncs on the leader", ("raftgroups/test_syncer.py",)),
    Row(
        "S12",
        "a disk that lies, and a power cut",
        ("chaos/test_controls.py::test_a_disk_that_lies_is_caught_when_power_fails",),
        absent="that it is survived: whoever lies about durability takes it away",
    ),
    Row("M1", "replicas move while nodes are killed, cut off, paused", ("cluster/test_membership.py",)),
    Row(
        "M2",
        "a snapshot cut off, its sender or its receiver killed, two in a row",
        (
            "raftgroups/test_snapshot.py::test_a_transfer_goes_on_where_the_link_was_cut",
            "raftgroups/test_snapshot.py::test_a_sender_that_was_killed_begins_anew",
            "raftgroups/test_snapshot.py::test_a_receiver_that_was_killed_begins_anew",
            "raftgroups/test_snapshot.py::test_two_snapshots_in_a_row",
            "raftgroups/test_snapshot_faults.py::test_any_operation_of_the_followers_disk_may_fail",
        ),
    ),
    Row("M3", "a tail that nobody else has, where a snapshot is needed"),
    Row(
        "M4", "partitions that split, move or merge", absent="the number of partitions is fixed when a cluster is made"
    ),
    Row("U1", "a rolling restart", ("cluster/test_drain.py::test_rolling_restarts_fail_no_request_for_long",)),
    Row(
        "U2",
        "two versions side by side",
        (
            "raftgroups/test_link.py::test_who_is_not_one_of_us_is_refused_and_told_why",
            "engine/test_sstable.py::test_another_format_version_is_named",
        ),
        absent="there has been one version of every format; a peer or a file of another is refused",
    ),
    Row(
        "U3",
        "data of every older format",
        ("raftgroups/test_nodelog.py::test_a_frame_of_another_grammar_is_refused",),
        absent="there is none: the first release sets the first format",
    ),
)
