//! Counters of what was broken, by kind: a batch without some kind has not tested it.

use crate::sabotage::Level;

macro_rules! faults {
    ($($fault:ident = $name:literal,)*) => {
        /// A kind of misfortune.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs)]
        pub enum Fault { $($fault),* }

        impl Fault {
            /// All kinds, in the order of reports.
            pub const ALL: &[Fault] = &[$(Fault::$fault),*];

            /// Its name in reports.
            pub fn name(self) -> &'static str {
                match self { $(Fault::$fault => $name),* }
            }
        }
    };
}

faults! {
    Lost = "message_lost",
    Repeated = "message_repeated",
    Limbo = "message_very_late",
    Partitioned = "message_cut_off",
    Partition = "partition",
    OneWay = "partition_one_way",
    NodeCrash = "node_crash",
    LeaderChange = "leader_change",
    ClockJump = "clock_jump",
    CoordinatorDied = "coordinator_died",
    ReplyUnheard = "reply_unheard",
    Tampering = "part_tampered",
    Forgery = "transition_forged",
    Twin = "two_bodies",
    Impatience = "vote_before_stage",
    HastyForget = "hasty_forget",
    PeerLost = "peer_message_lost",
    PeerDelayed = "peer_message_delayed",
    PeerRepeated = "peer_message_repeated",
    PeerOvertaken = "peer_message_overtaken",
    PeerCutOff = "peer_message_cut_off",
    PowerCut = "power_cut",
    ProcessKilled = "process_killed",
    TornBatch = "torn_batch",
    SyncFailed = "sync_failed",
    BitFlipped = "bit_flipped",
    DiskFull = "disk_full",
    NodePaused = "node_paused",
    Handover = "leadership_handed_over",
    DiskHung = "disk_hung",
    Isolation = "leader_cut_off_from_members",
    Replaced = "replica_begun_anew",
}

/// How often each kind occurred.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Faults(Vec<u64>);

impl Default for Faults {
    fn default() -> Self {
        Faults(vec![0; Fault::ALL.len()])
    }
}

impl Faults {
    pub(crate) fn hit(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Faults) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, count)| *sum += count);
    }

    /// How often one occurred.
    pub fn count(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }
}

impl Fault {
    /// The kinds that a batch at this level must have met often: those that it has to itself, and
    /// at level 2 what befalls its nodes.
    pub fn of(level: Level) -> impl Iterator<Item = Fault> {
        let shared = [
            Fault::Partition,
            Fault::OneWay,
            Fault::NodeCrash,
            Fault::LeaderChange,
            Fault::ClockJump,
            Fault::CoordinatorDied,
        ];
        Fault::ALL.iter().copied().filter(move |&fault| {
            let deployed = fault as usize >= Fault::PeerLost as usize;
            match level {
                Level::Assumed => !deployed,
                Level::Deployed => deployed || shared.contains(&fault),
            }
        })
    }
}
