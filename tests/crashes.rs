//! What is left when processes are killed, or flooded: real ones, by signal, under load.
//!
//! The tests share one cluster and run one after the other; each leaves all nodes running.

#[path = "crashes/courses.rs"]
mod courses;
#[path = "crashes/damage.rs"]
mod damage;
#[path = "crashes/failpoints.rs"]
mod failpoints;
#[path = "crashes/full.rs"]
mod full;
#[path = "crashes/history.rs"]
mod history;
#[path = "crashes/kills.rs"]
mod kills;
#[path = "crashes/large.rs"]
mod large;
#[path = "crashes/meddled.rs"]
mod meddled;
#[path = "crashes/overload.rs"]
mod overload;
#[path = "crashes/recorded.rs"]
mod recorded;
#[path = "crashes/resolve.rs"]
mod resolve;
#[path = "crashes/spared.rs"]
mod spared;
#[path = "crashes/stops.rs"]
mod stops;
#[path = "crashes/strangers.rs"]
mod strangers;
#[path = "crashes/tickets.rs"]
mod tickets;
#[path = "crashes/unjudged.rs"]
mod unjudged;

use std::process::ExitCode;
use std::time::Duration;

use vatic_tests::suite::{self, Plan};
use vatic_tests::tests;

fn main() -> ExitCode {
    let plan = Plan { threads: 1, deadline: Duration::from_secs(300) };
    suite::run(
        plan,
        tests![
            // While the state is small: all of it is compared.
            damage::flipped_byte_at_rest_is_found_named_and_mended,
            damage::flipped_byte_under_a_running_leader_is_found_within_a_minute_and_another_leads,
            damage::flipped_byte_in_what_each_opening_reads_is_mended,
            damage::replica_whose_state_differs_in_sound_values_is_named_and_mended,
            damage::replica_whose_chain_differs_is_named_with_the_first_index_that_does,
            damage::replica_in_quarantine_serves_no_snapshot_after_a_restart,
            damage::node_whose_disk_was_lost_comes_back_as_a_new_replica,
            kills::replicas_are_verified_while_a_load_goes_on,
            kills::leader_killed_under_load_loses_nothing_and_doubles_nothing,
            kills::gateway_killed_mid_stream_leaves_nothing_half_done,
            kills::request_repeated_after_its_node_was_killed_is_applied_once,
            large::staged_transaction_commits_whole_though_a_participants_leader_was_killed,
            large::staged_transaction_whose_client_vanished_is_rolled_back_and_freed,
            kills::nodes_killed_and_stopped_at_random_lose_nothing,
            stops::vote_without_a_quorum_is_in_the_slow_log_of_its_driver,
            stops::node_asked_to_stop_ends_its_streams_and_hands_leadership_over,
            stops::command_that_ends_in_doubt_names_the_request_that_can_be_asked_for,
            stops::node_that_lost_its_majority_is_not_ready_until_that_is_back,
            kills::benchmark_loads_on_while_a_node_dies_and_comes_back,
            kills::whole_cluster_killed_keeps_what_was_acknowledged,
            history::conflicts_are_told_by_every_node_after_all_were_killed,
            courses::nodes_forecast_the_same_of_what_one_saw_and_after_all_were_killed,
            spared::stream_takes_no_turn_with_what_its_like_never_wrote,
            spared::stream_asks_for_each_turn_where_none_is_to_be_spared,
            tickets::tickets_happen_once_each_though_their_leader_dies,
            failpoints::panic_in_a_task_ends_its_node_which_comes_back,
            failpoints::driver_that_dies_before_the_votes_leaves_nothing_or_is_taken_over,
            failpoints::driver_that_dies_after_the_votes_has_committed,
            failpoints::gateway_that_dies_with_a_request_leaves_it_to_be_settled_elsewhere,
            failpoints::request_repeated_while_the_first_attempt_is_in_doubt_is_applied_once,
            failpoints::vote_of_one_group_in_doubt_is_answered_by_its_recorded_outcome,
            failpoints::leader_that_dies_around_fsync_flush_or_apply_loses_nothing,
            failpoints::follower_that_dies_around_append_fsync_flush_or_apply_loses_nothing,
            failpoints::all_nodes_that_die_at_one_failpoint_lose_nothing,
            failpoints::replica_that_dies_while_it_installs_a_snapshot_completes_it,
            full::node_that_cannot_flush_gives_its_leadership_to_others,
            full::full_disks_refuse_new_work_alone_lose_nothing_and_end_by_themselves,
            full::full_log_refuses_new_work_alone_and_goes_on_deciding_and_forgetting,
            resolve::invalid_transaction_waits_for_whoever_decides_on_what_it_touches,
            unjudged::what_cannot_be_judged_does_not_commit_where_forecasts_are_enforced,
            unjudged::ticket_is_judged_where_forecasts_are_enforced,
            meddled::messages_repeated_overtaken_and_lost_between_nodes_change_nothing,
            strangers::garbage_on_either_port_ends_its_connection_alone,
            strangers::stranger_on_the_peer_port_is_refused,
            strangers::clients_that_vanish_mid_stream_leave_no_slot_and_no_memory,
            overload::flooded_node_refuses_some_and_the_highest_class_gets_through,
            recorded::recorded_entries_are_played_again_and_an_altered_one_is_named,
        ],
    )
}
