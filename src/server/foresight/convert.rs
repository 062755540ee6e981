//! What is foreseen, as clients are told it. In steps, where the inside counts in fixed point.

use super::{
    anomalies::Strange,
    guide::{Foretold, Wants},
    judge::told,
};
use crate::{convert, strategy};
use std::sync::Arc;
use vatic_core::{
    disturbed::Disturbed,
    estimate::{Choice, Resolution},
    expected::STEP,
    finding::{Finding, Unjudged},
    verdict::{Judgement, Verdict},
};
use vatic_proto::v1::{self, resolution::Why, unjudged::Missing, warning_frame::What};

/// Shares of one that a million is.
const MILLION: f64 = 1e6;

pub(crate) fn wants(foresight: Option<v1::Foresight>) -> Wants {
    let v1::Foresight { forecasts, warnings, abort_early, abort_strayed } =
        foresight.unwrap_or_default();
    Wants { forecasts, warnings, abort_early, abort_strayed }
}

/// `groups` take part by now.
pub(crate) fn forecast(foretold: &Foretold, groups: usize) -> v1::ForecastFrame {
    let Foretold { told, conflict_ppm, so_far: judged } = foretold;
    let groups = u32::try_from(groups).unwrap_or(u32::MAX);
    v1::ForecastFrame {
        transitions: told.outlook.prefix as u64,
        expected_transitions: told.outlook.count.round().max(0.0) as u64,
        strayed: told.strayed(),
        expected_participants: told.participants.max(groups),
        exemplars: told.exemplars,
        forecaster: told.forecaster.into(),
        spread: told.outlook.spread,
        conflict_ppm: *conflict_ppm,
        version: told.version,
        so_far: judged.map(|judged| so_far(&judged, told.outlook.prefix as u64)),
    }
}

fn so_far(verdict: &Verdict, transitions: u64) -> v1::SoFar {
    v1::SoFar {
        valid: verdict.valid,
        from_transitions: verdict.prefix,
        transitions,
        distance: steps(verdict.distance),
        score: steps(verdict.score),
        tolerance: told(verdict.tolerance).map(steps),
    }
}

/// That a running stream strays.
pub(crate) fn strayed(judgement: &Judgement) -> v1::WarningFrame {
    v1::WarningFrame {
        what: What::Strayed.into(),
        so_far: Some(so_far(&judgement.verdict, judgement.count)),
        ..v1::WarningFrame::default()
    }
}

/// The rollback of a stream that strays, whose client asked for that.
pub(crate) fn ended_astray(judgement: &Judgement, quarantined: bool) -> v1::Rollback {
    let Judgement { verdict, count, .. } = judgement;
    let cause = match quarantined {
        true => v1::RollbackCause::Quarantined,
        false => v1::RollbackCause::ForecastMismatch,
    };
    let message = format!(
        "after {count} transitions it is not where the forecast after {} had it be: its score is \
         {:.2}, {:.2} is tolerated; ended before its seal, as asked for",
        verdict.prefix,
        steps(verdict.score),
        steps(verdict.tolerance)
    );
    v1::Rollback { cause: cause.into(), message, ..v1::Rollback::default() }
}

pub(crate) fn warning(disturbed: &Disturbed) -> v1::WarningFrame {
    let what = if disturbed.is_overwritten() { What::Overwritten } else { What::Locked };
    v1::WarningFrame {
        what: what.into(),
        key: Some(convert::to_key(&disturbed.key)),
        read_version: disturbed.read.0,
        found_version: disturbed.found.0,
        other_transaction_id: disturbed.writer.map(convert::tid).unwrap_or_default(),
        so_far: None,
    }
}

/// The rollback of a stream that cannot commit any more.
pub(crate) fn stale_read(disturbed: &Disturbed) -> v1::Rollback {
    let Disturbed { key, read, found, .. } = disturbed;
    v1::Rollback {
        cause: v1::RollbackCause::StaleRead.into(),
        key: Some(convert::to_key(key)),
        expected_version: read.0,
        actual_version: found.0,
        message: format!(
            "{key} was read at version {read} and is now at {found}: ended before its seal, as \
             asked for; begin anew"
        ),
        retryable: true,
        ..v1::Rollback::default()
    }
}

/// An outcome with what its body says of how it was judged.
pub(crate) fn with_finding(outcome: v1::Outcome, finding: &Finding) -> v1::Outcome {
    let verdict = finding.judgement().map(verdict);
    let unjudged = finding.unjudged().map(unjudged);
    let resolution = finding.resolution().map(resolution);
    v1::Outcome { verdict, unjudged, resolution, ..outcome }
}

fn resolution(resolution: &Resolution) -> v1::Resolution {
    let why = match resolution.why {
        Choice::Cheapest => Why::Cheapest,
        Choice::Fixed => Why::Fixed,
        Choice::Unrated => Why::Unrated,
    };
    v1::Resolution {
        own: strategy::to_wire(resolution.own).into(),
        chosen: strategy::to_wire(resolution.chosen).into(),
        why: why.into(),
        conflict_ppm: resolution.conflict_ppm,
        latency_us: resolution.latency_us,
        own_latency_us: resolution.own_latency_us,
        freed: resolution.freed,
    }
}

fn unjudged(why: Unjudged) -> v1::Unjudged {
    let missing = match why {
        Unjudged::Unknown => Missing::Exemplars,
        Unjudged::Unlearnt => Missing::History,
        Unjudged::Unfollowed => Missing::Steps,
        Unjudged::Unforecast { .. } => Missing::Forecast,
        Unjudged::Untolerated { .. } => Missing::Tolerance,
    };
    v1::Unjudged { missing: missing.into(), waited_ms: why.waited_ms() }
}

pub(crate) fn verdict(judgement: &Judgement) -> v1::Verdict {
    let Judgement { forecast, count, verdict, .. } = judgement;
    let conditions = verdict.conditions;
    v1::Verdict {
        valid: verdict.valid,
        transitions: verdict.prefix,
        expected_transitions: forecast.count,
        actual_transitions: *count,
        distance: steps(verdict.distance),
        score: steps(verdict.score),
        tolerance: told(verdict.tolerance).map(steps),
        spread: steps(verdict.spread),
        round_trip_us: conditions.rtt_us,
        mean_round_trip_us: conditions.rtt_mean_us,
        in_flight: conditions.in_flight,
    }
}

pub(crate) fn anomaly(strange: &Arc<Strange>) -> v1::Anomaly {
    let found = &strange.found;
    let stray = |(token, more): &(String, f64)| v1::Stray { token: token.clone(), more: *more };
    v1::Anomaly {
        sequence: strange.sequence,
        at_unix_ms: strange.at_unix_ms,
        transaction_id: convert::tid(found.tid),
        class: found.class.clone(),
        verdict: Some(verdict(&found.judgement)),
        p_value: f64::from(found.anomaly.p_ppm) / MILLION,
        drifting: found.anomaly.drifting(),
        strays: found.strays.iter().map(stray).collect(),
        quarantined: found.quarantined,
        running: found.running,
    }
}

/// In steps.
pub(crate) fn steps(score: u64) -> f64 {
    score as f64 / STEP as f64
}
