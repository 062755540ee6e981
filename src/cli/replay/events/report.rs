//! The figures as one object, and as tables of it.

use serde_json::{Map, Value as Json, json};
use vatic_core::expected::STEP;
use vatic_core::tolerance::ALPHA_PPM;

use super::QUARTERS;
use super::alarms::{Alarms, Strange, rate, windows_within_half, worst_window};
use super::errors::Errors;
use super::history::History;
use super::injected::KINDS;
use super::looks::Looks;
use super::study::{Online, Study};
use crate::args::Output;
use crate::output;

/// All that was measured.
pub(crate) struct Found {
    pub(crate) fixed: Errors,
    pub(crate) injected: [[f64; QUARTERS.len()]; KINDS.len()],
    pub(crate) alarms: Alarms,
    pub(crate) online: Online,
}

pub(crate) fn document(history: &History, study: &Study, found: &Found) -> Json {
    let alpha = f64::from(ALPHA_PPM) / 1e6;
    let names = study.panel.names();
    let auc = found.injected.iter().zip(KINDS);
    let auc: Map<String, Json> =
        auc.map(|(areas, (_, name))| (name.to_owned(), rounded(areas))).collect();
    let decided = &found.alarms.decided;
    json!({
        "n_train": history.train,
        "n_test": history.cases.len() - history.train,
        "forecasters": by_name(&names, &found.fixed),
        "champion": names[study.champion],
        "progressive_error": progressive(study, &names),
        "alpha": alpha,
        "alarm_rate": round(rate(decided)),
        "worst_window": rounded(&worst_window(decided)),
        "windows_within_half": round(windows_within_half(decided, alpha)),
        "decisions_before": found.alarms.before,
        "drifting": found.alarms.drifting,
        "on_the_way": on_the_way(&found.alarms.looks),
        "auc": auc,
        "strangest": found.alarms.strangest.iter().map(strange).collect::<Vec<Json>>(),
        "online": {
            "forecasters": by_name(&names, &found.online.errors),
            "alarm_rate": round(rate(&found.online.alarms)),
            "worst_window": rounded(&worst_window(&found.online.alarms)),
        },
    })
}

/// JSON for programs; for people one table a topic.
pub(crate) fn print(output: Output, document: &Json) -> anyhow::Result<()> {
    if !matches!(output, Output::Table) {
        return Ok(output::object(output, document)?);
    }
    let cuts = ["25 %", "50 %", "75 %"];
    let mut rows = Vec::new();
    for (name, of) in document["forecasters"].as_object().into_iter().flatten() {
        rows.push(row(name, "relative error", &of["rel_l2"]));
        rows.push(row(name, "exact", &of["exact"]));
    }
    for (name, areas) in document["auc"].as_object().into_iter().flatten() {
        rows.push(row(name, "detection (AUC)", areas));
    }
    output::line(&output::table(&[&["name", "what"][..], &cuts].concat(), &rows))?;
    let shown = ["n_train", "n_test", "champion", "alarm_rate", "worst_window"];
    let rows: Vec<Json> =
        shown.iter().map(|name| json!({"name": name, "value": document[*name]})).collect();
    output::line(&output::table(&["name", "value"], &rows))?;
    let strangest = document["strangest"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(output::line(&output::table(&["case", "score", "p", "more", "less"], strangest))?)
}

fn row(name: &str, what: &str, values: &Json) -> Json {
    let [one, two, three] = [0, 1, 2].map(|at| &values[at]);
    json!({"name": name, "what": what, "25 %": one, "50 %": two, "75 %": three})
}

fn on_the_way(looks: &Looks) -> Json {
    let by_steps = looks.by_steps.iter().map(|(steps, strayed)| {
        let found = json!({"looks": strayed.len(), "alarm_rate": round(rate(strayed))});
        (steps.to_string(), found)
    });
    let all = looks.all();
    json!({
        "looks": all.len(),
        "alarm_rate": round(rate(&all)),
        "cases_alarmed": round(rate(&looks.cases)),
        "by_steps": Json::Object(by_steps.collect()),
    })
}

fn by_name(names: &[&str], errors: &Errors) -> Json {
    let of = names.iter().zip(errors.relative.iter().zip(&errors.exact));
    let each = of.map(|(name, (relative, exact))| {
        ((*name).to_owned(), json!({"rel_l2": rounded(relative), "exact": rounded(exact)}))
    });
    Json::Object(each.collect())
}

fn progressive(study: &Study, names: &[&str]) -> Json {
    let errors = names.iter().zip(&study.progressive);
    Json::Object(errors.map(|(name, error)| ((*name).to_owned(), json!(round(*error)))).collect())
}

fn strange(strange: &Strange) -> Json {
    let words = |more: bool| -> Vec<String> {
        let some = strange.more.iter().filter(|(_, by)| (*by > 0.0) == more);
        some.map(|(name, by)| format!("{name} ({:+})", round(*by))).collect()
    };
    json!({
        "case": strange.case,
        "score": round(strange.verdict.score as f64 / STEP as f64),
        "tolerance": round(strange.verdict.tolerance as f64 / STEP as f64),
        "p": round(f64::from(strange.anomaly.p_ppm) / 1e6),
        "more": words(true),
        "less": words(false),
    })
}

fn rounded(values: &[f64]) -> Json {
    json!(values.iter().map(|value| round(*value)).collect::<Vec<f64>>())
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
