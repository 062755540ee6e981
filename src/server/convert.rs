//! The one place where generated types and the core's meet.

use crate::{
    foresight,
    peer::{NodeLearnt, NodeStatus, Outlook},
    policy_service, rollback,
    status::ApiError,
    time,
};
use std::collections::BTreeMap;
use vatic_core::{
    codec,
    conflict::{Advice, Course, Group, Term, fixed},
    delta::{Delta, Expect, Op},
    hash::{Hash, Hasher},
    history::{Filter, Row, Strayed, What},
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    read::Record,
    receipt::Receipt,
    request::RequestId,
    ring::RingSpec,
    shelf::SharedModel,
    strategy::Basis,
    value::{Fields, Scalar, Value},
};
use vatic_proto::v1::{self, delta::Operation, expect_operation::Condition, value::Kind};

/// Longest request id, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;

pub(crate) fn key(key: Option<v1::Key>) -> Result<Key, ApiError> {
    let v1::Key { collection, partition, sort } = key.unwrap_or_default();
    Key::new(&collection, &partition, &sort).map_err(ApiError::BadKey)
}

pub(crate) fn range(range: &v1::ScanRange) -> Result<KeyRange, ApiError> {
    let range = KeyRange {
        collection: range.collection.clone(),
        partition: range.partition.clone(),
        from: range.from_sort.clone(),
        to: (!range.to_sort.is_empty()).then(|| range.to_sort.clone()),
    };
    range.check().map_err(ApiError::BadKey)?;
    Ok(range)
}

pub(crate) fn request_id(
    request: v1::RequestId,
    principal: String,
    ahead_max_ms: u64,
) -> Result<RequestId, ApiError> {
    let bad = |what| Err(ApiError::BadRequestId { what });
    if request.id.is_empty() || request.id.len() > REQUEST_ID_BYTES_MAX {
        return bad("a request id has 1 to 64 bytes");
    }
    if Key::new("request", &request.route_key, "").is_err() {
        return bad("a request id's route_key must be a partition");
    }
    let mint = Timestamp(request.mint_unix_ms.saturating_mul(1_000));
    if mint > time::now().plus_us(ahead_max_ms * 1_000) {
        return bad("a request id's mint_unix_ms lies more than clock_ahead_max_ms in the future");
    }
    Ok(RequestId { principal, id: request.id.to_vec(), route: request.route_key, mint })
}

pub(crate) fn hash(bytes: &[u8], what: &'static str) -> Result<Hash, ApiError> {
    let wrong = || ApiError::BadFrame {
        what: format!("{what} has {} bytes, a digest has 32", bytes.len()),
    };
    bytes.try_into().map(Hash).map_err(|_| wrong())
}

/// A transition's delta in the core's encoding: as sent, or encoded from the structured form.
pub(crate) fn delta_bytes(transition: v1::Transition) -> Result<Vec<u8>, ApiError> {
    let seq = transition.seq;
    match transition.body {
        Some(v1::transition::Body::Encoded(bytes)) => Ok(bytes.to_vec()),
        Some(v1::transition::Body::Delta(sent)) => Ok(codec::encode(&delta(sent, seq)?)),
        None => Err(ApiError::BadDelta { seq, what: "it has neither delta nor encoded".into() }),
    }
}

/// Digest of what a one-shot request asks for, the same for each attempt.
pub(crate) fn content(deltas: &[Vec<u8>]) -> Hash {
    let hasher = Hasher::new("vatic/content/v1").u64(deltas.len() as u64);
    deltas.iter().fold(hasher, |hasher, delta| hasher.bytes(delta)).finish()
}

pub(crate) fn record_read(record: Record, pending: bool) -> v1::RecordRead {
    let key = Some(to_key(&record.key));
    v1::RecordRead { key, record: to_record(record), pending, advice: None }
}

/// Advice, and the version of the model that was asked.
pub(crate) fn advice((advice, model_version): (Advice, u64)) -> v1::Advice {
    let Advice { course, score_ppm, wait_us } = advice;
    v1::Advice { in_turn: course == Course::InTurn, score_ppm, wait_us, model_version }
}

/// An event of a group's history, if it is told: a conflict, or what strayed from its forecast.
pub(crate) fn conflict(group: GroupId, place: u64, row: &Row) -> Option<v1::Conflict> {
    let event = &row.event;
    let foreseen = event.foreseen.as_ref();
    let (cause, strayed) = match &event.what {
        What::Accepted { .. } => return None,
        What::Conflict(cause) => (Some(cause), None),
        What::Strayed(strayed) => (strayed.rolled_back.as_ref(), Some(strayed)),
    };
    Some(v1::Conflict {
        at_unix_us: event.at_us,
        node_id: row.node,
        group: group.0,
        rollback: cause.map(rollback::of_cause),
        strayed: strayed.map(|strayed| self::strayed(strayed)),
        transaction_id: tid(event.tid),
        claimed: event.claimed,
        in_turn: event.in_turn,
        score_ppm: foreseen.and_then(|foreseen| foreseen.score_ppm),
        model_version: foreseen.map_or(0, |foreseen| foreseen.model_version),
        lost_us: event.took_us,
        place,
    })
}

fn strayed(strayed: &Strayed) -> v1::Strayed {
    let Strayed { class, score, tolerance, validation, .. } = strayed;
    v1::Strayed {
        class: *class,
        score: foresight::convert::steps(*score),
        tolerance: foresight::convert::steps(*tolerance),
        validation: policy_service::told(*validation).into(),
    }
}

/// Which conflicts a client asks for.
pub(crate) fn filter(
    key: Option<v1::Key>,
    transaction_id: Option<prost::bytes::Bytes>,
) -> Result<Filter, ApiError> {
    let key = key.map(|sent| self::key(Some(sent))).transpose()?;
    let bad = || ApiError::BadFrame { what: "transaction_id is no transaction's".into() };
    let tid = transaction_id.map(|bytes| Tid::from_bytes(&bytes).ok_or_else(bad)).transpose()?;
    Ok(Filter { key, tid })
}

/// What one record of a transaction would meet.
pub(crate) fn outlook(group: GroupId, outlook: Outlook) -> v1::RecordOutlook {
    let reasons = outlook.reasons.into_iter().map(|(of, share)| v1::Reason {
        of: of.name().into(),
        log_odds: f64::from(share) / 65_536.0,
    });
    v1::RecordOutlook {
        key: Some(to_key(&outlook.key)),
        group: group.0,
        score_ppm: outlook.score_ppm,
        in_turn: outlook.in_turn,
        wait_us: outlook.wait_us,
        typical_us: outlook.typical_us,
        ahead: outlook.ahead,
        undecided_transaction_id: outlook.holder.map(tid).unwrap_or_default(),
        reasons: reasons.collect(),
        model_version: outlook.model_version,
    }
}

/// A node's conflict model.
pub(crate) fn model(node: u32, known: &NodeLearnt) -> v1::Model {
    let switched_off = known.switched_off.iter().map(|group| group.name().to_owned());
    v1::Model {
        node_id: u64::from(node),
        mode: known.mode.clone(),
        version: known.version,
        labels: known.labels,
        passed_over: known.passed_over,
        promotions: known.promotions,
        reverts: known.reverts,
        switched_off: switched_off.collect(),
        factors_active: known.factors_active,
        shared: known.shared,
        forecasters_version: known.forecasters,
    }
}

pub(crate) fn shared_model(shared: &SharedModel) -> v1::SharedModel {
    let units = |q16: i32| f64::from(q16) / f64::from(fixed::ONE);
    let model = &shared.model;
    let used = model.terms.iter().enumerate().filter(|(_, term)| term.weight != 0);
    let weight = |(at, term): (usize, &Term)| v1::Weight {
        feature: at as u32,
        of: Group::of(at).name().to_owned(),
        log_odds: units(term.weight),
        low: units(term.low),
        high: units(term.high),
    };
    v1::SharedModel {
        version: shared.version,
        node_id: shared.node,
        labels: shared.labels,
        bias: units(model.bias),
        weights: used.map(weight).collect(),
        factors_active: model.factors.is_some(),
    }
}

/// `None` where the record is absent.
pub(crate) fn to_record(record: Record) -> Option<v1::Record> {
    let fields = record.fields?.into_iter().map(|(name, value)| (name, to_value(value)));
    Some(v1::Record {
        key: Some(to_key(&record.key)),
        fields: fields.collect(),
        version: record.version.0,
    })
}

pub(crate) fn receipt(receipt: &Receipt) -> v1::Receipt {
    let body = &receipt.body;
    v1::Receipt {
        encoded: codec::encode(receipt).into(),
        transaction_id: tid(body.tid),
        seed: body.seal.seed.0.to_vec().into(),
        count: body.seal.count,
        head: body.seal.head.0.to_vec().into(),
        commit_version: receipt.ts.0,
        participants: body.groups().iter().map(|group| group.0).collect(),
        isolation: match body.basis {
            Basis::Reads => v1::Isolation::StrictSerializable.into(),
            Basis::Snapshot(_) => v1::Isolation::Snapshot.into(),
            Basis::Rebase | Basis::Nothing => v1::Isolation::Unspecified.into(),
        },
        basis: match body.basis {
            Basis::Reads => v1::Basis::Reads.into(),
            Basis::Rebase => v1::Basis::Rebase.into(),
            Basis::Snapshot(_) => v1::Basis::Snapshot.into(),
            Basis::Nothing => v1::Basis::Nothing.into(),
        },
        snapshot: body.basis.snapshot().unwrap_or_default().0,
    }
}

pub(crate) fn tid(tid: Tid) -> prost::bytes::Bytes {
    tid.to_bytes().to_vec().into()
}

/// The cluster's replicas by group, from all nodes' accounts; a node that is `None` did not answer.
pub(crate) fn groups(
    statuses: &BTreeMap<u32, Option<NodeStatus>>,
    holders: impl Fn(u32) -> Vec<u32>,
    groups: u32,
) -> Vec<v1::Group> {
    (0..=groups).map(|group| group_status(group, statuses, &holders(group))).collect()
}

pub(crate) fn ring(spec: &RingSpec) -> v1::Ring {
    v1::Ring {
        epoch: spec.epoch,
        virtual_nodes: spec.virtual_nodes,
        groups: spec.groups.iter().map(|group| group.0).collect(),
    }
}

fn group_status(
    group: u32,
    statuses: &BTreeMap<u32, Option<NodeStatus>>,
    holders: &[u32],
) -> v1::Group {
    let mut nodes = holders.to_vec();
    nodes.sort_unstable();
    let (mut term, mut leader_node) = (0, 0);
    let mut replicas = Vec::with_capacity(nodes.len());
    for node in nodes {
        let known = statuses.get(&node).and_then(Option::as_ref);
        let replica = known
            .and_then(|status| status.replicas.iter().find(|replica| replica.group.0 == group));
        if let Some(replica) = replica.filter(|replica| replica.term >= term) {
            term = replica.term;
            leader_node = replica.leader.map_or(leader_node, u64::from);
        }
        replicas.push(replica_status(node, replica));
    }
    // A leader that hears no quorum, whom a follower may hear all the same.
    let denies = |replica: &v1::Replica| {
        replica.node_id == leader_node
            && replica.term == term
            && replica.role() == v1::replica::Role::Candidate
    };
    if replicas.iter().any(denies) {
        leader_node = 0;
    }
    v1::Group { group, leader_node, term, replicas }
}

fn replica_status(node: u32, status: Option<&crate::peer::ReplicaStatus>) -> v1::Replica {
    let node_id = u64::from(node);
    let Some(status) = status else { return v1::Replica { node_id, ..v1::Replica::default() } };
    let role = match status.leader {
        Some(leader) if leader == node => v1::replica::Role::Leader,
        Some(_) => v1::replica::Role::Follower,
        None => v1::replica::Role::Candidate,
    };
    v1::Replica {
        node_id,
        generation: status.generation,
        role: role.into(),
        reachable: true,
        term: status.term,
        last_log_index: status.last_log_index,
        applied_index: status.applied_index,
        chain_digest: status.chain_digest.map_or_else(Vec::new, Vec::from).into(),
        state_digest: status.state_digest.map_or_else(Vec::new, Vec::from).into(),
        undecided: status.undecided,
        clock: status.clock.0,
        records: status.records,
        divergence: status
            .divergence
            .as_ref()
            .map(|found| v1::Divergence { index: found.index, what: found.what.clone() }),
    }
}

fn delta(delta: v1::Delta, seq: u64) -> Result<Delta, ApiError> {
    let key = key(delta.key)?;
    let bad = |what: &str| ApiError::BadDelta { seq, what: what.into() };
    let op = match delta.operation.ok_or_else(|| bad("it has no operation"))? {
        Operation::Put(put) => Op::Put(fields(put, seq)?),
        Operation::Merge(merge) => Op::Merge(fields(merge, seq)?),
        Operation::Add(add) => Op::Add { field: add.field, by: add.amount },
        Operation::Append(append) => {
            Op::Append { field: append.field, values: scalars(append.values, seq)? }
        }
        Operation::Union(union) => {
            Op::Union { field: union.field, values: scalars(union.values, seq)? }
        }
        Operation::RemoveField(remove) => Op::RemoveField(remove.field),
        Operation::Delete(_) => Op::Delete,
        Operation::Expect(expect) => Op::Expect(expectation(expect, seq)?),
    };
    Ok(Delta { key, op })
}

fn expectation(expect: v1::ExpectOperation, seq: u64) -> Result<Expect, ApiError> {
    let bad = |what: &str| ApiError::BadDelta { seq, what: what.into() };
    match expect.condition {
        Some(Condition::Version(version)) => Ok(Expect::Version(Timestamp(version))),
        Some(Condition::FieldEquals(equals)) => {
            let value = equals.value.map(|expected| value(expected, seq)).transpose()?;
            Ok(Expect::Field { field: equals.field, value })
        }
        Some(Condition::Absent(true)) => Ok(Expect::Absent),
        Some(Condition::Present(true)) => Ok(Expect::Present),
        Some(_) => Err(bad("absent and present must be true where they are set")),
        None => Err(bad("an expectation has a condition")),
    }
}

fn fields(fields: v1::Fields, seq: u64) -> Result<Fields, ApiError> {
    fields.fields.into_iter().map(|(name, sent)| Ok((name, value(sent, seq)?))).collect()
}

fn value(value: v1::Value, seq: u64) -> Result<Value, ApiError> {
    match value.kind {
        Some(Kind::ListValue(list)) => Ok(Value::List(scalars(list.values, seq)?)),
        _ => scalar(value, seq).map(Value::One),
    }
}

fn scalars(values: Vec<v1::Value>, seq: u64) -> Result<Vec<Scalar>, ApiError> {
    values.into_iter().map(|value| scalar(value, seq)).collect()
}

fn scalar(value: v1::Value, seq: u64) -> Result<Scalar, ApiError> {
    let bad = |what: &str| Err(ApiError::BadDelta { seq, what: what.into() });
    match value.kind {
        Some(Kind::BoolValue(value)) => Ok(Scalar::Bool(value)),
        Some(Kind::IntValue(value)) => Ok(Scalar::I64(value)),
        Some(Kind::DoubleValue(value)) if value.is_nan() => bad("a value is NaN"),
        Some(Kind::DoubleValue(value)) => Ok(Scalar::F64(value.to_bits())),
        Some(Kind::StringValue(value)) => Ok(Scalar::String(value)),
        Some(Kind::BytesValue(value)) => Ok(Scalar::Bytes(value.to_vec())),
        Some(Kind::ListValue(_)) => bad("a list holds a list"),
        None => bad("a value has no kind"),
    }
}

pub(crate) fn to_key(key: &Key) -> v1::Key {
    v1::Key {
        collection: key.collection.clone(),
        partition: key.partition.clone(),
        sort: key.sort.clone(),
    }
}

fn to_value(value: Value) -> v1::Value {
    match value {
        Value::One(scalar) => to_scalar(scalar),
        Value::List(values) => {
            let values = values.into_iter().map(to_scalar).collect();
            v1::Value { kind: Some(Kind::ListValue(v1::ListValue { values })) }
        }
    }
}

fn to_scalar(scalar: Scalar) -> v1::Value {
    let kind = match scalar {
        Scalar::Bool(value) => Kind::BoolValue(value),
        Scalar::I64(value) => Kind::IntValue(value),
        Scalar::F64(bits) => Kind::DoubleValue(f64::from_bits(bits)),
        Scalar::String(value) => Kind::StringValue(value),
        Scalar::Bytes(value) => Kind::BytesValue(value.into()),
    };
    v1::Value { kind: Some(kind) }
}
