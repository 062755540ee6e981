//! Hunts: how many seeds a broken variant survives before some check notices.
//!
//! A check that has never failed proves little, so every rule that the core can switch off and
//! every sabotage of the shell is hunted, in the very configuration of clean runs.

use crate::{Check, Level, Options, Sabotage, Seeded, parallel, run};
use std::collections::BTreeSet;
use vatic_core::rules::{Mutant, Rules};
use vatic_models::{check::Effort, mutants};

/// Rules that other worlds than the simulated one are for: it has one ring and no lanes, its queues
/// are never paused and nobody minds who goes first, its gateways list segments and parts as they
/// were sent, nobody writes on the ground of a snapshot alone, what is folded is held to bounds
/// there, not counted, and where a decision is applied again counts fall below zero: a debug build
/// ends at that, and a release build, in which they wrap, does not end. The last nine break what
/// no oracle is made for: seeds may see some of them, and are not asked. The models break these.
const ELSEWHERE: [Mutant; 32] = [
    Mutant::DecidesAgain,
    Mutant::PartUnchecked,
    Mutant::StitchOutOfOrder,
    Mutant::StitchOverGap,
    Mutant::EpochUnchecked,
    Mutant::RingGoesBack,
    Mutant::OwnerUnchecked,
    Mutant::TurnWhileLocked,
    Mutant::DecidedElsewhere,
    Mutant::TurnNotPassedOn,
    Mutant::TurnPastWaiters,
    Mutant::AgeIgnored,
    Mutant::TicketAgeIgnored,
    Mutant::TicketPriorityIgnored,
    Mutant::TicketsTogether,
    Mutant::TicketPassedBy,
    Mutant::PauseIgnored,
    Mutant::ShadowForEver,
    Mutant::TicketsAsTheyCome,
    Mutant::TicketPassesOnRecord,
    Mutant::FoldedUndecided,
    Mutant::FoldsCommitsAlone,
    Mutant::LastCommitterWins,
    Mutant::RingHalfTaken,
    Mutant::RefusalAnswered,
    Mutant::TurnTakenOver,
    Mutant::TicketsPastPlaces,
    Mutant::TicketBegunTwice,
    Mutant::ReplacedStillCounts,
    Mutant::EndsAfterSeal,
    Mutant::EndsForLock,
    Mutant::StagedAfterVote,
];

/// Something broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// A rule of the core.
    Core(Mutant),
    /// Something around it.
    Shell(Sabotage),
    /// Something below it, at level 2.
    Below(Seeded),
}

/// How a broken variant was found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Catch {
    /// Seeds that it took, the catching one included.
    pub seeds: u64,
    /// The seed that caught it.
    pub seed: u64,
    /// The checks that failed on that seed.
    pub checks: BTreeSet<Check>,
    /// What the first of them saw.
    pub detail: String,
}

impl Broken {
    /// Everything that the simulation is to find out.
    pub fn all() -> Vec<Broken> {
        Broken::every().into_iter().filter(|broken| broken.is_hunted()).collect()
    }

    /// Everything: what the models alone find, and what only the twins of a run find, as well.
    pub fn every() -> Vec<Broken> {
        let core = Mutant::every().map(Broken::Core);
        let shell = Sabotage::ALL.into_iter().chain([Sabotage::OfItsProcess]).map(Broken::Shell);
        core.chain(shell).chain(Seeded::ALL.into_iter().map(Broken::Below)).collect()
    }

    /// Whether a seed of the simulation by itself is to find it out.
    pub fn is_hunted(self) -> bool {
        match self {
            Broken::Core(mutant) => !ELSEWHERE.contains(&mutant),
            Broken::Shell(sabotage) => sabotage != Sabotage::OfItsProcess,
            Broken::Below(_) => true,
        }
    }

    /// Whether a model is there for it.
    pub fn has_model(self) -> bool {
        mutants::CATCHES.iter().any(|catch| self == Broken::Core(catch.mutant))
    }

    /// The part of the system that is broken.
    pub fn part(self) -> &'static str {
        match self {
            Broken::Core(_) => "core",
            Broken::Shell(_) => "shell",
            Broken::Below(Seeded::Log(_)) => "log",
            Broken::Below(Seeded::Store(_)) => "store",
            Broken::Below(Seeded::Consensus(_)) => "consensus",
        }
    }

    /// Its name on the command line and in tables.
    pub fn name(self) -> String {
        match self {
            Broken::Core(mutant) => format!("{mutant:?}"),
            Broken::Shell(sabotage) => format!("{sabotage:?}"),
            Broken::Below(seeded) => seeded.name(),
        }
    }

    /// The variant with this name.
    pub fn named(name: &str) -> Option<Broken> {
        Broken::every().into_iter().find(|broken| broken.name().eq_ignore_ascii_case(name))
    }

    /// Options of a run that is broken in this way alone.
    pub fn options(self, plain: &Options) -> Options {
        match self {
            Broken::Core(mutant) => Options { rules: Rules::without(mutant), ..plain.clone() },
            Broken::Shell(sabotage) => Options { sabotage: Some(sabotage), ..plain.clone() },
            Broken::Below(seeded) => {
                let deployed = Options::of(Level::Deployed);
                // Of level 1 the usual load is another one.
                let as_usual = plain.load_us == Options::of(plain.level).load_us;
                let load_us = if as_usual { deployed.load_us } else { plain.load_us };
                let families = plain.families.clone();
                Options { seeded: Some(seeded), load_us, families, ..deployed }
            }
        }
    }
}

impl Options {
    /// The name of what is broken in these options.
    pub(crate) fn broken(&self) -> Option<String> {
        let (load_us, level, families) = (self.load_us, self.level, self.families.clone());
        let plain = Options { load_us, level, families, ..Options::default() };
        Broken::every()
            .into_iter()
            .find(|broken| {
                let options = broken.options(&plain);
                let same = options.rules == self.rules && options.sabotage == self.sabotage;
                same && options.seeded == self.seeded
            })
            .map(Broken::name)
    }
}

/// Runs seeds from `first` on until one of the checks named, or any where none is named, fails.
pub fn hunt(broken: Broken, wanted: Option<Check>, first: u64, seeds_max: u64) -> Option<Catch> {
    let options = broken.options(&Options::default());
    (first..first + seeds_max).find_map(|seed| {
        let violations = run(seed, &options).violations;
        let checks: BTreeSet<Check> = violations.iter().map(|violation| violation.check).collect();
        let caught = match wanted {
            Some(check) => checks.contains(&check),
            None => !checks.is_empty(),
        };
        let detail = violations.first().map(ToString::to_string).unwrap_or_default();
        caught.then_some(Catch { seeds: seed - first + 1, seed, checks, detail })
    })
}

/// What several hunts for one variant came to, each from seeds of its own.
#[derive(Clone, Debug)]
pub struct Hunts {
    /// The variant.
    pub broken: Broken,
    /// One for each starting point; none where it got away.
    pub catches: Vec<Option<Catch>>,
}

impl Hunts {
    /// Whether none got away.
    pub fn all_caught(&self) -> bool {
        self.catches.iter().all(Option::is_some)
    }

    /// The seeds that each hunt took, fewest first; those that got away are not among them.
    pub fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.catches.iter().flatten().map(|catch| catch.seeds).collect();
        seeds.sort_unstable();
        seeds
    }

    /// The checks that failed, over all hunts.
    pub fn checks(&self) -> BTreeSet<Check> {
        self.catches.iter().flatten().flat_map(|catch| catch.checks.iter().copied()).collect()
    }
}

/// Hunts each variant from several starting points, no seed twice, on so many threads.
pub fn hunt_all(
    variants: &[Broken],
    first: u64,
    seeds_max: u64,
    starts: u64,
    threads: usize,
    told: impl Fn(Broken, Option<&Catch>) + Sync,
) -> Vec<Hunts> {
    let hunts = variants.iter().flat_map(|&broken| (0..starts).map(move |start| (broken, start)));
    let hunts: Vec<(Broken, u64)> = hunts.collect();
    let found = parallel::map(&hunts, threads, |&(broken, start)| {
        let catch = hunt(broken, None, first + start * seeds_max, seeds_max);
        told(broken, catch.as_ref());
        catch
    });
    let catches = found.chunks(starts.max(1) as usize).map(<[_]>::to_vec);
    variants.iter().zip(catches).map(|(&broken, catches)| Hunts { broken, catches }).collect()
}

/// What a model that is there for a rule said of the core without it.
#[derive(Clone, Copy, Debug)]
pub struct ModelAsked {
    /// The model.
    pub model: &'static str,
    /// The property that the rule is there for, as a client or an operator would notice.
    pub property: &'static str,
    /// The states that it had seen when the property was violated; none where it never was.
    pub unique_states: Option<usize>,
}

/// Asks each model that is there for one of these variants, on so many threads; what they said, by
/// variant. There are models of the core alone.
pub fn ask_models(variants: &[Broken], threads: usize) -> Vec<Vec<ModelAsked>> {
    let mut questions = Vec::new();
    for (at, broken) in variants.iter().enumerate() {
        let of = |mutant| *broken == Broken::Core(mutant);
        let catches = mutants::CATCHES.iter().filter(|catch| of(catch.mutant));
        questions.extend(catches.map(|catch| (at, *catch)));
    }
    let answers = parallel::map(&questions, threads, |(_, catch)| {
        let caught = catch.run(Effort::exhaustive(1));
        let unique_states = caught.ok().map(|caught| caught.unique_states);
        ModelAsked { model: catch.model, property: catch.property, unique_states }
    });
    let mut found = vec![Vec::new(); variants.len()];
    questions.iter().zip(answers).for_each(|((at, _), answer)| found[*at].push(answer));
    found
}
