//! Reads at a replica: linearizable ones at the leader, behind a read index; snapshots anywhere.
//!
//! The read index is the length of the committed log when the query arrives, provided that a
//! majority can be reached; the answer comes from this replica's state once it has applied so much.

use super::{World, cluster::Waiting};
use crate::{
    conformance::Asked,
    event::{Found, Message, Query, Token},
    probe::Probe,
    sabotage::Sabotage,
};
use std::rc::Rc;
use vatic_core::{
    group::Group,
    multiread::{Seen, Wanted},
    state::Read,
};

impl World {
    pub(super) fn query(
        &mut self,
        group: usize,
        node: usize,
        query: Rc<Query>,
        reply: (usize, Token),
    ) {
        self.note_deposed(group, node, &query);
        let target = &self.groups[group];
        if let Some(deployment) = &self.deployment {
            if matches!(*query, Query::At(..)) && target.leader_node() != node {
                self.probes.hit(Probe::SnapshotByFollower);
            }
            return deployment.query(target.id, node, (*query).clone(), reply);
        }
        let Some(replica) = target.replica_on(node) else { return };
        let leads = target.leader == replica;
        let anywhere = matches!(*query, Query::At(..));
        let careless = self.sabotaged(Sabotage::StaleRead) && matches!(*query, Query::Get(_));
        if !anywhere && !careless && (!leads || !self.has_quorum(group)) {
            return;
        }
        if anywhere && !leads {
            self.hit(Probe::SnapshotByFollower);
        }
        let index = if anywhere || careless { 0 } else { self.groups[group].log.len() as u64 };
        let waiting = Waiting { index, query, reply };
        if self.groups[group].replicas[replica].applied >= index {
            return self.serve(group, replica, waiting);
        }
        self.groups[group].replicas[replica].waiting.push(waiting);
    }

    /// Answers the queries whose read index has been reached.
    pub(super) fn serve_waiting(&mut self, group: usize, replica: usize) {
        let held = &mut self.groups[group].replicas[replica];
        let waiting = std::mem::take(&mut held.waiting);
        let (ready, rest) =
            waiting.into_iter().partition(|waiting: &Waiting| waiting.index <= held.applied);
        held.waiting = rest;
        let ready: Vec<Waiting> = ready;
        ready.into_iter().for_each(|waiting| self.serve(group, replica, waiting));
    }

    fn serve(&mut self, group: usize, replica: usize, waiting: Waiting) {
        let held = &self.groups[group].replicas[replica];
        let found = found(&held.machine, &held.state, &waiting.query);
        let (from, index, (to, reply)) = (held.node, held.applied, waiting.reply);
        let found = Rc::new(found);
        if let Some(tape) = &mut self.tape {
            let (query, found) = (waiting.query, found.clone());
            tape.queries.push(Asked { group, index, query, found });
        }
        self.send(from, to, Message::Found { reply, found });
    }
}

/// What a replica's state says to a query.
pub(crate) fn found(group: &Group, state: &impl Read, query: &Query) -> Found {
    match query {
        Query::Peek(key) => Found::Peeked(group.peek(state, key).0),
        Query::PeekRange(range, limit) => {
            Found::PeekedRange(group.peek_range(state, range, *limit).0)
        }
        Query::Get(key) => Found::Got(group.get(state, key)),
        Query::Scan(range, limit) => Found::Scanned(group.scan(state, range, *limit)),
        Query::Wanted(wanted) => Found::Seen(group.first_pass(state, wanted)),
        Query::Check(reads, ranges, since) => {
            let stands = group.still_stands(state, reads, ranges, *since);
            Found::Checked(stands.map_err(|blocked| blocked.by))
        }
        Query::At(Wanted { keys, ranges }, at) => {
            let records = keys.iter().map(|key| group.get_at(state, key, *at));
            let ranges =
                ranges.iter().map(|(range, limit)| group.scan_at(state, range, *limit, *at));
            let records: Result<Vec<_>, _> = records.collect();
            Found::At(records.and_then(|records| {
                let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
                Ok(Seen { records, ranges, clock: *at })
            }))
        }
        Query::Outcome(tid) => Found::Outcome(Box::new(group.outcome(state, *tid))),
        Query::Request(request) => Found::Request(group.request(state, request)),
    }
}
