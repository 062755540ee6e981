//! What clients see of a cluster that nothing disturbs: real processes, real sockets.
//!
//! All tests share one cluster and run beside each other, each on records of its own.

#[path = "service/ahead.rs"]
mod ahead;
#[path = "service/astray.rs"]
mod astray;
#[path = "service/commands.rs"]
mod commands;
#[path = "service/commits.rs"]
mod commits;
#[path = "service/conflicts.rs"]
mod conflicts;
#[path = "service/edges.rs"]
mod edges;
#[path = "service/explained.rs"]
mod explained;
#[path = "service/forecasts.rs"]
mod forecasts;
#[path = "service/held.rs"]
mod held;
#[path = "service/metrics.rs"]
mod metrics;
#[path = "service/odds.rs"]
mod odds;
#[path = "service/pipelines.rs"]
mod pipelines;
#[path = "service/policies.rs"]
mod policies;
#[path = "service/queue.rs"]
mod queue;
#[path = "service/quota.rs"]
mod quota;
#[path = "service/reads.rs"]
mod reads;
#[path = "service/refusals.rs"]
mod refusals;
#[path = "service/requests.rs"]
mod requests;
#[path = "service/small_frames.rs"]
mod small_frames;
#[path = "service/strategies.rs"]
mod strategies;

use std::process::ExitCode;
use std::time::Duration;

use vatic_tests::suite::{self, Plan};
use vatic_tests::tests;

const PLAN: Plan = Plan { threads: 4, deadline: Duration::from_secs(90) };

fn main() -> ExitCode {
    suite::run(PLAN, [transactions(), surroundings()].into_iter().flatten().collect())
}

/// What becomes of transactions.
fn transactions() -> Vec<suite::Test> {
    tests![
        commits::commit_over_all_groups_is_seen_through_every_node,
        commits::transaction_reads_its_own_writes,
        commits::receipt_verifies_and_a_tampered_one_does_not,
        commits::client_digests_are_checked_and_acknowledged,
        commits::aborted_transaction_leaves_nothing,
        commits::stream_closed_before_its_commit_is_told_that_it_was_rolled_back,
        commits::outcome_can_be_asked_for_through_every_node,
        commits::reads_alone_commit_with_a_receipt,
        conflicts::later_writer_rolls_back_on_stale_read,
        conflicts::phantom_in_a_scanned_range_rolls_back,
        conflicts::submit_that_conflicts_is_aborted_with_its_outcome,
        conflicts::delta_that_does_not_apply_rolls_back_for_good,
        conflicts::counters_raised_by_everybody_lose_nothing,
        explained::conflict_that_is_met_is_told_with_who_and_where,
        explained::explanation_changes_nothing_and_names_each_record,
        explained::model_that_is_not_there_is_not_pinned,
        policies::collection_that_enforces_forecasts_refuses_what_strays,
        policies::collection_that_quarantines_keeps_aside_what_strays,
        astray::stream_that_strays_is_told_so_on_its_way_and_judged_at_its_seal_alone,
        strategies::strategy_decides_what_a_change_of_what_was_read_comes_to,
        strategies::snapshot_shows_one_moment_and_allows_write_skew,
        strategies::lock_has_the_second_wait_for_the_first,
        strategies::adaptive_has_the_second_wait_where_a_record_is_hot,
        strategies::collection_says_what_a_transaction_does_not,
        strategies::transactions_of_two_groups_are_tried_again_by_their_gateway,
        queue::tickets_happen_once_wait_while_paused_and_can_be_taken_back,
        requests::request_repeated_through_another_node_is_answered_with_the_original,
        requests::request_that_undid_what_it_expects_is_answered_with_the_original,
        requests::requests_sent_at_once_apply_once,
        requests::expired_request_is_refused,
    ]
}

/// What is refused, read, told and shown.
fn surroundings() -> Vec<suite::Test> {
    tests![
        refusals::malformed_transitions_are_refused_and_leave_nothing,
        refusals::malformed_submissions_are_refused_and_leave_nothing,
        refusals::frames_out_of_order_are_refused,
        refusals::malformed_reads_are_refused,
        refusals::huge_names_and_values_are_refused_typed,
        refusals::message_over_the_limit_is_refused_and_the_connection_lives,
        refusals::longest_key_is_read_written_and_scanned,
        refusals::stalled_stream_is_rolled_back_and_blocks_nobody,
        refusals::stream_past_its_deadline_is_rolled_back,
        quota::full_group_names_its_limit_and_takes_what_shrinks_it,
        reads::scan_is_ordered_bounded_and_limited,
        reads::scan_longer_than_one_read_streams_as_of_one_instant,
        reads::snapshot_sees_the_old_version_through_every_node,
        reads::snapshot_too_old_or_too_new_is_refused,
        reads::read_set_never_sees_half_of_a_transfer,
        reads::read_set_answers_in_the_order_asked,
        reads::read_set_of_too_many_bytes_is_refused_by_name,
        held::reads_that_nobody_takes_are_bounded_by_bytes_and_refused_beyond,
        pipelines::operations_of_all_groups_are_answered_each_by_its_id,
        pipelines::error_of_one_operation_is_its_answer_and_ends_nothing_else,
        pipelines::message_with_too_many_operations_ends_the_stream,
        pipelines::pipeline_of_the_client_counts_every_submission_once,
        pipelines::intent_tells_others_until_a_vote_or_until_it_is_given_back,
        pipelines::turn_goes_to_who_queued_up_and_comes_with_what_was_written,
        pipelines::more_urgent_of_two_votes_that_wait_goes_first,
        pipelines::each_workload_of_the_benchmark_runs_and_reports,
        edges::health_and_reflection_answer,
        edges::cluster_tells_members_groups_and_agreement,
        small_frames::small_frames_sent_ahead_do_not_end_the_connection,
        forecasts::repeated_stream_is_forecast_from_its_first_transitions,
        forecasts::stream_is_warned_before_its_seal_of_what_another_wrote,
        forecasts::stream_that_asks_for_it_ends_before_its_seal,
        forecasts::strange_stream_is_invalid_and_listed_and_ordinary_ones_are_not,
        forecasts::stream_that_asks_for_nothing_is_told_nothing,
        ahead::group_that_a_forecast_names_is_contacted_before_it_is_touched,
        odds::forecast_tells_how_likely_a_conflict_is_by_what_was_touched,
        metrics::counters_move_with_a_commit_and_a_rollback,
        metrics::drivers_groups_and_disk_are_told,
        metrics::stalled_transaction_is_in_the_slow_log_with_where_its_time_went,
        metrics::transaction_is_one_span_with_its_times_at_its_gateway,
        commands::records_are_written_read_and_removed,
        commands::script_commits_and_its_receipt_verifies_offline,
        commands::histories_are_replayed_and_bad_lines_named,
        commands::exit_codes_tell_failures_apart,
        commands::outcome_of_a_request_is_told_by_the_name_that_an_error_gives_it,
        commands::status_and_verification_of_the_cluster_are_printed,
    ]
}
