//! When models are fitted, promoted and taken back.

/// The rules of the loop. Counts are of labels.
#[derive(Clone, PartialEq, Debug)]
pub struct Rules {
    /// The newest labels that are kept to fit on.
    pub window_labels: usize,
    /// No model before so many.
    pub first_labels: usize,
    /// A challenger is compared over so many, once the champion was fitted on as many.
    pub strict_labels: usize,
    /// A challenger is fitted every so many.
    pub retrain_labels: usize,
    /// A challenger's expected calibration error is at most this.
    pub ece_max: f64,
    /// The newest labels that a calibration follows.
    pub calibration_labels: usize,
    /// It is fitted anew every so many.
    pub recalibrate_labels: usize,
    /// The champion is held against the last good one and the prior over so many.
    pub review_labels: usize,
    /// It goes if its log-loss is more than this times that of the last good one.
    pub revert_ratio: f64,
    /// The collaborative filter must lower log-loss to at most this times what it is without.
    pub factors_ratio: f64,
    /// A label counts at most so many times, however small its propensity was.
    pub weight_max: f64,
}

impl Rules {
    /// What a cluster learns by.
    pub fn production() -> Rules {
        Rules {
            window_labels: 20_000,
            first_labels: 300,
            strict_labels: 2_000,
            retrain_labels: 500,
            ece_max: 0.03,
            calibration_labels: 1_000,
            recalibrate_labels: 50,
            review_labels: 500,
            revert_ratio: 1.02,
            factors_ratio: 0.99,
            weight_max: 50.0,
        }
    }

    /// Small counts that reach each rule soon.
    pub fn simulation() -> Rules {
        Rules {
            window_labels: 1_000,
            first_labels: 100,
            strict_labels: 300,
            retrain_labels: 100,
            ece_max: 0.1,
            calibration_labels: 150,
            recalibrate_labels: 10,
            review_labels: 100,
            ..Rules::production()
        }
    }
}
