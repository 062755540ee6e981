//! What collections ask for.

use std::collections::BTreeMap;

use vatic_core::policy::Validation;
use vatic_proto::v1;

use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// Sets what a transaction that strays from its forecast comes to, if it writes this
    /// collection. When this returns the votes of all groups are held to it.
    pub async fn set_validation(
        &self,
        collection: &str,
        validation: Validation,
    ) -> Result<(), ClientError> {
        let validation = match validation {
            Validation::Observe => v1::Validation::Observe,
            Validation::Resolve => v1::Validation::Resolve,
            Validation::Enforce => v1::Validation::Enforce,
        };
        let asked = self.call("SetPolicy", None, |node| {
            let collection = collection.to_owned();
            let policy = Some(v1::Policy { collection, validation: validation.into() });
            let request = self.request(v1::SetPolicyRequest { policy });
            let mut service = self.policy_service(&node);
            async move { service.set_policy(request).await }
        });
        asked.await.map(drop)
    }

    /// The collections whose validation is not the default.
    pub async fn validations(&self) -> Result<BTreeMap<String, Validation>, ClientError> {
        let (answer, node) = self
            .call("ListPolicies", None, |node| {
                let request = self.request(v1::ListPoliciesRequest {});
                let mut service = self.policy_service(&node);
                async move { service.list_policies(request).await }
            })
            .await?;
        let read = |policy: v1::Policy| {
            let validation = match policy.validation() {
                v1::Validation::Observe => Validation::Observe,
                v1::Validation::Resolve => Validation::Resolve,
                v1::Validation::Enforce => Validation::Enforce,
                v1::Validation::Unspecified => {
                    return Err(node.broke("a policy without a validation"));
                }
            };
            Ok((policy.collection, validation))
        };
        answer.policies.into_iter().map(read).collect()
    }
}
