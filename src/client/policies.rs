//! What collections ask for.

use std::collections::BTreeMap;

use vatic_core::policy::{Policy, PolicyChange};
use vatic_proto::v1;

use crate::client::Client;
use crate::convert;
use crate::error::ClientError;

impl Client {
    /// Sets a collection's policy, or a part of it. When this returns the votes of all groups are
    /// held to it.
    pub async fn set_policy(
        &self,
        collection: &str,
        change: PolicyChange,
    ) -> Result<(), ClientError> {
        let asked = self.call("SetPolicy", None, |node| {
            let policy = Some(v1::Policy {
                collection: collection.to_owned(),
                validation: convert::validation_out(change.validation).into(),
                strategy: convert::strategy_out(change.strategy).into(),
            });
            let request = self.request(v1::SetPolicyRequest { policy });
            let mut service = self.policy_service(&node);
            async move { service.set_policy(request).await }
        });
        asked.await.map(drop)
    }

    /// The policies that are not the default, by collection.
    pub async fn policies(&self) -> Result<BTreeMap<String, Policy>, ClientError> {
        let (answer, node) = self
            .call("ListPolicies", None, |node| {
                let request = self.request(v1::ListPoliciesRequest {});
                let mut service = self.policy_service(&node);
                async move { service.list_policies(request).await }
            })
            .await?;
        let read = |policy: v1::Policy| {
            let read = convert::policy_in(&policy).map_err(|what| node.broke(what))?;
            Ok((policy.collection, read))
        };
        answer.policies.into_iter().map(read).collect()
    }
}
