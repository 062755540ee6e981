//! What the demonstration prints, and whether it held.

use serde::Serialize;
use serde_json::json;

use super::check::Checked;
use super::tally::Counts;
use crate::args::Output;
use crate::output;

/// The result; its fields in this order are the object that `--output json` prints.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) committed: u64,
    pub(crate) multi_group: u64,
    pub(crate) rolled_back: u64,
    pub(crate) rolled_back_by_cause: std::collections::BTreeMap<&'static str, u64>,
    pub(crate) throughput_tps: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) receipts_verified: u64,
    pub(crate) receipts_failed: u64,
    pub(crate) groups: u64,
    pub(crate) groups_agreed: u64,
    pub(crate) invariant_ok: bool,
    pub(crate) node_restarts: u64,
    pub(crate) unknown: u64,
    pub(crate) seed: u64,
}

impl Report {
    pub(crate) fn new(
        counts: &Counts,
        checked: &Checked,
        seconds: f64,
        node_restarts: u64,
        seed: u64,
    ) -> Report {
        let causes = counts.rolled_back.iter().map(|(cause, count)| (cause.name(), *count));
        Report {
            committed: counts.committed,
            multi_group: counts.multi_group,
            rolled_back: counts.rolled_back_total(),
            rolled_back_by_cause: causes.collect(),
            throughput_tps: rounded(counts.committed as f64 / seconds, 1),
            p50_ms: rounded(counts.commit_ms(0.50), 3),
            p99_ms: rounded(counts.commit_ms(0.99), 3),
            receipts_verified: checked.receipts_verified,
            receipts_failed: checked.receipts_failed + counts.unproved,
            groups: checked.groups,
            groups_agreed: checked.groups_agreed,
            invariant_ok: checked.invariant_ok,
            node_restarts,
            unknown: counts.unknown,
            seed,
        }
    }

    /// Whether all checks hold; if not, what does not.
    pub(crate) fn broken(&self) -> Vec<String> {
        let checks = [
            (self.committed > 0, "nothing was committed".to_owned()),
            (
                self.receipts_verified == self.committed && self.receipts_failed == 0,
                format!(
                    "{} of {} receipts verify, {} do not",
                    self.receipts_verified, self.committed, self.receipts_failed
                ),
            ),
            (self.invariant_ok, "money was not preserved".to_owned()),
            (
                self.groups > 0 && self.groups_agreed == self.groups,
                format!("{} of {} groups agree", self.groups_agreed, self.groups),
            ),
            (self.node_restarts > 0, "no node was killed and brought back".to_owned()),
        ];
        checks.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what).collect()
    }

    pub(crate) fn print(&self, output: Output) -> anyhow::Result<()> {
        if output != Output::Table {
            return Ok(output::line(&serde_json::to_string(self)?)?);
        }
        let mut rows = Vec::new();
        let mut row =
            |what: String, found: String| rows.push(json!({"what": what, "found": found}));
        row("committed".into(), self.committed.to_string());
        let share = 100.0 * self.multi_group as f64 / (self.committed as f64).max(1.0);
        row("over two groups or more".into(), format!("{} ({share:.1} %)", self.multi_group));
        row("rolled back".into(), self.rolled_back.to_string());
        for (cause, count) in &self.rolled_back_by_cause {
            row(format!("  {cause}"), count.to_string());
        }
        row("throughput".into(), format!("{:.0} transactions/s", self.throughput_tps));
        row("commit p50".into(), format!("{:.2} ms", self.p50_ms));
        row("commit p99".into(), format!("{:.2} ms", self.p99_ms));
        let verified = format!("{} of {}", self.receipts_verified, self.committed);
        row("receipts verified".into(), verified);
        row("groups agreed".into(), format!("{} of {}", self.groups_agreed, self.groups));
        let money = if self.invariant_ok { "preserved" } else { "NOT preserved" };
        row("money".into(), money.into());
        row("nodes killed and back".into(), self.node_restarts.to_string());
        if self.unknown > 0 {
            row("outcome unknown".into(), self.unknown.to_string());
        }
        Ok(output::line(&output::table(&["what", "found"], &rows))?)
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked() -> Checked {
        Checked {
            receipts_verified: 2,
            receipts_failed: 0,
            groups: 5,
            groups_agreed: 5,
            invariant_ok: true,
            faults: vec![],
        }
    }

    fn report(change: impl FnOnce(&mut Counts, &mut Checked)) -> Report {
        let mut counts = super::super::tally::Tally::new().counts();
        counts.committed = 2;
        let mut checked = checked();
        change(&mut counts, &mut checked);
        Report::new(&counts, &checked, 0.5, 1, 9)
    }

    #[test]
    fn sound_run_breaks_nothing() {
        let report = report(|_, _| ());
        assert_eq!(report.broken(), Vec::<String>::new());
        assert_eq!(report.throughput_tps, 4.0);
    }

    #[test]
    fn each_check_that_fails_is_named() {
        assert_eq!(report(|_, checked| checked.receipts_verified = 1).broken().len(), 1);
        assert_eq!(report(|counts, _| counts.unproved = 1).broken().len(), 1);
        assert_eq!(report(|_, checked| checked.groups_agreed = 4).broken().len(), 1);
        let broken = report(|_, checked| checked.invariant_ok = false).broken();
        assert!(broken[0].contains("money"), "{broken:?}");
    }

    #[test]
    fn json_has_the_documented_fields() {
        let json = serde_json::to_value(report(|_, _| ())).unwrap();
        for field in [
            "committed",
            "multi_group",
            "rolled_back",
            "throughput_tps",
            "p50_ms",
            "p99_ms",
            "receipts_verified",
            "receipts_failed",
            "groups",
            "groups_agreed",
            "invariant_ok",
            "node_restarts",
        ] {
            assert!(!json[field].is_null(), "{field}");
        }
    }
}
