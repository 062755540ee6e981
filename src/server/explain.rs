//! `Explain`: what a transaction would meet, record by record, and what it would come to under each
//! strategy. Leaders say what they know, and try its votes out; nothing is changed.

use crate::{
    api::Gateway,
    cluster::Cluster,
    convert,
    peer::{Origin, Outlook, PeerReply, PeerRequest},
    rollback,
    status::ApiError,
    strategy,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;
use vatic_core::{
    codec,
    command::Cause,
    delta::{Delta, Op},
    estimate::{self, Estimate, Facts},
    id::GroupId,
    key::Key,
    strategy::Strategy,
};
use vatic_proto::v1;

/// Of one question: each record is weighed by all of them.
const TRANSITIONS_MAX: u64 = 1_000;

type Numbered = (u64, Delta);
/// What a group's leader knows of its records, and why its vote would be a No.
type Answered = (GroupId, Vec<Outlook>, Option<Cause>);

pub(crate) async fn explain(
    gateway: &Gateway,
    principal: &str,
    transitions: Vec<v1::Transition>,
    deadline: Instant,
) -> Result<v1::ExplainResponse, ApiError> {
    let (max, actual) = (TRANSITIONS_MAX, transitions.len() as u64);
    if actual > max {
        return Err(ApiError::Limit { limit: "explained_transitions_max", max, actual });
    }
    let user = Origin::of(principal, 0).user;
    let mut by_group: BTreeMap<GroupId, Vec<Numbered>> = BTreeMap::new();
    for transition in transitions {
        let seq = transition.seq;
        let bytes = convert::delta_bytes(transition)?;
        gateway.check_delta(&bytes)?;
        let bad = |_| ApiError::BadDelta { seq, what: "it does not decode".into() };
        let delta: Delta = codec::decode(&bytes).map_err(bad)?;
        let group = gateway.group_of(&delta.key.partition)?;
        by_group.entry(group).or_default().push((seq, delta));
    }
    let answered = ask(&gateway.cluster, user, &by_group, deadline).await?;
    let facts = facts(&by_group, &answered);
    let (mut records, mut no) = (Vec::new(), None);
    for (group, outlook, cause) in answered {
        no = no.or(cause);
        for record in outlook {
            records.push((record.key.clone(), convert::outlook(group, record)));
        }
    }
    records.sort_by(|(one, _), (other, _)| one.cmp(other));
    let estimates = estimate::estimates(&facts);
    let cheapest = estimate::cheapest(&estimates);
    Ok(v1::ExplainResponse {
        score_ppm: estimate::any(facts.iter().map(|facts| facts.score_ppm)),
        records: records.into_iter().map(|(_, record)| record).collect(),
        strategies: estimates.iter().map(|estimate| told(estimate, cheapest)).collect(),
        rollback: no.as_ref().map(rollback::of_cause),
    })
}

/// What a transaction with these deltas would come to under each strategy, by what leaders know.
pub(crate) async fn estimates(
    cluster: &Arc<Cluster>,
    user: u64,
    by_group: &BTreeMap<GroupId, Vec<Numbered>>,
    deadline: Instant,
) -> Result<Vec<Estimate>, ApiError> {
    let answered = ask(cluster, user, by_group, deadline).await?;
    Ok(estimate::estimates(&facts(by_group, &answered)))
}

async fn ask(
    cluster: &Arc<Cluster>,
    user: u64,
    by_group: &BTreeMap<GroupId, Vec<Numbered>>,
    deadline: Instant,
) -> Result<Vec<Answered>, ApiError> {
    let asked = by_group.iter().map(|(&group, deltas)| async move {
        let request = PeerRequest::Explain { group, user, deltas: deltas.clone() };
        match cluster.ask(group, request, deadline).await? {
            PeerReply::Outlook(outlook, no) => Ok((group, outlook, no)),
            _ => Err(ApiError::NoLeader { group }),
        }
    });
    futures::future::try_join_all(asked).await
}

/// What is known of each record, in the order of the answers.
fn facts(by_group: &BTreeMap<GroupId, Vec<Numbered>>, answered: &[Answered]) -> Vec<Facts> {
    let mut operations: BTreeMap<&Key, Vec<&Op>> = BTreeMap::new();
    for (_, delta) in by_group.values().flatten() {
        operations.entry(&delta.key).or_default().push(&delta.op);
    }
    let of = |record: &Outlook| {
        known(record, operations.get(&record.key).map_or(&[][..], Vec::as_slice))
    };
    answered.iter().flat_map(|(_, outlook, _)| outlook).map(of).collect()
}

fn known(record: &Outlook, operations: &[&Op]) -> Facts {
    Facts {
        score_ppm: record.score_ppm,
        wait_us: record.wait_us,
        typical_us: record.typical_us,
        others: record.others,
        ..Facts::of_operations(operations)
    }
}

fn told(estimate: &Estimate, cheapest: Option<Strategy>) -> v1::StrategyOutlook {
    let Estimate { strategy, conflict_ppm, latency_us, hurts } = *estimate;
    v1::StrategyOutlook {
        strategy: strategy::to_wire(strategy).into(),
        conflict_ppm,
        latency_us,
        hurts,
        cheapest: cheapest == Some(strategy),
    }
}
