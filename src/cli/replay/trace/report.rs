//! What a replay measured.

use serde_json::{Value as Json, json};
use vatic_learn::conflict::measure;

use super::history::Transaction;
use super::run::{Replay, Scored};

/// Of all scored, this share counts as the top.
const TOP: f64 = 0.1;

/// Of the later half, by commit order: one object.
pub(super) fn figures(history: &[Transaction], replay: &Replay) -> Json {
    let from = history.len() / 2;
    let pairs = |said: fn(&Scored) -> f64| -> Vec<(f64, bool)> {
        let both = replay.scored[from..].iter().zip(&history[from..]);
        both.map(|(scored, transaction)| (said(scored), transaction.conflict)).collect()
    };
    let (scores, hotness) = (pairs(|scored| scored.score), pairs(|scored| scored.hotness));
    let conflicts = scores.iter().filter(|(_, conflict)| *conflict).count();
    let (precision, recall) = measure::top_share(&scores, TOP);
    let status = &replay.status;
    let off: Vec<&str> = status.switched_off.iter().map(|group| group.name()).collect();
    json!({
        "n": scores.len(),
        "conflict_rate": rounded(conflicts as f64 / scores.len().max(1) as f64),
        "auc": rounded(measure::auc(&scores)),
        "log_loss": rounded(measure::mean_log_loss(&scores)),
        "log_loss_prior": rounded(measure::mean_log_loss(&pairs(|scored| scored.prior))),
        "log_loss_hotness": rounded(measure::mean_log_loss(&hotness)),
        "ece": rounded(measure::ece(&scores)),
        "precision_at_10": rounded(precision),
        "recall_at_10": rounded(recall),
        "auc_hotness": rounded(measure::auc(&hotness)),
        "ece_by_count": rounded(measure::ece_by_count(&scores)),
        "model_version": status.version,
        "promotions": status.promotions,
        "reverts": status.reverts,
        "mode": format!("{:?}", status.mode).to_lowercase(),
        "features_off": off,
        "cf_active": status.factors_active,
        "cf_log_loss_ratio": status.factors_ratio.map(rounded),
        "typical_duration_s": replay.typical_duration_us as f64 / 1e6,
    })
}

fn rounded(figure: f64) -> f64 {
    // Adding zero takes the sign from a negative one.
    (figure * 1e5).round() / 1e5 + 0.0
}
