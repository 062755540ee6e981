//! Bugs planted in the log, the store and the consensus module: in the sources that run, by a
//! switch that only this crate's build of them has.

/// One bug, by the crate that has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Seeded {
    /// In the log.
    Log(vatic_log::Bug),
    /// In the store.
    Store(vatic_store::Bug),
    /// In the consensus module.
    Consensus(vatic_consensus::Bug),
}

impl Seeded {
    /// Every one, for tables and tests.
    pub const ALL: [Seeded; 19] = [
        Seeded::Log(vatic_log::Bug::AckBeforeSync),
        Seeded::Log(vatic_log::Bug::TornPayloadAccepted),
        Seeded::Log(vatic_log::Bug::VoteLostAtRestart),
        Seeded::Log(vatic_log::Bug::VoteAnsweredFirst),
        Seeded::Log(vatic_log::Bug::CommittedAhead),
        Seeded::Log(vatic_log::Bug::VoteBehindEntries),
        Seeded::Log(vatic_log::Bug::DamageTakenForTear),
        Seeded::Store(vatic_store::Bug::SnapshotDropsVotes),
        Seeded::Store(vatic_store::Bug::StateWithoutMark),
        Seeded::Store(vatic_store::Bug::FlushDropsDeletions),
        Seeded::Store(vatic_store::Bug::MarkWithoutState),
        Seeded::Consensus(vatic_consensus::Bug::VoteNotDurable),
        Seeded::Consensus(vatic_consensus::Bug::AppendNotDurable),
        Seeded::Consensus(vatic_consensus::Bug::ReadUnconfirmed),
        Seeded::Consensus(vatic_consensus::Bug::PurgedTooFar),
        Seeded::Consensus(vatic_consensus::Bug::VoteNotRead),
        Seeded::Consensus(vatic_consensus::Bug::SilenceCounted),
        Seeded::Consensus(vatic_consensus::Bug::LostDiskAsksNobody),
        Seeded::Consensus(vatic_consensus::Bug::AnsweredUnmet),
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Seeded::Log(bug) => format!("{bug:?}"),
            Seeded::Store(bug) => format!("{bug:?}"),
            Seeded::Consensus(bug) => format!("{bug:?}"),
        }
    }

    /// Plants this one alone, or none, for what this thread runs from here on.
    pub(crate) fn plant(seeded: Option<Seeded>) {
        let (mut log, mut store, mut consensus) = (None, None, None);
        match seeded {
            Some(Seeded::Log(bug)) => log = Some(bug),
            Some(Seeded::Store(bug)) => store = Some(bug),
            Some(Seeded::Consensus(bug)) => consensus = Some(bug),
            None => {}
        }
        vatic_log::plant(log);
        vatic_store::plant(store);
        vatic_consensus::plant(consensus);
    }
}
