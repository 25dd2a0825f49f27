"""What is known to be wrong with PySyncObj 0.3.17 as shipped, and what shows that ours is not.

S is for safety, D for durability, L for liveness, X for security; 1.5 to 1.7 are about its snapshots,
its membership and the results it reports. A test is `module::function`, of tests/raftgroups unless it
says otherwise. Where something cannot occur, `why` names a module of raftgroups and what it says there.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One defect.

    defect   what the stock library does
    stock    tests that show it; empty where it was found by reading alone
    ours     tests of the promise that is kept
    why      (module, words in it) that say why it cannot occur
    """

    defect: str
    stock: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    why: tuple[tuple[str, str], ...] = ()


ROWS = {
    "S1": Row(
        "each chunk of a snapshot commits whatever an old leader has in its log",
        stock=("test_stock_defects::test_r1_stock_acknowledges_writes_that_no_node_has",),
        ours=(
            "test_stock_defects::test_r1_ours_acknowledges_nothing_of_the_kind",
            "test_consensus::test_a_heartbeat_commits_only_what_is_known_to_match",
        ),
    ),
    "S2": Row(
        "an Append cuts off what matches, and an answer has the leader send it again",
        stock=(
            "test_stock_defects::test_r2_stock_loses_acknowledged_writes_with_one_crash",
            "test_stock_fuzz::test_stock_breaks_its_promises_by_chance",
        ),
        ours=(
            "test_stock_defects::test_r2_ours_keeps_them",
            "test_replication::test_entries_that_match_are_kept",
            "test_consensus::test_an_old_append_does_not_shorten_the_log",
            "test_consensus_fuzz::test_a_group_keeps_its_promises",
        ),
    ),
    "S3": Row(
        "a stale rejection moves the leader back below what was acknowledged",
        stock=("test_stock_defects::test_r2b_stock_loses_acknowledged_writes_after_a_reconnect",),
        ours=(
            "test_stock_defects::test_r2b_ours_ignores_the_stale_rejection",
            "test_replication::test_a_stale_rejection_is_ignored",
            "test_replication::test_match_falls_only_by_a_lost_tail_and_what_is_sent_next_lies_above_it",
        ),
    ),
    "S4": Row(
        "an acknowledgement of an old term is counted in a new one",
        stock=("test_stock_defects::test_r7_stock_counts_an_acknowledgement_of_an_older_term",),
        ours=("test_stock_defects::test_r7_ours_does_not_count_it",),
    ),
    "S5": Row(
        "two changes of the membership are in flight, and two disjoint majorities commit",
        stock=("test_stock_defects::test_r4_stock_commits_on_two_disjoint_majorities",),
        ours=(
            "test_stock_defects::test_r4_ours_has_one_change_in_flight",
            "test_membership::test_one_voter_comes_or_goes_at_a_time",
            "test_consensus_membership::test_no_change_before_the_reign_has_committed",
            "test_consensus::test_the_library_s_own_doors_lead_nowhere",
        ),
    ),
    "S6": Row(
        "a callback that raises has its command applied twice, on one replica",
        stock=("test_stock_defects::test_r3_stock_applies_twice_when_a_future_was_cancelled",),
        ours=("test_stock_defects::test_r3_ours_applies_once",),
    ),
    "S7": Row(
        "a kill between snapshot and compaction has the next start clear the journal",
        stock=("test_stock_defects::test_r6_stock_loses_acknowledged_writes_to_a_kill",),
        ours=(
            "test_stock_defects::test_r6_ours_keeps_them",
            "test_journal::test_a_crash_between_snapshot_and_reset_keeps_a_matching_tail",
            "test_crash::test_power_may_fail_at_any_change",
        ),
    ),
    "S8": Row(
        "an old snapshot moves the state machine back, and clears a log that matches",
        stock=("test_audit_safety::test_s8_stock_goes_back_to_a_snapshot_that_comes_again",),
        ours=(
            "test_consensus::test_a_snapshot_never_moves_a_replica_back",
            "test_consensus::test_a_late_snapshot_keeps_the_entries_after_it",
            "test_snapshot::test_a_replica_that_is_ahead_takes_no_snapshot",
            "test_snapshot::test_a_replica_that_went_ahead_meanwhile_keeps_its_state",
        ),
    ),
    "S9": Row(
        "a snapshot that cannot be loaded is acknowledged all the same",
        stock=("test_audit_safety::test_s9_stock_commits_on_the_word_of_a_replica_whose_snapshot_failed",),
        ours=(
            "test_snapshot_faults::test_a_disk_that_fails_is_reported_to_the_leader",
            "test_snapshot_faults::test_any_operation_of_the_followers_disk_may_fail",
            "test_snapshot_faults::test_damage_does_not_spread",
        ),
    ),
    "S10": Row(
        "after a power loss the commit index on disk is ahead of the log",
        stock=("test_audit_safety::test_s10_stock_commits_what_has_only_just_arrived",),
        ours=("test_audit_safety::test_s10_ours_knows_after_a_restart_only_what_it_has_applied_to_be_committed",),
    ),
    "S11": Row(
        "after a restart the members are those of the start, until the log is applied again",
        stock=("test_audit_safety::test_s11_stock_forgets_a_new_member_over_a_restart",),
        ours=("test_consensus_membership::test_a_configuration_survives_a_restart_as_an_entry_and_as_state",),
    ),
    "S12": Row(
        "a snapshot has the members of now, not those of its index",
        ours=(
            "test_audit_safety::test_s12_ours_keeps_the_configuration_as_of_what_is_applied",
            "test_audit_safety::test_s12_ours_puts_no_uncommitted_member_into_a_snapshot",
            "test_membership::test_a_snapshot_brings_the_one_of_its_index",
        ),
    ),
    "S13": Row(
        "applying a change of members, and rolling one back, does it again",
        stock=("test_audit_safety::test_s13_stock_adds_a_member_again_that_was_removed",),
        ours=(
            "test_audit_safety::test_s13_ours_changes_no_member_by_applying",
            "test_consensus_membership::test_a_truncated_configuration_is_rolled_back",
            "test_membership::test_a_history_is_what_a_list_of_entries_says",
        ),
    ),
    "S14": Row(
        "votes are counted whoever gives them, and how often",
        stock=("test_audit_safety::test_s14_stock_counts_one_vote_twice_and_a_strangers_too",),
        ours=(
            "test_consensus::test_a_vote_counts_once",
            "test_consensus::test_what_those_outside_of_the_group_say_counts_for_nothing",
            "test_votes::test_a_majority_of_voters_wins",
            "test_consensus_membership::test_replies_of_those_outside_do_not_count",
            "test_consensus_membership::test_a_replica_that_no_configuration_names_votes_for_nobody",
        ),
    ),
    "S15": Row(
        "term and vote are lost with power, and an unreadable file of them counts as none",
        stock=("test_audit_safety::test_s15_stock_votes_twice_when_its_file_is_empty",),
        ours=(
            "test_consensus::test_a_vote_leaves_only_once_it_is_on_disk",
            "test_consensus::test_a_vote_that_was_lost_in_a_crash_was_never_counted",
            "test_nodelog::test_damage_to_what_was_synced_is_refused",
            "test_nodelog::test_dropping_segments_forgets_no_term_and_no_vote",
            "test_crash::test_power_may_fail_at_any_change",
        ),
    ),
    "S16": Row(
        "reads are served by a leader that was replaced half a minute ago",
        stock=("test_audit_safety::test_s16_stock_reads_old_data_from_a_leader_that_was_replaced_long_ago",),
        ours=(
            "test_consensus::test_an_isolated_leader_serves_no_read",
            "test_consensus::test_a_new_leader_serves_no_read_before_its_no_op_is_committed",
            "test_readindex::test_every_read_is_served_once_by_a_majority_that_echoed_after_it_came",
            "test_lease_clocks::test_no_lease_read_is_old_while_clocks_keep_to_what_is_assumed",
            "test_lease_clocks::test_a_lease_read_is_old_where_a_clock_breaks_the_assumption",
        ),
    ),
    "S17": Row(
        "an old leader is told by nobody that there is a newer term",
        stock=("test_audit_safety::test_s17_stock_does_not_answer_an_old_leader",),
        ours=(
            "test_consensus::test_an_old_leader_learns_of_the_new_term_from_an_answer",
            "test_consensus::test_any_answer_with_a_higher_term_ends_a_reign",
        ),
    ),
    "S18": Row(
        "a connection that was replaced still delivers, so messages overtake each other",
        ours=(
            "test_transport::test_a_second_connection_takes_the_place_of_the_first",
            "test_link::test_a_frame_out_of_its_place_closes_the_link",
            "test_link::test_a_frame_of_another_connection_of_the_same_peer_does_not_fit",
        ),
    ),
    "S19": Row(
        "an entry of a newer code version is skipped, and the applied index is wrong from there on",
        stock=("test_audit_safety::test_s19_stock_applies_twice_after_an_entry_of_a_newer_version",),
        why=(("command", "no command runs code, none depends on the version of who applies it"),),
    ),
    "D1": Row(
        "entries are acknowledged from memory",
        stock=("test_audit_durability::test_d1_d2_stock_syncs_neither_entries_nor_votes",),
        ours=(
            "test_transport::test_nothing_leaves_before_its_generation_is_synced",
            "test_consensus::test_an_entry_is_committed_once_a_majority_has_it_on_disk",
            "test_crash::test_power_may_fail_at_any_change",
        ),
    ),
    "D2": Row(
        "term, vote and commit index are not synced either",
        stock=("test_audit_durability::test_d1_d2_stock_syncs_neither_entries_nor_votes",),
        ours=(
            "test_consensus::test_a_vote_leaves_only_once_it_is_on_disk",
            "test_crash::test_power_may_fail_at_any_change",
        ),
    ),
    "D3": Row(
        "a compaction that is killed has thrown away what it was to keep",
        stock=("test_audit_durability::test_d3_stock_loses_entries_when_it_is_killed_in_a_compaction",),
        ours=(
            "test_nodelog::test_unflushed_entries_pin_their_segment",
            "test_nodelog::test_power_may_fail_at_any_change_of_the_disk",
            "test_crash::test_power_may_fail_at_any_change",
        ),
    ),
    "D4": Row(
        "entries that match are cut off the disk before they are written again",
        ours=(
            "test_audit_durability::test_d4_ours_writes_nothing_for_entries_that_it_has",
            "test_audit_durability::test_d4_ours_replaces_a_conflicting_suffix_in_one_record",
        ),
    ),
    "D5": Row(
        "a snapshot is not synced before the journal is cut, and one that is lost is not missed",
        ours=(
            "test_snapshot::test_power_may_fail_at_any_change_of_the_followers_disk",
            "test_journal::test_a_log_that_lacks_what_the_engine_needs_is_damaged",
            "test_journal::test_an_engine_older_than_the_logs_snapshot_is_damaged",
        ),
    ),
    "D6": Row(
        "the journal has no checksums, never shrinks, ends at 4 GiB, and is all in memory",
        ours=(
            "test_nodelog::test_damage_to_what_was_synced_is_refused",
            "test_nodelog::test_a_full_segment_is_followed_by_another",
            "test_host::test_the_node_log_shrinks_once_its_entries_are_flushed",
            "test_group::test_flushed_entries_are_forgotten_but_for_a_tail",
        ),
    ),
    "D7": Row(
        "a full disk kills the process, and other errors leave memory and disk apart",
        ours=(
            "test_nodelog::test_a_full_disk_changes_nothing_and_is_tried_again",
            "test_host::test_a_full_disk_refuses_writes_and_recovers",
            "test_host::test_a_failed_sync_is_the_end_of_the_node",
        ),
    ),
    "D8": Row(
        "a leader counts itself before its entry is on disk, and alone answers at once",
        ours=(
            "test_consensus::test_a_leader_alone_counts_itself_only_once_it_is_on_disk",
            "test_journal::test_the_durable_index_never_promises_more_than_the_disk_holds",
        ),
    ),
    "D9": Row(
        "a restart applies the whole log again, and perhaps before its snapshot is loaded",
        ours=(
            "test_consensus::test_a_restart_does_not_apply_again_what_was_flushed",
            "test_statemachine::test_a_crash_and_a_replay_end_as_if_nothing_had_happened",
        ),
    ),
    "L1": Row(
        "a follower whose log diverges is never repaired, or an entry a heartbeat",
        stock=(
            "test_stock_defects::test_r5_stock_never_repairs_a_long_divergent_suffix",
            "test_stock_defects::test_r5_stock_needs_a_heartbeat_for_each_entry_of_a_short_one",
            "test_stock_fuzz::test_stock_breaks_its_promises_by_chance",
        ),
        ours=(
            "test_stock_defects::test_r5_ours_repairs_it_in_few_rounds",
            "test_replication::test_a_leader_finds_the_meeting_point_in_few_rounds",
        ),
    ),
    "L2": Row(
        "a node that only some reach deposes the leader again and again",
        stock=("test_audit_liveness::test_l2_stock_changes_its_leader_without_end_when_one_link_is_cut",),
        ours=(
            "test_consensus::test_a_node_that_only_some_reach_does_not_depose_the_leader",
            "test_consensus::test_a_node_that_was_cut_off_does_not_depose_the_leader",
            "test_consensus::test_a_leader_that_nobody_answers_steps_down",
        ),
    ),
    "L3": Row(
        "after a pause the election timer is looked at before the mail",
        stock=("test_audit_liveness::test_l3_stock_stands_against_a_living_leader_after_a_pause",),
        ours=("test_audit_liveness::test_l3_ours_deposes_nobody_by_a_pause",),
    ),
    "L4": Row(
        "a command that raises is tried for ever, by every replica",
        stock=("test_audit_liveness::test_l4_stock_is_stuck_on_a_command_that_raises",),
        ours=(
            "test_group::test_a_command_that_no_replica_could_apply_is_refused",
            "test_group::test_the_longest_command_is_applied",
            "test_host::test_a_peer_s_command_that_could_not_be_applied_goes_no_further",
            "test_host::test_one_replica_that_fails_does_not_stop_the_others",
        ),
        why=(("command", "What decodes can be applied, by every replica and whenever"),),
    ),
    "L5": Row(
        "callbacks that nobody ever calls",
        stock=(
            "test_audit_liveness::test_l5_stock_never_answers_what_was_forwarded_over_a_lost_link",
            "test_audit_liveness::test_l5_stock_never_answers_what_a_snapshot_skipped",
        ),
        ours=(
            "test_group::test_a_restored_replica_cannot_tell_what_became_of_its_proposals",
            "test_group::test_what_waits_when_leadership_is_lost_was_not_applied",
            "test_group::test_a_replica_that_stops_answers_everybody",
            "app/test_coordinator::test_a_deadline_is_unknown_for_what_was_sent_alone",
        ),
    ),
    "L6": Row(
        "who takes a snapshot answers nothing, and looks dead",
        ours=(
            "test_audit_liveness::test_l6_ours_leads_on_while_its_only_follower_takes_a_snapshot",
            "test_pace::test_heartbeats_are_not_starved",
        ),
    ),
    "L7": Row(
        "a tick sends for 0.1 s, and what is not read gathers without a bound",
        ours=(
            "test_consensus::test_appends_are_pipelined_up_to_a_window",
            "test_group::test_more_than_the_group_can_take_is_refused",
            "test_group::test_more_reads_than_the_group_can_take_are_refused",
            "test_group::test_an_entry_is_bounded_in_bytes",
            "test_transport::test_an_outbox_has_a_bound",
            "test_transport::test_strangers_are_bounded",
            "test_link::test_a_peer_that_does_not_read_is_hung_up_on",
            "test_snapshot::test_chunks_run_only_a_window_ahead",
            "test_snapshot::test_entries_are_not_kept_beyond_what_memory_holds",
            "test_snapshot_faults::test_a_leader_that_sends_more_than_a_window_is_not_listened_to",
        ),
        why=(("__init__", "Whatever waits has a bound"),),
    ),
    "L8": Row(
        "a follower that missed three entries is sent a whole snapshot",
        stock=("test_audit_liveness::test_l8_stock_sends_a_snapshot_to_who_missed_three_entries",),
        ours=(
            "test_group::test_flushed_entries_are_forgotten_but_for_a_tail",
            "test_nodelog::test_flushed_segments_are_kept_for_followers_that_fell_behind",
        ),
    ),
    "L9": Row(
        "a command of just the wrong size breaks the follower",
        stock=("test_audit_liveness::test_l9_stock_breaks_on_a_command_just_below_its_batch_size",),
        ours=("test_audit_liveness::test_l9_ours_sends_an_entry_of_any_size_whole",),
    ),
    "L10": Row(
        "a snapshot that cannot be read raises in the leader's tick",
        ours=(
            "test_snapshot_faults::test_a_checkpoint_that_cannot_be_read_is_given_up",
            "test_snapshot_faults::test_a_checkpoint_that_cannot_be_taken_is_tried_again_later",
        ),
    ),
    "L11": Row(
        "a learner that became a voter breaks the leader when its old link closes",
        stock=("test_audit_liveness::test_l11_stock_breaks_its_leader_when_a_promoted_nodes_old_link_closes",),
        ours=("test_audit_liveness::test_l11_ours_keeps_what_it_knows_of_a_learner_when_it_becomes_a_voter",),
    ),
    "L12": Row(
        "a transfer of leadership counts as done when it was sent",
        stock=("test_audit_liveness::test_l12_stock_calls_a_transfer_done_that_nobody_took",),
        ours=(
            "test_consensus::test_nothing_is_proposed_while_handing_over",
            "test_consensus::test_a_transfer_that_fails_ends",
            "test_host::test_leadership_goes_where_it_is_sent",
        ),
    ),
    "L13": Row(
        "a lost link stays lost for 5 s, and commands wait for a leader however long",
        ours=(
            "test_transport::test_a_dial_that_fails_is_tried_again_within_a_second_and_a_refused_one_ever_later",
            "test_group::test_a_command_whose_deadline_has_passed_is_not_proposed",
            "test_group::test_a_follower_says_who_leads",
        ),
    ),
    "L14": Row(
        "a member that was dropped counts as connected",
        stock=("test_audit_security::test_l14_stock_counts_the_link_of_who_was_removed",),
        ours=("test_audit_liveness::test_l14_ours_does_not_count_the_link_of_who_was_removed",),
    ),
    "X1": Row(
        "the first bytes of any connection are unpickled: whoever can connect runs code",
        stock=("test_audit_security::test_x1_stock_runs_the_code_of_whoever_can_connect",),
        ours=(
            "test_audit_security::test_x1_ours_runs_nothing_and_hangs_up",
            "test_link::test_bad_bytes_close_their_connection_and_nothing_else",
        ),
    ),
    "X2": Row(
        "commands, members and versions in the log are pickles",
        stock=("test_audit_security::test_x2_stock_runs_the_code_that_an_entry_holds",),
        ours=(
            "test_audit_security::test_x2_ours_knows_two_commands_and_runs_neither",
            "test_audit_security::test_x2_nothing_of_ours_unpickles_or_inflates",
        ),
    ),
    "X3": Row(
        "anybody may add members, read all data, and be who they say they are",
        stock=(
            "test_audit_security::test_x3_stock_adds_a_member_that_a_stranger_names",
            "test_audit_security::test_x3_stock_takes_a_stranger_for_who_it_says_it_is",
            "test_audit_security::test_x3_stock_sends_all_data_to_whoever_asks",
        ),
        ours=(
            "test_link::test_who_has_another_secret_is_refused",
            "test_link::test_who_is_not_one_of_us_is_refused_and_told_why",
            "test_link::test_a_handshake_overheard_is_of_no_use_again",
            "test_link::test_a_proof_cannot_be_had_by_sending_the_challenge_back",
        ),
    ),
    "X4": Row(
        "its encryption is optional, with a fixed salt",
        why=(("link", "Nothing is encrypted: who can read the network reads the data"),),
    ),
    "X5": Row(
        "a frame may claim any length, and inflate to any size",
        stock=(
            "test_audit_security::test_x5_stock_inflates_what_a_stranger_sends",
            "test_audit_security::test_x5_stock_gathers_a_frame_of_any_length",
        ),
        ours=(
            "test_link::test_bad_bytes_close_their_connection_and_nothing_else",
            "test_link::test_a_stranger_may_not_send_as_much_as_a_peer",
        ),
        why=(("link", "Nothing is compressed"),),
    ),
    "1.5": Row(
        "a snapshot is taken in the tick, has all attributes of the object, and may be missing unnoticed",
        stock=("test_audit_safety::test_the_stock_snapshot_overwrites_what_is_a_nodes_own",),
        ours=(
            "test_snapshot::test_a_follower_ends_up_with_what_its_leader_had",
            "test_snapshot::test_nothing_waits_for_a_disk_on_the_event_loop",
        ),
        why=(("snapshot", "nothing of the process"),),
    ),
    "1.6": Row(
        "a voter joins with an empty log, a leader cannot remove itself, who was removed never hears of it",
        ours=(
            "test_membership::test_a_node_learns_before_it_votes",
            "test_consensus_membership::test_a_leader_removes_itself_and_hands_over",
            "test_consensus_membership::test_a_removed_replica_is_told_when_it_asks",
        ),
    ),
    "1.7": Row(
        "a write is said to have failed that was applied",
        stock=("test_audit_safety::test_stock_says_that_a_write_failed_which_was_applied",),
        ours=(
            "test_group::test_a_proposal_that_another_entry_replaced_was_not_applied",
            "test_group::test_a_proposal_that_survives_its_leader_is_answered",
            "test_group::test_a_restored_replica_cannot_tell_what_became_of_its_proposals",
        ),
        why=(("errors", "Every error says whether the command may have taken effect"),),
    ),
}
