//! A short soak, and runs of it that must fail.

use vatic_tests::endurance::{self, Plan, SMALL, Sabotage};

fn plan(operations: u64, sabotage: Option<Sabotage>) -> Plan {
    Plan { operations, seed: 1, clients: 32, keys: 32, settings: SMALL.to_vec(), sabotage }
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrites_raise_no_alarm_and_leave_nothing_behind() {
    let report = endurance::run(&plan(14_000, None)).await.unwrap();
    println!("{report:?}");
    assert!(report.purged > 0 && report.scrubbed > 0 && report.untaken > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_never_collected_are_noticed() {
    let found = endurance::run(&plan(14_000, Some(Sabotage::KeepGarbage))).await.unwrap_err();
    assert!(found.contains("bounded would be"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_that_keep_what_they_read_in_view_are_noticed_by_the_pages_that_nobody_reuses() {
    let found = endurance::run(&plan(5_000, Some(Sabotage::KeepViews))).await.unwrap_err();
    println!("{found}");
    assert!(found.contains("State took") && found.contains("bounded would be"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn byte_flipped_under_load_is_noticed() {
    let found = endurance::run(&plan(6_000, Some(Sabotage::FlipByte))).await.unwrap_err();
    assert!(found.contains("an alarm"), "{found}");
}
