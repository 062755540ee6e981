//! `vatic verify`: a receipt offline, or that all replicas of a running cluster agree.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};
use vatic_client::Head;
use vatic_core::hash::Hash;

use crate::agreement::{Demand, Found, GroupFound, compare};
use crate::args::Output;
use crate::exit::Failed;
use crate::keys;
use crate::output;
use crate::receipt_file;
use crate::settings::Settings;

const COLUMNS: [&str; 6] = ["group", "agrees", "compared", "applied", "chain", "state"];

pub(crate) fn receipt(file: &Path, pinned: Option<&Path>, output: Output) -> anyhow::Result<()> {
    let pinned = pinned.map(keys::read).transpose()?;
    let (receipt, positions) = receipt_file::verify(file, pinned.as_ref())?;
    let positions: Vec<Json> = positions
        .iter()
        .map(|at| json!({"group": at.group.0, "index": at.index, "chain": at.digest.to_hex()}))
        .collect();
    let result = json!({
        "verified": true,
        // Without pinned keys: that these positions are the cluster's remains to be believed.
        "signed": pinned.is_some(),
        "transaction_id": receipt.body.tid.to_string(),
        "commit_version": receipt.ts.0,
        "transitions": receipt.body.seal.count,
        "head": receipt.body.seal.head.to_hex(),
        "positions": positions,
    });
    Ok(output::object(output, &result)?)
}

pub(crate) async fn cluster(settings: &Settings, demand: Demand) -> anyhow::Result<()> {
    let client = settings.connect().await?;
    let patience = Duration::from_millis(settings.timeout_ms);
    let found = compare(&client, patience, demand).await?;
    let rows: Vec<Json> = found.groups().map(|group| of_group(group, demand)).collect();
    output::list(settings.output, &COLUMNS, &rows)?;
    failure(&found, demand).map_or(Ok(()), |failed| Err(failed.into()))
}

/// What the command ends with, where not all groups agree.
fn failure(found: &Found, demand: Demand) -> Option<Failed> {
    let wrong: Vec<_> = found.groups().filter(|group| !group.agrees(demand)).collect();
    if wrong.is_empty() {
        return None;
    }
    let told = wrong.iter().flat_map(|group| group.told(demand));
    let told: String = told.map(|told| format!("; {told}")).collect();
    let message =
        format!("{} of {} groups do not agree{told}", wrong.len(), found.groups().count());
    // Replicas at different indexes contradict nothing: that they agree is not shown, no more.
    Some(if found.differs() {
        Failed::verification(message)
    } else if !found.silent.is_empty() {
        let silent: Vec<String> = found.silent.iter().map(u64::to_string).collect();
        Failed::unavailable(format!("{message}: no answer from node {}", silent.join(", ")))
    } else if wrong.iter().all(|group| group.agrees(Demand::Chains)) {
        Failed::unavailable(format!("{message}: they did not come to rest in time"))
    } else {
        Failed::unavailable(format!("{message}: their chains could not be compared in time"))
    })
}

fn of_group(group: &GroupFound, demand: Demand) -> Json {
    let applied = group.seen.replicas.iter().map(|replica| replica.applied_index);
    let chain = group.chains.iter().flat_map(|chains| &chains.replicas);
    let chain = distinct(chain.map(|replica| match replica.head {
        Head::Kept(digest) => Some(digest),
        _ => None,
    }));
    let state = match group.state_at {
        Some((_, digest)) => digest.to_hex(),
        None => distinct(group.seen.replicas.iter().map(|replica| replica.state_digest)),
    };
    json!({
        "group": group.seen.group,
        "agrees": group.agrees(demand),
        "compared": group.compared(),
        "applied": applied.collect::<Vec<u64>>(),
        "chain": chain,
        "state": state,
    })
}

/// Digests of replicas in turn, equal neighbours once.
fn distinct(digests: impl Iterator<Item = Option<Hash>>) -> String {
    let mut found: Vec<String> =
        digests.map(|digest| digest.map_or("-".to_owned(), |hash| hash.to_hex())).collect();
    found.dedup();
    found.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::tests::{Looks, kept, set_aside};
    use crate::exit::Exit;

    fn exit_of(found: &Found, demand: Demand) -> (Exit, String) {
        let failed = failure(found, demand).expect("not all agree");
        (failed.exit, failed.message)
    }

    #[test]
    fn group_that_does_not_rest_agrees_by_its_chain_and_not_where_states_are_demanded() {
        let mut looks = Looks::default();
        looks.look([7, 8, 9], 7, [kept(1); 3]);
        looks.look([9, 10, 9], 9, [kept(1); 3]);
        assert!(failure(&looks.found, Demand::Chains).is_none());
        let row = of_group(looks.group(), Demand::Chains);
        assert_eq!((&row["agrees"], &row["compared"]), (&json!(true), &json!("chain at 9")));
        assert_eq!(row["chain"], Hash([1; 32]).to_hex());
        let (exit, message) = exit_of(&looks.found, Demand::States);
        assert_eq!(exit, Exit::Unavailable);
        assert!(message.ends_with("they did not come to rest in time"), "{message}");
        assert_eq!(of_group(looks.group(), Demand::States)["agrees"], false);
    }

    #[test]
    fn group_at_rest_is_told_by_its_state() {
        let mut looks = Looks::default();
        looks.look([7, 7, 7], 7, [kept(1); 3]);
        looks.look_at_states([7, 7, 7], [5; 3]);
        assert!(failure(&looks.found, Demand::States).is_none());
        let row = of_group(looks.group(), Demand::States);
        assert_eq!(
            (&row["compared"], &row["state"]),
            (&json!("state at 7"), &json!(Hash([5; 32]).to_hex()))
        );
    }

    #[test]
    fn difference_ends_with_5_and_names_its_index() {
        let mut looks = Looks::default();
        looks.look([7, 8, 9], 6, [kept(1), kept(1), kept(2)]);
        let (exit, message) = exit_of(&looks.found, Demand::Chains);
        assert_eq!(exit, Exit::Verification);
        assert!(message.contains("group 1: chains differ at index 6"), "{message}");
        assert!(message.contains(&format!("node 3 has {}", Hash([2; 32]).to_hex())), "{message}");
        assert_eq!(of_group(looks.group(), Demand::Chains)["compared"], Json::Null);
        looks.found_out(set_aside(4));
        let (exit, message) = exit_of(&looks.found, Demand::Chains);
        assert_eq!(exit, Exit::Verification);
        assert!(message.contains("; group 1: node 3 differs from index 4 on: "), "{message}");
    }

    #[test]
    fn replica_that_is_silent_behind_or_out_of_reach_ends_with_3_and_is_named() {
        let mut looks = Looks::default();
        looks.look([7, 8, 9], 7, [kept(1), Head::Dropped, kept(1)]);
        let (exit, message) = exit_of(&looks.found, Demand::Chains);
        assert_eq!(exit, Exit::Unavailable);
        let behind = "group 1: node 1 stands at index 7, of which others keep no head any more";
        assert!(message.contains(behind), "{message}");
        let mut looks = Looks::default();
        looks.look([5, 9, 9], 5, [kept(1); 3]);
        let (exit, message) = exit_of(&looks.found, Demand::Chains);
        assert_eq!(exit, Exit::Unavailable);
        assert!(message.contains("node 1 stands at index 5, and index 9 had been"), "{message}");
        looks.found.silent = vec![3];
        let (exit, message) = exit_of(&looks.found, Demand::Chains);
        assert_eq!(exit, Exit::Unavailable);
        assert!(message.ends_with("no answer from node 3"), "{message}");
    }
}
