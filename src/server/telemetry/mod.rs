//! What a node tells of itself: metrics, readiness, how long transactions took and where.
//!
//! `metrics` has what the node counts as it goes, `gauges` what is looked up when somebody asks;
//! `admin` serves both over HTTP. `journey` follows a transaction at its gateway, `drive_times` at
//! its driver: both feed the stage histograms, the span and, by `slow`, the log of slow
//! transactions. `readiness` is what `/readyz` and the gRPC health service say alike.
//!
//! Invariants: counting takes no lock and allocates nothing (each series is looked up once, at the
//! start); nothing that the node decides reads any of it; the admin port changes nothing.
//!
//! What `/metrics` shows, with its labels:
//!
//! - `vatic_transactions_total` by `outcome`, `cause`: ended at this gateway: `committed`,
//!   `rolled_back` (with its cause), `unknown`, `refused` (an error before any vote), `abandoned`
//!   (the client left)
//! - `vatic_transaction_seconds` by `stage`: where they spent their time: at the gateway `client`
//!   (waiting for its frames), `read`, `stage`, `coordinate` (seal to outcome, the hop included);
//!   at the driver `vote` and `decide`
//! - `vatic_shadows_total` by `outcome`: trials of tickets that are not urgent: `clean`,
//!   `held_back`, or `unknown` where a leader did not say
//! - `vatic_scans_total` by `outcome`: scans outside a transaction that ended at this gateway:
//!   `whole`, `untaken` (the client took too little of it by its deadline), `left` (the client
//!   did), `failed` (for want of room, too)
//! - `vatic_votes_total` by `vote`: answers to votes that drivers here asked for: `yes`, `no`,
//!   `stale`, `fault`
//! - `vatic_recoveries_total`: transactions left behind that this node set out to decide
//! - `vatic_slow_transactions_total`: beyond `slow_transaction_ms`, logged or not
//! - `vatic_streams`, `vatic_operations`: open `Transact` streams; other operations in flight
//! - `vatic_drivers`: sealed transactions that are driven here
//! - `vatic_gateway_bytes`: deltas of running transactions in memory
//! - `vatic_reads_held_bytes`: what reads hold on its way to clients, of `reads_held_bytes_max`
//! - `vatic_load`: from 0 to 1, of CPU, memory, network and waiting whichever is worst;
//!   `vatic_load_places`, `_running`, `_waiting`: transactions that may run here at once, that do,
//!   that wait to; `vatic_load_admitted_share`: below 1 in an overload; `vatic_load_refused_total`
//! - `vatic_ready`: 1 where `/readyz` says so
//! - `vatic_group_applied_index`, `_committed_index`, `_last_index`, `_flushed_index` by `group`:
//!   how far the replica has come
//! - `vatic_group_term`, `vatic_group_is_leader` by `group`: as Raft has it
//! - `vatic_group_undecided` by `group`: Yes votes without a decision: what holds locks
//! - `vatic_group_held_bytes`, `vatic_group_promised_bytes` by `group`: of `records_bytes_max`
//! - `vatic_group_leader_changes_total`, `vatic_group_terms_total` by `group`: changes of leader,
//!   elections, as seen here
//! - `vatic_consensus_batch_commands`: commands in one entry
//! - `vatic_consensus_batches_in_flight`: entries of one group on their way, counted as one goes
//! - `vatic_consensus_queue_seconds`: a command's wait for its entry
//! - `vatic_consensus_commit_seconds`: an entry from proposal to applied
//! - `vatic_consensus_append_seconds`: an append to one follower, answered
//! - `vatic_log_fsync_seconds`, `vatic_log_batch_records`: one fdatasync; records that share it
//! - `vatic_log_written_bytes_total`, `vatic_log_segments`, `vatic_log_full`: the log on disk
//! - `vatic_log_live_bytes`: of what is neither purged nor truncated, of `log_live_bytes_max`
//! - `vatic_consensus_log_purges_total`: purges because that was too much
//! - `vatic_store_flush_seconds`: one flush of overlays into LMDB
//! - `vatic_store_overlay_bytes`, `vatic_store_map_used_bytes`, `vatic_store_disk_free_bytes`: what
//!   the store takes, and has left
//! - `vatic_has_room`: 0 where new work is refused for want of room
//! - `process_cpu_seconds_total`, `process_resident_memory_bytes`: the process
//! - `vatic_learnt_streams_total` by `result`: streams that ended here: `shared` with all nodes,
//!   `left_out` for want of the learner's time, `oversized`; of all nodes': `learnt` from, `missed`
//!   where this node learns more slowly than others
//! - `vatic_courses_newest`, `vatic_forecasters_version`: the number of the newest stream that all
//!   nodes are to learn, and of the last one that this node's forecasters have
//! - `vatic_forecasts_total` by `result`: that streams asked for: `made`, `unknown` (too little is
//!   learnt), `busy` (the learner's queue was full)
//! - `vatic_verdicts_total` by `verdict`: `valid`, `invalid`; not judged, since the forecast was
//!   `late` or something else was missing (`unjudged`); of both, `refused` for it
//! - `vatic_warnings_total` by `what`: reads of streams that were found `overwritten`, `locked`;
//!   running streams that `strayed` from the way of their last forecast, at each one that was made
//! - `vatic_tickets_total` by `event`: tickets `enqueued` and `cancelled` here; of those `begun` by
//!   their leader `committed`, `given_up` for good, resolved `elsewhere` before, and to be begun
//!   `again` (what a trial held back among them); `vatic_tickets_under_way`: attempts now
//! - `vatic_history_events_total` by `result`: what leaders here saw of votes: `kept` in a history,
//!   `dropped` for want of room in batches
//! - `vatic_info` by `version`, `node`: 1

pub(crate) mod admin;
pub(crate) mod drive_times;
mod gauges;
pub(crate) mod journey;
pub(crate) mod metrics;
pub(crate) mod readiness;
mod slow;
