//! Counters of rare paths: a batch of seeds that never got there has shown nothing about them.

use crate::sabotage::Level;

/// Declares the probes once, for the counters, their names and the list of all.
macro_rules! probes {
    ($($probe:ident = $name:literal,)*) => {
        /// A path that a batch of seeds must reach.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs)]
        pub enum Probe { $($probe),* }

        impl Probe {
            /// All of them, in the order in which reports print them.
            pub const ALL: &[Probe] = &[$(Probe::$probe),*];

            /// Its name in reports.
            pub fn name(self) -> &'static str {
                match self { $(Probe::$probe => $name),* }
            }
        }
    };
}

probes! {
    CommittedAlone = "committed_one_group",
    CommittedTogether = "committed_many_groups",
    CommittedThree = "committed_three_groups_or_more",
    CommittedReadOnly = "committed_read_only",
    NoReadChanged = "no_read_changed",
    NoRangeChanged = "no_range_changed",
    NoLocked = "no_locked",
    NoRangeLocked = "no_range_locked",
    NoRejected = "no_rejected",
    NoForced = "no_forced",
    NoQuota = "no_quota",
    RequestHeld = "request_held",
    RequestMismatch = "request_mismatch",
    RequestExpired = "request_expired",
    RequestBlocked = "request_blocked",
    RequestAnswered = "request_answered_with_other_attempt",
    RecoveredCommit = "recovered_commit",
    RecoveredRollback = "recovered_rollback",
    GaveUp = "coordinator_gave_up",
    StaleAnswer = "stale_answer",
    StaleWithOutcome = "stale_answer_with_outcome",
    Abandoned = "rolled_back_after_stale",
    Forgotten = "forgotten_everywhere",
    RepeatedVote = "repeated_vote",
    LateVote = "late_vote_after_forget",
    BodyMismatch = "body_mismatch",
    FaultChain = "fault_chain",
    FaultLimit = "fault_limit",
    FaultAnswer = "fault_answered",
    BlockedGet = "blocked_get",
    BlockedScan = "blocked_scan",
    BlockedSnapshot = "blocked_snapshot",
    SnapshotAdvanced = "snapshot_advanced",
    SnapshotBelowHorizon = "snapshot_below_horizon",
    SnapshotByFollower = "snapshot_by_follower",
    SecondPassFailed = "multi_read_second_pass_changed",
    SecondPassBlocked = "multi_read_second_pass_blocked",
    VoteInstead = "multi_read_vote_instead",
    StagedVote = "staged_vote",
    StageAbandoned = "stage_abandoned",
    StageFull = "stage_full",
    ForgetApplied = "forget_applied",
    ForgetRefused = "forget_refused",
    Collected = "collected",
    ReopenedWithLocks = "reopened_with_locks",
    ReplayedEntries = "replayed_entries",
    SnapshotInstalled = "snapshot_installed",
    LeaderLostBatch = "leader_lost_batch",
    LeaderKeptBatch = "leader_kept_batch",
    InDoubt = "client_in_doubt",
    DoubtCommitted = "doubt_resolved_to_commit",
    DoubtRolledBack = "doubt_resolved_to_rollback",
    ReceiptAtOnce = "receipt_with_answer",
    ReceiptByOutcome = "receipt_by_outcome",
    Tampered = "tampered_part_refused",
    CheckpointSigned = "checkpoint_signed",
    CheckpointKept = "checkpoint_kept",
    CheckpointRefused = "checkpoint_refused",
    CompleteReceipt = "complete_receipt",
    Forged = "forged_receipt_refused",
    NoUnforeseen = "no_unforeseen",
    FaultJudgement = "fault_judgement",
    StrayStopped = "stray_stopped",
    Moved = "moved_over_changes",
    DraftRefused = "draft_refused",
    HistoryKept = "history_kept",
    HistoryRepeated = "history_batch_repeated",
    HistoryRefused = "history_batch_refused",
    TicketAgain = "ticket_tried_again",
    TicketsOfTwo = "tickets_begun_by_two_leaders",
    CoreRested = "majority_core_came_to_rest",
    DrivenByGateway = "driven_by_its_gateway",
    DiskFailed = "disk_failed_under_writer",
    BatchesFlown = "several_batches_in_flight",
    FlipRefused = "bit_flip_refused",
    FlipHarmless = "bit_flip_harmless",
    FlipShortened = "bit_flip_shortened_log",
    DeposedAsked = "deposed_leader_asked",
    RottenDiskRefused = "rotten_disk_refused",
    Rebuilt = "replica_rebuilt",
    DiskReplaced = "node_came_back_without_its_disk",
}

impl Probe {
    /// The paths that a batch at this level must reach. At level 2 these are the ones that it is
    /// there for: its runs are a hundred times as dear as those of level 1, which reach the others.
    pub fn of(level: Level) -> impl Iterator<Item = Probe> {
        let here = [
            Probe::CommittedAlone,
            Probe::CommittedTogether,
            Probe::NoLocked,
            Probe::NoForced,
            Probe::RecoveredCommit,
            Probe::RecoveredRollback,
            Probe::SnapshotByFollower,
            Probe::StagedVote,
            Probe::ReopenedWithLocks,
            Probe::ReplayedEntries,
            Probe::SnapshotInstalled,
            Probe::InDoubt,
            Probe::DoubtCommitted,
            Probe::CheckpointKept,
            Probe::CompleteReceipt,
            Probe::RequestAnswered,
            Probe::HistoryKept,
            Probe::HistoryRepeated,
            Probe::CoreRested,
            Probe::DrivenByGateway,
        ];
        Probe::ALL.iter().copied().filter(move |&probe| {
            let deployed = probe as usize >= Probe::DiskFailed as usize;
            match level {
                Level::Assumed => !deployed,
                Level::Deployed => deployed || here.contains(&probe),
            }
        })
    }
}

/// How often each probe was reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probes(Vec<u64>);

impl Default for Probes {
    fn default() -> Self {
        Probes(vec![0; Probe::ALL.len()])
    }
}

impl Probes {
    pub(crate) fn hit(&mut self, probe: Probe) {
        self.0[probe as usize] += 1;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Probes) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, count)| *sum += count);
    }

    /// How often one was reached.
    pub fn count(&self, probe: Probe) -> u64 {
        self.0[probe as usize]
    }

    /// Those that a batch at this level must reach, and that were never reached.
    pub fn missed(&self, level: Level) -> Vec<&'static str> {
        let missed = Probe::of(level).filter(|&probe| self.count(probe) == 0);
        missed.map(Probe::name).collect()
    }
}
