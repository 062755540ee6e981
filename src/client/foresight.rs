//! What a node foresees of a running transaction, and what it made of the end, as callers see it.
//!
//! It is advice. Nothing of it is verified, nothing of it changes what a receipt proves, and there
//! may be none: a node that has just started has learnt nothing yet.

use std::fmt;
use std::time::Duration;

use vatic_core::id::{Tid, Timestamp};
use vatic_core::key::Key;
use vatic_core::strategy::Strategy;

/// What to be told while a transaction runs; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Foresight {
    /// Forecasts after 1, 2, 4, 8, ... transitions, and the verdict at the end.
    pub forecasts: bool,
    /// Warnings as soon as a version that was read is overwritten, or about to be.
    pub warnings: bool,
    /// To be rolled back (stale read, retryable) as soon as a version that was read is overwritten,
    /// in place of at the commit.
    pub abort_early: bool,
    /// To be rolled back, for good, as soon as it strays from its forecast, where its collections
    /// do something about what strays.
    pub abort_strayed: bool,
}

/// Something that is told of a transaction beside its outcome.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// What it will be when it is finished.
    Forecast(Forecast),
    /// A read that does not hold any more, or may soon not.
    Warning(Warning),
    /// It is not where its last forecast had it be.
    Strayed(SoFar),
    /// How it ended, against what was forecast.
    Verdict(Verdict),
}

/// What a finished transaction is expected to be. Distances count steps: 1 is one step more, or
/// less, than expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// How many transitions it was made from.
    pub transitions: u64,
    /// How many there will be.
    pub expected_transitions: u64,
    /// How far the transaction is from the way that its last forecast had it go; `None` in the
    /// first.
    pub strayed: Option<f64>,
    /// How many groups will take part.
    pub expected_participants: u32,
    /// Streams with the same first step that it was learnt from.
    pub exemplars: u64,
    /// Whose forecast it is.
    pub forecaster: String,
    /// How far the forecaster expects to be off, in steps.
    pub spread: f64,
    /// That it meets a conflict by what it had touched so far, if it takes no turn, in parts per
    /// million; `None` where that is not known.
    pub conflict_ppm: Option<u32>,
    /// Of the node's forecasters: those of one version forecast the same. 0: of none yet.
    pub version: u64,
    /// How it is judged so far, where it can be.
    pub so_far: Option<SoFar>,
}

/// A running transaction against the way that its last forecast had it go. It decides nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoFar {
    /// Whether the distance is tolerated.
    pub valid: bool,
    /// How many transitions that forecast was made from.
    pub from_transitions: u64,
    /// How many had come.
    pub transitions: u64,
    /// From the way to what came, in steps.
    pub distance: f64,
    /// The distance in expected spreads.
    pub score: f64,
    /// The largest score that is tolerated; `None` while all are.
    pub tolerance: Option<f64>,
}

/// A read that the votes would refuse as things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What happened.
    pub what: Disturbance,
    /// The record.
    pub key: Key,
    /// The version that was read; 0 where it was absent.
    pub read: Timestamp,
    /// Its version now; 0 where it is absent.
    pub found: Timestamp,
    /// Who is about to write it, where that is known.
    pub other: Option<Tid>,
}

/// What happened to a record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// Another version is there: the transaction cannot commit any more.
    Overwritten,
    /// An undecided transaction is about to write it, and may yet let go.
    Locked,
}

/// How a transaction ended, against the last forecast made at or before half of it. What an invalid
/// one comes to is its collections' policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whether the distance was tolerated.
    pub valid: bool,
    /// How many transitions the forecast was made from.
    pub transitions: u64,
    /// How many it expected.
    pub expected_transitions: u64,
    /// How many there were.
    pub actual_transitions: u64,
    /// From the forecast to what came, in steps.
    pub distance: f64,
    /// The distance in expected spreads: what is tolerated or not.
    pub score: f64,
    /// The largest score that was tolerated; `None` while too few were judged, and all are valid.
    pub tolerance: Option<f64>,
    /// How far off the forecast was expected to be, in steps, which what follows widens.
    pub spread: f64,
    /// The last round trip to the participant that was farthest from its mean; zero: not measured.
    pub round_trip: Duration,
    /// Its mean.
    pub mean_round_trip: Duration,
    /// Streams that were open at the gateway.
    pub in_flight: u32,
}

/// What an invalid transaction was resolved to be voted on under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// The strategy that it had.
    pub own: Strategy,
    /// The one that it went on under.
    pub chosen: Strategy,
    /// Why: `cheapest`, `fixed`, `unrated` or `unspecified`.
    pub why: &'static str,
    /// That an attempt under it meets a conflict, in parts per million, where that is known.
    pub conflict_ppm: Option<u32>,
    /// What it was estimated to take until it is committed.
    pub latency: Option<Duration>,
    /// The same under its own.
    pub own_latency: Option<Duration>,
    /// Nobody known was in its way when it went to its votes.
    pub freed: bool,
}

/// Why a transaction was not judged, where it was to be: not the same as found valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unjudged {
    /// What was missing.
    pub missing: Missing,
    /// How long it was waited for at the seal.
    pub waited: Duration,
}

/// What a transaction was not judged for want of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Something that this client does not know.
    Unspecified,
    /// Too few streams began like it for any forecast.
    Exemplars,
    /// Its gateway was still learning what others have seen.
    History,
    /// Its gateway did not follow it.
    Steps,
    /// The forecast did not come in time.
    Forecast,
    /// Its home group did not say in time what it tolerates.
    Tolerance,
}

impl Missing {
    /// Lower-case.
    pub fn name(self) -> &'static str {
        match self {
            Missing::Unspecified => "unspecified",
            Missing::Exemplars => "exemplars",
            Missing::History => "history",
            Missing::Steps => "steps",
            Missing::Forecast => "forecast",
            Missing::Tolerance => "tolerance",
        }
    }
}

impl Disturbance {
    /// Lower-case.
    pub fn name(self) -> &'static str {
        match self {
            Disturbance::Overwritten => "overwritten",
            Disturbance::Locked => "locked",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Forecast(forecast) => forecast.fmt(f),
            Notice::Warning(warning) => warning.fmt(f),
            Notice::Strayed(so_far) => write!(f, "warning: it strays, {so_far}"),
            Notice::Verdict(verdict) => verdict.fmt(f),
        }
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Forecast { transitions, expected_transitions, expected_participants, .. } = self;
        write!(
            f,
            "forecast after {transitions}: transitions {expected_transitions}, groups \
             {expected_participants}, give or take {:.1} steps ({} of {} streams)",
            self.spread, self.forecaster, self.exemplars
        )?;
        if let Some(ppm) = self.conflict_ppm {
            write!(f, "; a conflict by {:.1} %", f64::from(ppm) / 1e4)?;
        }
        self.strayed.map_or(Ok(()), |strayed| write!(f, "; strayed by {strayed:.1} steps"))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Warning { key, read, found, .. } = self;
        match self.what {
            Disturbance::Overwritten => {
                write!(f, "warning: {key} was read at version {read} and is now at {found}")
            }
            Disturbance::Locked => {
                write!(f, "warning: {key} is about to be written")?;
                self.other.map_or(Ok(()), |other| write!(f, " by transaction {other}"))
            }
        }
    }
}

impl fmt::Display for SoFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SoFar { from_transitions, transitions, distance, score, .. } = self;
        let valid = if self.valid { "VALID" } else { "INVALID" };
        write!(
            f,
            "{valid} so far: after {transitions} transitions {distance:.2} steps from where the \
             forecast after {from_transitions} had it be, score {score:.2}"
        )?;
        self.tolerance.map_or(Ok(()), |tolerance| write!(f, ", tolerance {tolerance:.2}"))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let valid = if self.valid { "VALID" } else { "INVALID" };
        let Verdict { actual_transitions, expected_transitions, distance, score, .. } = self;
        write!(
            f,
            "verdict {valid}: {actual_transitions} transitions where {expected_transitions} were \
             expected after {}; {distance:.2} steps apart, score {score:.2}",
            self.transitions
        )?;
        self.tolerance.map_or(Ok(()), |tolerance| write!(f, ", tolerance {tolerance:.2}"))
    }
}
