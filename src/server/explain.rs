//! `Explain`: what a transaction would meet, record by record, and what it would come to under each
//! strategy. Leaders say what they know, and try its votes out; nothing is changed.

use crate::{
    api::Gateway,
    convert,
    peer::{Origin, Outlook, PeerReply, PeerRequest},
    rollback,
    status::ApiError,
    strategy,
};
use std::collections::BTreeMap;
use tokio::time::Instant;
use vatic_core::{
    codec,
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
    let asked = by_group.iter().map(|(&group, deltas)| async move {
        let request = PeerRequest::Explain { group, user, deltas: deltas.clone() };
        match gateway.cluster.ask(group, request, deadline).await? {
            PeerReply::Outlook(outlook, no) => Ok((group, outlook, no)),
            _ => Err(ApiError::NoLeader { group }),
        }
    });
    let answered = futures::future::try_join_all(asked).await?;
    let mut operations: BTreeMap<&Key, Vec<&Op>> = BTreeMap::new();
    for (_, delta) in by_group.values().flatten() {
        operations.entry(&delta.key).or_default().push(&delta.op);
    }
    let (mut records, mut facts, mut no) = (Vec::new(), Vec::new(), None);
    for (group, outlook, cause) in answered {
        no = no.or(cause);
        for record in outlook {
            let operations = operations.get(&record.key).map_or(&[][..], Vec::as_slice);
            facts.push(known(&record, operations));
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
