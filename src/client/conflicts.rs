//! What the cluster foresees of conflicts, what became of it, and what it learnt.

use tonic::Streaming;
use vatic_core::codec;
use vatic_core::delta::Delta;
use vatic_core::id::Tid;
use vatic_core::key::Key;
use vatic_core::policy::Validation;
use vatic_core::strategy::Strategy;
use vatic_proto::v1;

use crate::client::Client;
use crate::convert::{self, Malformed};
use crate::error::ClientError;
use crate::outcome::Rollback;
use crate::pool::Node;
use crate::submit;

/// The newest conflicts, as the leaders saw them and the groups keep them.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflicts {
    /// The newest first.
    pub conflicts: Vec<Conflict>,
    /// Groups whose leader did not answer.
    pub unreachable: Vec<u32>,
}

/// Conflicts as they come into the groups' histories.
#[derive(Debug)]
pub struct ConflictFeed {
    node: Node,
    answers: Streaming<v1::WatchConflictsResponse>,
    resume: Vec<u8>,
}

/// A vote that met a conflict; or a transaction that strayed from its forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// Microseconds since 1970, by the clock of the leader that saw it.
    pub at_us: u64,
    /// That node.
    pub node_id: u64,
    /// The group.
    pub group: u32,
    /// Where it lies in the group's history.
    pub place: u64,
    /// The transaction.
    pub tid: Tid,
    /// Where it met what, and who was in the way; `None`: it strayed, and was committed.
    pub rollback: Option<Rollback>,
    /// How it strayed, where it did.
    pub strayed: Option<Strayed>,
    /// It had said that it would write the record.
    pub claimed: bool,
    /// And took its turn.
    pub in_turn: bool,
    /// The probability of this by what was known before, in parts per million.
    pub score_ppm: Option<u32>,
    /// The model that said so; 0: none.
    pub model_version: u64,
    /// Microseconds from the claim, or the vote's proposal, to the answer.
    pub lost_us: u64,
}

/// How a transaction strayed from its forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strayed {
    /// The number of its class: of streams that begin alike.
    pub class: u64,
    /// As its verdict has it.
    pub score: f64,
    /// The largest score that was tolerated.
    pub tolerance: f64,
    /// The strictest of what the collections that it writes ask for.
    pub validation: Validation,
}

/// What a transaction would meet if it were sent now.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// In the order of their keys.
    pub records: Vec<RecordOutlook>,
    /// Any conflict at all, without a turn, in parts per million; `None` without models.
    pub score_ppm: Option<u32>,
    /// What it would come to, one for each strategy.
    pub strategies: Vec<StrategyOutlook>,
    /// What its votes would refuse it with now; `None`: nothing.
    pub rollback: Option<Rollback>,
}

/// What a transaction would come to under a strategy. Estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrategyOutlook {
    /// The strategy.
    pub strategy: Strategy,
    /// That an attempt meets a conflict, in parts per million; `None` without models.
    pub conflict_ppm: Option<u32>,
    /// Until it is committed, in microseconds; `None` where that is not known.
    pub latency_us: Option<u64>,
    /// Transactions in flight that would have to begin anew if it goes first.
    pub hurts: u64,
    /// It takes least time of those that keep what was read, or apply what commutes.
    pub cheapest: bool,
}

/// What one record of it would meet.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordOutlook {
    /// The record.
    pub key: Key,
    /// Its group.
    pub group: u32,
    /// A conflict here without a turn, in parts per million; `None` without a model.
    pub score_ppm: Option<u32>,
    /// The cheaper course is to wait for its turn first.
    pub in_turn: bool,
    /// How long its turn would take to come, in microseconds.
    pub wait_us: u64,
    /// How long transactions take there, in microseconds; `None`: none ended yet.
    pub typical_us: Option<u64>,
    /// How many have or wait for a turn with it.
    pub ahead: u64,
    /// Who is about to write it.
    pub undecided: Option<Tid>,
    /// What adds to the log-odds of a conflict, the weightiest first.
    pub reasons: Vec<(String, f64)>,
    /// The model that said so; 0: none.
    pub model_version: u64,
}

/// A node's conflict model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The node.
    pub node_id: u64,
    /// `full`, `hotness` or `none`.
    pub mode: String,
    /// 0: none yet.
    pub version: u64,
    /// Outcomes that it learnt from.
    pub labels: u64,
    /// Outcomes that it did not, since a fit was under way.
    pub passed_over: u64,
    /// How often a better one replaced it.
    pub promotions: u64,
    /// How often it was taken back.
    pub reverts: u64,
    /// Kinds of knowledge that it does without.
    pub switched_off: Vec<String>,
    /// Whether the collaborative filter is part of it.
    pub factors_active: bool,
    /// Whether it uses the cluster's model in place of its own.
    pub shared: bool,
    /// The version of its forecasters of streams.
    pub forecasters_version: u64,
}

/// The models that the cluster keeps for all nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedModels {
    /// Ascending by version.
    pub models: Vec<SharedModel>,
    /// The version that all nodes use.
    pub pinned: Option<u64>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedModel {
    /// From 1.
    pub version: u64,
    /// Who learnt it.
    pub node_id: u64,
    /// Outcomes that it was learnt from.
    pub labels: u64,
    /// Log-odds where all features are zero.
    pub bias: f64,
    /// Of each feature that counts: its place, its kind, its log-odds a unit.
    pub weights: Vec<(u32, String, f64)>,
}

impl Client {
    /// The newest conflicts, up to `limit` (at most 1,000; 0: 100): all, or those of a record, or
    /// those that a transaction met or was in the way of.
    pub async fn conflicts(
        &self,
        limit: u32,
        key: Option<&Key>,
        tid: Option<Tid>,
    ) -> Result<Conflicts, ClientError> {
        let message = v1::ListConflictsRequest {
            limit,
            key: key.map(convert::key_out),
            transaction_id: tid.map(|tid| tid.to_bytes().to_vec().into()),
        };
        let (answer, node) = self
            .call("ListConflicts", None, |node| {
                let request = self.request(message.clone());
                let mut service = self.conflict_service(&node);
                async move { service.list_conflicts(request).await }
            })
            .await?;
        let conflicts = answer.conflicts.into_iter().map(conflict).collect::<Result<_, _>>();
        let conflicts = conflicts.map_err(|what| node.broke(what))?;
        Ok(Conflicts { conflicts, unreachable: answer.unreachable_groups })
    }

    /// Conflicts from now on, or behind what a feed has shown ([`ConflictFeed::resume`]; that may
    /// have been another node's): all, or those of a record, or those that a transaction meets or
    /// is in the way of.
    pub async fn watch_conflicts(
        &self,
        key: Option<&Key>,
        tid: Option<Tid>,
        resume: &[u8],
    ) -> Result<ConflictFeed, ClientError> {
        let message = v1::WatchConflictsRequest {
            key: key.map(convert::key_out),
            transaction_id: tid.map(|tid| tid.to_bytes().to_vec().into()),
            resume_token: resume.to_vec().into(),
        };
        let (answers, node) = self
            .call("WatchConflicts", None, |node| {
                let mut request = tonic::Request::new(message.clone());
                self.sign(&mut request);
                let mut service = self.conflict_service(&node);
                async move { service.watch_conflicts(request).await }
            })
            .await?;
        Ok(ConflictFeed { node, answers, resume: resume.to_vec() })
    }

    /// What a transaction of these deltas would meet if it were sent now. Changes nothing.
    pub async fn explain(&self, deltas: &[Delta]) -> Result<Outlook, ClientError> {
        deltas.iter().try_for_each(|delta| delta.key.check())?;
        let encoded: Vec<Vec<u8>> = deltas.iter().map(codec::encode).collect();
        let message = v1::ExplainRequest { transitions: submit::transitions(&encoded) };
        let (answer, node) = self
            .call("Explain", None, |node| {
                let request = self.request(message.clone());
                let mut service = self.conflict_service(&node);
                async move { service.explain(request).await }
            })
            .await?;
        let records = answer.records.into_iter().map(record).collect::<Result<_, _>>();
        let records = records.map_err(|what| node.broke(what))?;
        let strategies = answer.strategies.into_iter().map(strategy).collect::<Result<_, _>>();
        let strategies = strategies.map_err(|what| node.broke(what))?;
        let rollback = answer.rollback.map(|no| convert::rollback_in(&no, &[]));
        Ok(Outlook { records, score_ppm: answer.score_ppm, strategies, rollback })
    }

    /// The conflict models of the nodes that answer, ascending by node.
    pub async fn models(&self) -> Result<Vec<Model>, ClientError> {
        let (answer, _) = self
            .call("Models", None, |node| {
                let request = self.request(v1::ModelsRequest {});
                let mut service = self.conflict_service(&node);
                async move { service.models(request).await }
            })
            .await?;
        Ok(answer.models.into_iter().map(model).collect())
    }

    /// The models that the cluster keeps for all nodes.
    pub async fn shared_models(&self) -> Result<SharedModels, ClientError> {
        let (answer, _) = self
            .call("SharedModels", None, |node| {
                let request = self.request(v1::SharedModelsRequest {});
                let mut service = self.conflict_service(&node);
                async move { service.shared_models(request).await }
            })
            .await?;
        let models = answer.models.into_iter().map(shared_model).collect();
        Ok(SharedModels { models, pinned: answer.pinned })
    }

    /// Has all nodes use one version; `None`: the newest, where it does better than their own.
    pub async fn pin_model(&self, version: Option<u64>) -> Result<(), ClientError> {
        let asked = self.call("PinModel", None, |node| {
            let request = self.request(v1::PinModelRequest { version });
            let mut service = self.conflict_service(&node);
            async move { service.pin_model(request).await }
        });
        asked.await.map(drop)
    }
}

impl ConflictFeed {
    /// The next one; waits without bound. `None` where the node ended the feed.
    pub async fn next(&mut self) -> Result<Option<Conflict>, ClientError> {
        let answer = self.answers.message().await;
        let answer = answer.map_err(|status| ClientError::from_status(status, &self.node.endpoint));
        let Some(v1::WatchConflictsResponse { conflict: met, resume_token, .. }) = answer? else {
            return Ok(None);
        };
        self.resume = resume_token.to_vec();
        let met = met.ok_or_else(|| self.node.broke("an answer without conflict"))?;
        conflict(met).map(Some).map_err(|what| self.node.broke(what))
    }

    /// To go on behind what was shown, at any node.
    pub fn resume(&self) -> &[u8] {
        &self.resume
    }
}

pub(crate) fn conflict(met: v1::Conflict) -> Result<Conflict, Malformed> {
    let tid = Tid::from_bytes(&met.transaction_id).ok_or("a conflict of no transaction")?;
    let strayed = met.strayed.as_ref().map(strayed).transpose()?;
    let rollback = met.rollback.as_ref();
    if rollback.is_none() && strayed.is_none() {
        return Err("a conflict without cause");
    }
    Ok(Conflict {
        tid,
        strayed,
        at_us: met.at_unix_us,
        node_id: met.node_id,
        group: met.group,
        place: met.place,
        rollback: rollback.map(|rollback| convert::rollback_in(rollback, &met.transaction_id)),
        claimed: met.claimed,
        in_turn: met.in_turn,
        score_ppm: met.score_ppm,
        model_version: met.model_version,
        lost_us: met.lost_us,
    })
}

fn strayed(told: &v1::Strayed) -> Result<Strayed, Malformed> {
    let validation = convert::validation_in(told.validation())?;
    let v1::Strayed { class, score, tolerance, .. } = *told;
    Ok(Strayed { class, score, tolerance, validation })
}

pub(crate) fn record(found: v1::RecordOutlook) -> Result<RecordOutlook, Malformed> {
    Ok(RecordOutlook {
        key: convert::key_in(found.key.ok_or("a forecast without a key")?),
        group: found.group,
        score_ppm: found.score_ppm,
        in_turn: found.in_turn,
        wait_us: found.wait_us,
        typical_us: Some(found.typical_us).filter(|us| *us > 0),
        ahead: found.ahead,
        undecided: Tid::from_bytes(&found.undecided_transaction_id),
        reasons: found.reasons.into_iter().map(|reason| (reason.of, reason.log_odds)).collect(),
        model_version: found.model_version,
    })
}

pub(crate) fn strategy(told: v1::StrategyOutlook) -> Result<StrategyOutlook, Malformed> {
    let strategy = convert::strategy_in(told.strategy()).ok_or("a strategy of no known name")?;
    let v1::StrategyOutlook { conflict_ppm, latency_us, hurts, cheapest, .. } = told;
    Ok(StrategyOutlook { strategy, conflict_ppm, latency_us, hurts, cheapest })
}

fn model(model: v1::Model) -> Model {
    Model {
        node_id: model.node_id,
        mode: model.mode,
        version: model.version,
        labels: model.labels,
        passed_over: model.passed_over,
        promotions: model.promotions,
        reverts: model.reverts,
        switched_off: model.switched_off,
        factors_active: model.factors_active,
        shared: model.shared,
        forecasters_version: model.forecasters_version,
    }
}

fn shared_model(shared: v1::SharedModel) -> SharedModel {
    let weights = shared.weights.into_iter();
    SharedModel {
        version: shared.version,
        node_id: shared.node_id,
        labels: shared.labels,
        bias: shared.bias,
        weights: weights.map(|weight| (weight.feature, weight.of, weight.log_odds)).collect(),
    }
}
