//! The numbers that a model sees of a mutation.
//!
//! All are Q16. What counts something is log2(1 + x), what is a rate is log2 odds against
//! everybody's: with logarithms a linear model can multiply a rate by an exposure.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How many dense features there are.
pub const FEATURES: usize = 32;

/// Areas that are kept for the collaborative filter.
pub(super) const AREAS_KEPT: usize = 4;

/// What each dense feature is, by its index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Feature {
    /// Writes of late on the hottest record, at the short half-life; two longer ones follow.
    RecordHeatMax = 0,
    /// Writes of late on all its records, at three half-lives.
    RecordHeatSum = 3,
    /// Writes of late in the hottest area, at three half-lives.
    AreaHeatMax = 6,
    /// Writes of late in all its areas, at the long half-life.
    AreaHeatSum = 9,
    /// Writers in flight on the most wanted record.
    WritersMax = 10,
    /// Writers in flight on all its records.
    WritersSum,
    /// Writers in flight in the most wanted area.
    AreaWritersMax,
    /// Of the writers on its records, those that are staged or hold locks.
    StagedSum,
    /// Transactions in flight.
    InFlight,
    /// Records written since its snapshot, whose versions it cannot have read.
    Overwritten,
    /// Age of its snapshot, in typical durations.
    SnapshotAge,
    /// Since any of its records was written last, in typical durations.
    Recency,
    /// Records that it touches.
    Records,
    /// Areas that it touches.
    Areas,
    /// Bytes that it sends.
    Bytes,
    /// Share of its records that it changes by commuting operations alone.
    Commuting,
    /// Conflict rate of everybody of late.
    OverallRate,
    /// Conflict rate of its user.
    UserRate,
    /// Conflict rate of the worst of its fields.
    FieldRate,
    /// Conflict rate of the worst of its areas.
    AreaRate,
    /// Conflict rate of its user in the worst of its areas.
    UserAreaRate,
    /// How long its user's transactions take.
    UserPace,
    /// Sine of the hour of the day, UTC.
    HourSine,
    /// Cosine of the hour of the day, UTC.
    HourCosine,
    /// Sine of the weekday.
    WeekdaySine,
    /// Cosine of the weekday.
    WeekdayCosine,
}

/// Features that are switched off together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Group {
    /// How often its records and areas are written.
    Hotness,
    /// Who is in flight on them.
    Overlap,
    /// What became of its snapshot.
    Staleness,
    /// How large it is.
    Size,
    /// What its operations are.
    Kinds,
    /// Who conflicted before.
    Rates,
    /// How long its user takes.
    Pace,
    /// When it is.
    Time,
}

impl Group {
    /// All groups, that which is never switched off first.
    pub const ALL: [Group; 8] = [
        Group::Hotness,
        Group::Overlap,
        Group::Staleness,
        Group::Size,
        Group::Kinds,
        Group::Rates,
        Group::Pace,
        Group::Time,
    ];

    /// That of the dense feature at `index`.
    pub fn of(index: usize) -> Group {
        let starts = [
            (Feature::HourSine, Group::Time),
            (Feature::UserPace, Group::Pace),
            (Feature::OverallRate, Group::Rates),
            (Feature::Commuting, Group::Kinds),
            (Feature::Records, Group::Size),
            (Feature::Overwritten, Group::Staleness),
            (Feature::WritersMax, Group::Overlap),
        ];
        let found = starts.into_iter().find(|(first, _)| index >= *first as usize);
        found.map_or(Group::Hotness, |(_, group)| group)
    }

    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Group::Hotness => "hotness",
            Group::Overlap => "overlap",
            Group::Staleness => "staleness",
            Group::Size => "size",
            Group::Kinds => "kinds",
            Group::Rates => "rates",
            Group::Pace => "pace",
            Group::Time => "time",
        }
    }
}

/// The features of one mutation at one moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Features {
    /// In the order of [`Feature`], Q16.
    pub dense: [i32; FEATURES],
    /// Its user, for the collaborative filter.
    pub user: u64,
    /// Some of its areas, for the collaborative filter.
    pub areas: Vec<u64>,
}

impl Features {
    pub(super) fn set(&mut self, feature: Feature, value: i32) {
        self.dense[feature as usize] = value;
    }

    pub(super) fn set_three(&mut self, first: Feature, values: [i32; 3]) {
        self.dense[first as usize..][..3].copy_from_slice(&values);
    }
}
