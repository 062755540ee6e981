//! What a log must hold, said as plainly as can be.
//!
//! A model is the state of all replicas after one record of the queue. Those that a record leaves
//! alone are shared with the model before it, since there is one for every record in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::record::ReplicaId;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model(BTreeMap<ReplicaId, Arc<ModelReplica>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelReplica {
    /// Term and payload by index.
    pub(super) entries: BTreeMap<u64, (u64, Bytes)>,
    pub(super) purged: Option<(u64, Bytes)>,
    pub(super) vote: Option<Bytes>,
}

impl Model {
    pub(super) fn replica(&self, id: ReplicaId) -> Option<&ModelReplica> {
        self.0.get(&id).map(|one| &**one)
    }

    pub(super) fn replica_mut(&mut self, id: ReplicaId) -> &mut ModelReplica {
        Arc::make_mut(self.0.entry(id).or_default())
    }

    pub(super) fn insert(&mut self, id: ReplicaId, one: ModelReplica) {
        self.0.insert(id, Arc::new(one));
    }

    pub(super) fn remove(&mut self, id: ReplicaId) {
        self.0.remove(&id);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ReplicaId, &ModelReplica)> {
        self.0.iter().map(|(id, one)| (*id, &**one))
    }

    /// The index that the next entry of a replica has.
    pub(super) fn next(&self, id: ReplicaId) -> u64 {
        self.replica(id).map_or(0, ModelReplica::next)
    }

    /// The same without replicas that are only known by name: they say nothing.
    pub(super) fn visible(&self) -> Model {
        let blank = ModelReplica::default();
        let named = self.0.iter().filter(|(_, one)| ***one != blank);
        Model(named.map(|(id, one)| (*id, one.clone())).collect())
    }
}

impl ModelReplica {
    /// The lowest index that is not purged.
    pub(super) fn floor(&self) -> u64 {
        self.purged.as_ref().map_or(0, |(to, _)| to + 1)
    }

    pub(super) fn next(&self) -> u64 {
        self.entries.last_key_value().map_or(self.floor(), |(index, _)| index + 1)
    }
}
