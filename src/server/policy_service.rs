//! What collections ask for: set in group 0, then in every group's configuration.

use crate::{
    api::Gateway,
    cluster::Cluster,
    peer::{PeerFound, PeerRead},
    status::ApiError,
    strategy,
};
use std::sync::Arc;
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use vatic_core::{
    command::{Command, Config, MetaCommand, Refusal, Reply},
    id::GroupId,
    key::Key,
    policy::{Policies, PolicyChange, Validation},
};
use vatic_proto::v1::{self, policy_service_server::PolicyService};

#[tonic::async_trait]
impl PolicyService for Gateway {
    async fn set_policy(
        &self,
        request: Request<v1::SetPolicyRequest>,
    ) -> Result<Response<v1::SetPolicyResponse>, Status> {
        let deadline = self.deadline(&request);
        let policy = request.into_inner().policy.unwrap_or_default();
        let change = change(&policy)?;
        let collection = policy.collection;
        Key::new(&collection, "p", "").map_err(ApiError::BadKey)?;
        let set = MetaCommand::SetPolicy { collection, change };
        let applied = self.cluster.propose(GroupId::META, Command::Meta(set), deadline).await;
        match applied.map_err(ApiError::from)?.reply {
            Reply::Refused(Refusal::PoliciesFull { limit: max }) => {
                let (limit, actual) = ("policies_max", max + 1);
                return Err(ApiError::Limit { limit, max, actual }.into());
            }
            _ => spread(&self.cluster, deadline).await?,
        }
        Ok(Response::new(v1::SetPolicyResponse {}))
    }

    async fn list_policies(
        &self,
        request: Request<v1::ListPoliciesRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        let Policies { version, set } = read(&self.cluster, self.deadline(&request)).await?;
        let policies = set.into_iter().map(|(collection, policy)| v1::Policy {
            collection,
            validation: told(policy.validation).into(),
            strategy: strategy::to_wire(policy.strategy).into(),
        });
        let policies = policies.collect();
        Ok(Response::new(v1::ListPoliciesResponse { version, policies }))
    }
}

/// Has every group held to what group 0 has. A leader whose node has not heard of it yet cannot set
/// it back: groups take no older policies.
async fn spread(cluster: &Arc<Cluster>, deadline: Instant) -> Result<(), ApiError> {
    let policies = read(cluster, deadline).await?;
    let ring = cluster.ring().ok_or(ApiError::NotReady)?;
    let groups = std::iter::once(GroupId::META).chain(ring.spec().groups.iter().copied());
    let limits = cluster.config.group_limits.clone();
    let config = Config { limits, ring: Some(ring.spec().clone()), policies };
    let set =
        groups.map(|group| cluster.propose(group, Command::Configure(config.clone()), deadline));
    futures::future::try_join_all(set).await?;
    cluster.know_policies(config.policies);
    Ok(())
}

async fn read(cluster: &Arc<Cluster>, deadline: Instant) -> Result<Policies, ApiError> {
    match cluster.read(GroupId::META, PeerRead::Meta, deadline).await? {
        PeerFound::Meta { policies, .. } => Ok(policies),
        _ => Err(ApiError::NoLeader { group: GroupId::META }),
    }
}

fn change(policy: &v1::Policy) -> Result<PolicyChange, ApiError> {
    let unknown = |what: &str, number| Err(bad(format!("{what} {number} is not known")));
    let validation = match v1::Validation::try_from(policy.validation) {
        Ok(v1::Validation::Unspecified) => None,
        Ok(v1::Validation::Observe) => Some(Validation::Observe),
        Ok(v1::Validation::Resolve) => Some(Validation::Resolve),
        Ok(v1::Validation::Enforce) => Some(Validation::Enforce),
        Ok(v1::Validation::Quarantine) => Some(Validation::Quarantine),
        Err(_) => return unknown("validation", policy.validation),
    };
    let strategy = match v1::Strategy::try_from(policy.strategy) {
        Ok(strategy) => strategy::from_wire(strategy),
        Err(_) => return unknown("strategy", policy.strategy),
    };
    match (validation, strategy) {
        (None, None) => Err(bad("a policy without a validation or a strategy".into())),
        _ => Ok(PolicyChange { validation, strategy }),
    }
}

fn bad(what: String) -> ApiError {
    ApiError::BadFrame { what }
}

/// A validation as clients name it.
pub(crate) fn told(validation: Validation) -> v1::Validation {
    match validation {
        Validation::Observe => v1::Validation::Observe,
        Validation::Resolve => v1::Validation::Resolve,
        Validation::Enforce => v1::Validation::Enforce,
        Validation::Quarantine => v1::Validation::Quarantine,
    }
}
