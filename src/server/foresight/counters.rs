//! What foreseeing counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, core::Collector};

/// Each series is looked up once, at the start.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Of all nodes.
    pub(crate) learnt: IntCounter,
    /// Of all nodes: what went from group 0 before it was learnt here.
    pub(crate) missed: IntCounter,
    /// Sealed here, and in group 0 by now.
    pub(crate) shared: IntCounter,
    /// Sealed while group 0 was given no more, or the learner had enough to do.
    pub(crate) left_out: IntCounter,
    /// Too long, or too many different steps.
    pub(crate) oversized: IntCounter,
    pub(crate) forecast: IntCounter,
    /// Too little was known.
    pub(crate) unknown: IntCounter,
    /// Asked for while forecasters had no room.
    pub(crate) busy: IntCounter,
    pub(crate) valid: IntCounter,
    pub(crate) invalid: IntCounter,
    /// The forecast was not there at the seal.
    pub(crate) late: IntCounter,
    /// Something else was missing at the seal.
    pub(crate) unjudged: IntCounter,
    /// Of both those that did not go on.
    pub(crate) refused: IntCounter,
    /// Tried out first: nobody known was in the way by then, or somebody still was.
    pub(crate) freed: IntCounter,
    pub(crate) blocked: IntCounter,
    pub(crate) overwritten: IntCounter,
    pub(crate) locked: IntCounter,
    /// Running streams that were not where their last forecast had them be.
    pub(crate) strayed: IntCounter,
    /// Groups that a forecast named: asked ahead, or just asked for another stream.
    pub(crate) warmed: IntCounter,
    pub(crate) warm: IntCounter,
    /// Those of both that the sealed stream had indeed.
    pub(crate) warmed_rightly: IntCounter,
    /// Questions to leaders beside streams, and what streams asked in them: whether their reads
    /// stand, and how likely they are to meet a conflict.
    pub(crate) rounds: IntCounter,
    pub(crate) looks: IntCounter,
    pub(crate) weighs: IntCounter,
    /// Records that streams under `adaptive` read: leaders were asked whether a turn is cheaper.
    pub(crate) turns_asked: IntCounter,
    /// Nobody was, since it was foreseen that the stream would not write there.
    pub(crate) turns_spared: IntCounter,
    /// Of those the ones that the sealed stream wrote all the same.
    pub(crate) turns_missed: IntCounter,
    /// Of this node's forecasters.
    pub(crate) version: IntGauge,
    /// The number of the newest course in group 0, as far as this node knows.
    pub(crate) newest: IntGauge,
    all: [IntCounterVec; 8],
}

impl Counters {
    pub(crate) fn new() -> Counters {
        let vec = |name: &str, what: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, what), &[label]).expect("the name is sound")
        };
        let streams =
            vec("vatic_learnt_streams_total", "Finished streams, by what came of them.", "result");
        let gauge = |name: &str, what: &str| IntGauge::new(name, what).expect("the name is sound");
        let forecasts = vec("vatic_forecasts_total", "Forecasts asked for by streams.", "result");
        let verdicts = vec("vatic_verdicts_total", "Sealed streams against forecasts.", "verdict");
        let warnings =
            vec("vatic_warnings_total", "Running streams: reads disturbed, ways left.", "what");
        let resolved =
            vec("vatic_resolved_total", "Invalid transactions tried out first.", "result");
        let ahead = vec(
            "vatic_participants_ahead_total",
            "Groups that forecasts named before streams touched them.",
            "result",
        );
        let rounds = vec(
            "vatic_foresee_rounds_total",
            "Questions to leaders beside streams, and what streams asked in them.",
            "what",
        );
        let turns = vec(
            "vatic_adaptive_turns_total",
            "Records that streams under `adaptive` read: asked about, or spared.",
            "result",
        );
        Counters {
            learnt: streams.with_label_values(&["learnt"]),
            missed: streams.with_label_values(&["missed"]),
            shared: streams.with_label_values(&["shared"]),
            left_out: streams.with_label_values(&["left_out"]),
            oversized: streams.with_label_values(&["oversized"]),
            forecast: forecasts.with_label_values(&["made"]),
            unknown: forecasts.with_label_values(&["unknown"]),
            busy: forecasts.with_label_values(&["busy"]),
            valid: verdicts.with_label_values(&["valid"]),
            invalid: verdicts.with_label_values(&["invalid"]),
            late: verdicts.with_label_values(&["late"]),
            unjudged: verdicts.with_label_values(&["unjudged"]),
            refused: verdicts.with_label_values(&["refused"]),
            freed: resolved.with_label_values(&["freed"]),
            blocked: resolved.with_label_values(&["blocked"]),
            overwritten: warnings.with_label_values(&["overwritten"]),
            locked: warnings.with_label_values(&["locked"]),
            strayed: warnings.with_label_values(&["strayed"]),
            warmed: ahead.with_label_values(&["asked"]),
            warm: ahead.with_label_values(&["fresh"]),
            warmed_rightly: ahead.with_label_values(&["took_part"]),
            rounds: rounds.with_label_values(&["questions"]),
            looks: rounds.with_label_values(&["looks"]),
            weighs: rounds.with_label_values(&["odds"]),
            turns_asked: turns.with_label_values(&["asked"]),
            turns_spared: turns.with_label_values(&["spared"]),
            turns_missed: turns.with_label_values(&["missed"]),
            version: gauge("vatic_forecasters_version", "The last course learnt here."),
            newest: gauge("vatic_courses_newest", "The newest course known of here."),
            all: [streams, forecasts, verdicts, warnings, resolved, ahead, rounds, turns],
        }
    }

    /// For the node's registry.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let gauges = [&self.version, &self.newest];
        let gauges = gauges.map(|gauge| Box::new(gauge.clone()) as Box<dyn Collector>);
        let counters = self.all.iter().map(|all| Box::new(all.clone()) as Box<dyn Collector>);
        counters.chain(gauges).collect()
    }
}
