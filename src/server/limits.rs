//! The gateway's and the drivers' numbers, each with its unit in its name.
//!
//! What bounds a vote is not here but in the groups' replicated configuration: replicas must agree
//! on it. These may differ from node to node.

use serde::{Deserialize, Serialize};

/// Bounds and times of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A stream that sends nothing for so long is rolled back.
    pub stream_idle_ms: u64,
    /// Longest life of a stream, from begin to outcome.
    pub stream_age_max_ms: u64,
    /// Most streams that one node serves at once.
    pub streams_max: u64,
    /// Operations of one pipeline that may be unanswered before it is read no further.
    pub pipeline_stream_operations_max: u64,
    /// Most operations of all pipelines that one node has in flight.
    pub pipeline_operations_max: u64,
    /// Transactions that run at once at a gateway when nothing is known yet.
    pub running_first: u64,
    /// Fewest of them: so many are no overload, however long they take.
    pub running_min: u64,
    /// Most of them.
    pub running_max: u64,
    /// Most that wait at a gateway to run.
    pub ingress_waiting_max: u64,
    /// Longest wait of one, which is refused then.
    pub ingress_wait_max_ms: u64,
    /// A mean wait of so long is an overload: fewer and fewer of those who come are let in.
    pub ingress_overload_ms: u64,
    /// Tickets that wait in one group before more are refused, as its leader counts now and then.
    pub tickets_max: u64,
    /// Tickets of a lower priority are tried out before they are sent, and held back while somebody
    /// is in their way, a dozen times at most; 0: none.
    pub shadow_priority_below: u32,
    /// How long a call without a deadline of its own may take.
    pub call_deadline_ms: u64,
    /// How long a coordinator waits for votes before it forces the rest.
    pub vote_deadline_ms: u64,
    /// How long one proposal to one group may take before the driver asks again.
    pub propose_deadline_ms: u64,
    /// Pause before a driver asks again whoever has not answered.
    pub drive_retry_ms: u64,
    /// A driver that has not finished by then leaves the rest to the sweeps.
    pub drive_age_max_ms: u64,
    /// Whoever is blocked by an undecided transaction for so long recovers it.
    pub recover_after_ms: u64,
    /// How long an invalid transaction waits, before its votes, for whoever decides on what it
    /// touches.
    pub resolve_wait_ms: u64,
    /// How long a transaction waits for its turn with a record, where its strategy has it take one;
    /// a stream that has one waits an eighth of it for each further one.
    pub turn_wait_ms: u64,
    /// Pause between two looks of a leader at what lies around.
    pub sweep_interval_ms: u64,
    /// Transactions minted so long ago may be forgotten; above every stream's age.
    pub forget_after_ms: u64,
    /// Snapshots this old can still be read.
    pub snapshot_retention_ms: u64,
    /// Items that one collection command removes.
    pub collect_items_max: u32,
    /// How far into the future a snapshot read may ask.
    pub snapshot_ahead_max_ms: u64,
    /// How far a vote's hint, or a request id's mint time, may lie in the future.
    pub clock_ahead_max_ms: u64,
    /// Tries of a strict read over several groups before it votes instead.
    pub read_attempts_max: u32,
    /// Most keys in one such read.
    pub read_set_keys_max: u64,
    /// Most records that one transactional scan returns.
    pub scan_records_max: u64,
    /// Records in one chunk of a scan's answer.
    pub scan_chunk_records: u64,
    /// Largest message that a client may send, in bytes.
    pub message_bytes_max: u64,
    /// Largest delta, in bytes.
    pub delta_bytes_max: u64,
    /// Deltas of one group that a running transaction keeps at the gateway; more are staged there
    /// ahead of the vote.
    pub stage_chunk_bytes: u64,
    /// Deltas that all running transactions of a node keep in memory, in bytes.
    pub gateway_bytes_max: u64,
    /// What reads keep in memory on its way to clients of a node, in bytes; more are refused.
    pub reads_held_bytes_max: u64,
    /// How long a shutdown waits for running calls.
    pub drain_ms: u64,
    /// Pause between two rounds of signatures over what was applied meanwhile.
    pub attest_interval_ms: u64,
    /// Pause between two comparisons of a group's replicas.
    pub compare_interval_ms: u64,
    /// Pause between two passes that read all of a replica's data at rest.
    pub scrub_interval_ms: u64,
    /// How long a question for an outcome waits for a majority's signatures.
    pub receipt_wait_ms: u64,
    /// Pause between two looks at where leaders should be; 0 leaves them where they are, be it on a
    /// full disk.
    pub balance_interval_ms: u64,
    /// A node that was ready stays so for so long while it sees no leader of a group.
    pub unready_after_ms: u64,
    /// Transactions that take longer are logged with where the time went; 0 logs none.
    pub slow_transaction_ms: u64,
    /// Most of those lines in a second.
    pub slow_log_per_s_max: u32,
    /// Share of one core, in percent, that learning from streams may take; 0: nothing is learnt,
    /// nor forecast.
    pub learn_share_percent: u64,
    /// Sealed streams that may wait to be learnt from; others are left out.
    pub learn_queue_max: u64,
    /// Forecasts and verdicts that may wait to be made; others are left out.
    pub forecast_queue_max: u64,
    /// Transitions of a stream that is forecast and learnt from; longer ones are not.
    pub forecast_steps_max: u64,
    /// Groups of one stream that are contacted before it touches them, since forecasts name them;
    /// 0: none.
    pub warm_groups_max: u64,
    /// A stream under `adaptive` asks for no turn in a collection where none of the last 64 wrote
    /// that were as far in the same course, if so many are known; 0: it asks whatever is foreseen.
    pub turns_spared_after: u64,
    /// Longest pause between two looks at what a stream read that wants to be warned.
    pub warning_look_ms: u64,
    /// Streams that strayed from their forecasts which are kept to be asked for.
    pub anomalies_max: u64,
    /// Pause between two batches of what a leader saw of conflicts, for the group's history.
    pub history_interval_ms: u64,
    /// Events of a group that may wait for that; of more, the oldest go, successes first.
    pub history_buffer_max: u64,
    /// What the folder of diaries may hold, where they are kept (`record_events`).
    pub diaries_bytes_max: u64,
}

impl Limits {
    /// What a node starts with.
    pub fn production() -> Limits {
        Limits {
            stream_idle_ms: 10_000,
            stream_age_max_ms: 60_000,
            streams_max: 10_000,
            pipeline_stream_operations_max: 4_096,
            pipeline_operations_max: 32_768,
            running_first: 1_024,
            running_min: 96,
            running_max: 8_192,
            ingress_waiting_max: 4_096,
            ingress_wait_max_ms: 60,
            ingress_overload_ms: 20,
            tickets_max: 100_000,
            shadow_priority_below: 1,
            call_deadline_ms: 10_000,
            vote_deadline_ms: 5_000,
            propose_deadline_ms: 3_000,
            drive_retry_ms: 100,
            drive_age_max_ms: 30_000,
            recover_after_ms: 1_000,
            resolve_wait_ms: 100,
            turn_wait_ms: 1_000,
            sweep_interval_ms: 1_000,
            forget_after_ms: 90_000,
            snapshot_retention_ms: 60_000,
            collect_items_max: 4_096,
            snapshot_ahead_max_ms: 500,
            clock_ahead_max_ms: 60_000,
            read_attempts_max: 4,
            read_set_keys_max: 1_000,
            scan_records_max: 10_000,
            scan_chunk_records: 256,
            message_bytes_max: 4 << 20,
            delta_bytes_max: 1 << 20,
            stage_chunk_bytes: 1 << 20,
            gateway_bytes_max: 512 << 20,
            reads_held_bytes_max: 256 << 20,
            drain_ms: 5_000,
            attest_interval_ms: 1_000,
            receipt_wait_ms: 3_000,
            compare_interval_ms: 5_000,
            scrub_interval_ms: 20_000,
            balance_interval_ms: 3_000,
            unready_after_ms: 2_000,
            slow_transaction_ms: 500,
            slow_log_per_s_max: 10,
            learn_share_percent: 2,
            learn_queue_max: 64,
            forecast_queue_max: 256,
            forecast_steps_max: 512,
            warm_groups_max: 8,
            turns_spared_after: 16,
            warning_look_ms: 50,
            anomalies_max: 256,
            history_interval_ms: 500,
            history_buffer_max: 1_024,
            diaries_bytes_max: 256 << 20,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::production()
    }
}
