//! What a node knows of the present: hotness, who is in flight, who conflicted.
//!
//! It is told what arrives, is staged and lands, in the order in which it happens, and says the
//! features of a mutation at a moment. It learns an outcome only when it is told, so a replayed
//! history cannot leak what lies ahead.

use super::{
    features::{AREAS_KEPT, Feature, Features},
    fixed::{self, ONE},
    flight::{InFlight, Writers},
    hotness::{Heat, Hotness},
    limits::Limits,
    mutation::Mutation,
    rates::Rates,
    tempo::Tempo,
};
use crate::id::{Tid, Timestamp};

const HOUR_US: u64 = 3_600_000_000;
/// The first of January 1970 was a Thursday; weeks start on Monday.
const THURSDAY: u64 = 3;
/// What a span counts at most, in log2 of typical durations: nothing older is told apart.
const SPAN_MAX: i32 = 12 * ONE;

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Landing {
    /// Whether it met a conflict; `None` where that cannot be said, such as for one given up.
    pub conflict: Option<bool>,
    /// The record that it conflicted on, where that is known: only its area and field are blamed.
    pub blamed: Option<u64>,
    /// Whether its writes are visible now.
    pub wrote: bool,
}

/// The state. Bounded by its [`Limits`], whatever it is told.
#[derive(Clone, Debug)]
pub struct Contention {
    limits: Limits,
    tempo: Tempo,
    records: Hotness,
    areas: Hotness,
    flights: InFlight,
    rates: Rates,
}

impl Contention {
    /// Knows nothing yet.
    pub fn new(limits: Limits) -> Contention {
        assert!(limits.in_flight_max > 0 && limits.touches_max > 0 && limits.areas_max > 0);
        Contention {
            tempo: Tempo::new(limits.durations_kept),
            records: Hotness::new(limits.sketch_width),
            areas: Hotness::new(limits.sketch_width),
            flights: InFlight::default(),
            rates: Rates::new(limits.rate_slots),
            limits,
        }
    }

    /// The bounds, which a [`Mutation`] needs too.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A transaction is in flight from now on.
    pub fn arrive(&mut self, tid: Tid, mutation: Mutation) {
        self.flights.arrive(tid, mutation, self.limits.in_flight_max);
    }

    /// All writes of a transaction are known, or it holds its locks.
    pub fn stage(&mut self, tid: Tid) {
        self.flights.stage(tid);
    }

    /// A transaction is over. One that is not in flight, or was forgotten, changes nothing.
    pub fn land(&mut self, tid: Tid, landing: Landing, now_us: u64) {
        let Some(flight) = self.flights.leave(tid) else { return };
        let mutation = flight.mutation;
        let duration_us = now_us.saturating_sub(mutation.begun_us);
        if let Some(conflict) = landing.conflict {
            self.note(&mutation, conflict, landing.blamed, fixed::log2(duration_us));
            self.tempo.observe(duration_us, now_us);
        }
        if landing.wrote {
            let clock = self.tempo.clock(now_us);
            mutation.written().for_each(|touch| self.records.write(touch.record, clock, now_us));
            mutation.areas_written().for_each(|area| self.areas.write(area, clock, now_us));
        }
    }

    /// The features of one that is in flight; it does not count among its own rivals.
    pub fn features_in_flight(&self, tid: Tid, now_us: u64) -> Option<Features> {
        let flight = self.flights.flight(tid)?;
        let own = Writers { all: 1, staged: u32::from(flight.staged) };
        Some(self.compute(&flight.mutation, own, now_us))
    }

    /// The features of one that has not arrived.
    pub fn features(&self, mutation: &Mutation, now_us: u64) -> Features {
        self.compute(mutation, Writers::default(), now_us)
    }

    /// The running median of how long transactions take.
    pub fn typical_duration_us(&self) -> Option<u64> {
        self.tempo.median_us()
    }

    /// How many of these write a record.
    pub fn writers(&self, record: u64) -> u64 {
        u64::from(self.flights.on_record(record).all)
    }

    /// Forgets transactions in flight that were minted before.
    pub fn forget_before(&mut self, mint: Timestamp) {
        self.flights.forget_before(mint);
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    fn note(&mut self, mutation: &Mutation, conflict: bool, blamed: Option<u64>, log: i32) {
        let at_fault = |in_it: &dyn Fn(u64) -> bool| conflict && blamed.is_none_or(in_it);
        let touches = &mutation.touches;
        self.rates.note_overall(conflict, log);
        self.rates.note(user_id(mutation.user), conflict, log);
        for &area in &mutation.areas {
            let here = |record| touches.iter().any(|t| t.record == record && t.area == area);
            let at_fault = at_fault(&here);
            self.rates.note(area_id(area), at_fault, log);
            self.rates.note(fixed::pair_id(mutation.user, area), at_fault, log);
        }
        for &field in &mutation.fields {
            let here = |record| touches.iter().any(|t| t.record == record && t.field == field);
            self.rates.note(field_id(field), at_fault(&here), log);
        }
    }

    fn compute(&self, mutation: &Mutation, own: Writers, now_us: u64) -> Features {
        let areas = mutation.areas.iter().copied().take(AREAS_KEPT).collect();
        let mut features = Features { user: mutation.user, areas, ..Features::default() };
        let clock = self.tempo.clock(now_us);
        self.set_records(&mut features, mutation, clock, now_us);
        self.set_areas(&mut features, mutation, own, clock);
        self.set_overlap(&mut features, mutation, own);
        self.set_form(&mut features, mutation, now_us);
        self.set_rates(&mut features, mutation);
        set_time(&mut features, now_us);
        features
    }

    fn set_records(&self, features: &mut Features, mutation: &Mutation, clock: u64, now_us: u64) {
        let (mut max, mut sum) = ([0u64; 3], [0u64; 3]);
        let (mut last_us, mut overwritten) = (0, 0);
        for touch in &mutation.touches {
            let Heat { counts, last_us: written_us } = self.records.heat(touch.record, clock);
            for k in 0..3 {
                max[k] = max[k].max(counts[k]);
                sum[k] += counts[k];
            }
            last_us = last_us.max(written_us);
            overwritten += u64::from(written_us > mutation.begun_us);
        }
        features.set_three(Feature::RecordHeatMax, max.map(fixed::log2_1p));
        features.set_three(Feature::RecordHeatSum, sum.map(fixed::log2_1p));
        features.set(Feature::Overwritten, log_count(overwritten));
        let since = if last_us == 0 { SPAN_MAX } else { self.log_span(last_us, now_us) };
        features.set(Feature::Recency, since);
    }

    fn set_areas(&self, features: &mut Features, mutation: &Mutation, own: Writers, clock: u64) {
        let (mut max, mut sum, mut rivals) = ([0u64; 3], 0, 0);
        for area in &mutation.areas {
            let counts = self.areas.heat(*area, clock).counts;
            for k in 0..3 {
                max[k] = max[k].max(counts[k]);
            }
            sum += counts[2];
            let mine = if own.all > 0 && mutation.writes_in(*area) { own.all } else { 0 };
            rivals = rivals.max(self.flights.on_area(*area).all.saturating_sub(mine));
        }
        features.set_three(Feature::AreaHeatMax, max.map(fixed::log2_1p));
        features.set(Feature::AreaHeatSum, fixed::log2_1p(sum));
        features.set(Feature::AreaWritersMax, log_count(u64::from(rivals)));
    }

    fn set_overlap(&self, features: &mut Features, mutation: &Mutation, own: Writers) {
        let (mut max, mut sum, mut staged) = (0, 0u64, 0u64);
        for touch in &mutation.touches {
            let writers = self.flights.on_record(touch.record);
            let own = if touch.writes { own } else { Writers::default() };
            let rivals = writers.all.saturating_sub(own.all);
            max = max.max(rivals);
            sum += u64::from(rivals);
            staged += u64::from(writers.staged.saturating_sub(own.staged));
        }
        features.set(Feature::WritersMax, log_count(u64::from(max)));
        features.set(Feature::WritersSum, log_count(sum));
        features.set(Feature::StagedSum, log_count(staged));
        let others = self.flights.len().saturating_sub(own.all as usize);
        features.set(Feature::InFlight, log_count(others as u64));
    }

    fn set_form(&self, features: &mut Features, mutation: &Mutation, now_us: u64) {
        features.set(Feature::SnapshotAge, self.log_span(mutation.begun_us, now_us));
        features.set(Feature::Records, log_count(mutation.records));
        features.set(Feature::Areas, log_count(mutation.areas.len() as u64));
        features.set(Feature::Bytes, log_count(mutation.bytes));
        let share = (mutation.commuting << 16) / mutation.records.max(1);
        features.set(Feature::Commuting, share as i32);
    }

    fn set_rates(&self, features: &mut Features, mutation: &Mutation) {
        let rates = &self.rates;
        let odds = |id: u64| rates.odds_against_overall(rates.tally(id));
        let user = rates.tally(user_id(mutation.user));
        let (areas, fields) = (&mutation.areas, &mutation.fields);
        let pair = |area: &u64| odds(fixed::pair_id(mutation.user, *area));
        features.set(Feature::OverallRate, rates.overall_odds());
        features.set(Feature::UserRate, rates.odds_against_overall(user));
        features.set(Feature::FieldRate, worst(fields.iter().map(|field| odds(field_id(*field)))));
        features.set(Feature::AreaRate, worst(areas.iter().map(|area| odds(area_id(*area)))));
        features.set(Feature::UserAreaRate, worst(areas.iter().map(pair)));
        features.set(Feature::UserPace, rates.pace_against_overall(user));
    }

    /// log2(1 + span in typical durations), Q16.
    fn log_span(&self, from_us: u64, to_us: u64) -> i32 {
        let span = self.tempo.in_medians(to_us.saturating_sub(from_us));
        fixed::log2_1p(span).min(SPAN_MAX)
    }
}

fn set_time(features: &mut Features, now_us: u64) {
    let turn = |part: u64, whole: u64| ((part << 16) / whole) as u32;
    let hours = now_us / HOUR_US;
    let day = turn(now_us / 60_000_000 % (24 * 60), 24 * 60);
    let week = turn((hours + THURSDAY * 24) % (7 * 24), 7 * 24);
    features.set(Feature::HourSine, fixed::sine(day));
    features.set(Feature::HourCosine, fixed::cosine(day));
    features.set(Feature::WeekdaySine, fixed::sine(week));
    features.set(Feature::WeekdayCosine, fixed::cosine(week));
}

/// log2(1 + count), Q16.
fn log_count(count: u64) -> i32 {
    fixed::log2(count.saturating_add(1))
}

/// The highest; 0, which is what everybody has, where there is none.
fn worst(odds: impl Iterator<Item = i32>) -> i32 {
    odds.max().unwrap_or(0)
}

fn user_id(user: u64) -> u64 {
    fixed::mix(user ^ 0x75)
}

fn area_id(area: u64) -> u64 {
    fixed::mix(area ^ 0x61)
}

fn field_id(field: u64) -> u64 {
    fixed::mix(field ^ 0x66)
}
