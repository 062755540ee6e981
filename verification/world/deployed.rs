//! The run at level 2: the world's events and the nodes' reports, one after the other, in virtual
//! time.
//!
//! The world waits for whichever comes first: its next event or a report. Nodes run only while it
//! waits, on the same thread, so that one seed is one run.

use super::{World, drain::Drain};
use crate::{
    deployment::{Deployment, Ending, Flip, Report},
    event::Event,
    faults::Fault,
    limits,
    probe::Probe,
    seeded::Seeded,
    violation::Check,
};
use std::{cmp::Reverse, time::Duration};
use vatic_core::{codec, command::Command, id::GroupId};

/// While the accounts are opened: between two looks, and before something is proposed again.
const SETUP_PAUSE: Duration = Duration::from_millis(20);
const SETUP_RETRY: Duration = Duration::from_millis(1_000);
/// A cluster that nothing disturbs is set up within this.
const SETUP_DEADLINE: Duration = Duration::from_secs(60);

impl World {
    /// Deploys the groups, runs load and misfortune, heals, and waits until all is decided.
    pub(crate) fn run_deployed(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without sockets needs nothing of the machine");
        Seeded::plant(self.options.seeded);
        runtime.block_on(async {
            self.deploy();
            if self.set_up().await {
                self.play().await;
                self.compare_replicas();
            }
            let deployment = self.deployment.as_ref().expect("deployed");
            let (trace, faults) = (deployment.trace(), deployment.faults());
            self.trace.note(&[trace]);
            self.faults.add(&faults);
            // Before the runtime goes, which its tasks may still ask for the time.
            if let Some(mut deployment) = self.deployment.take() {
                (0..self.nodes.len()).for_each(|node| deployment.kill(node));
                if deployment.batches_flown() > 0 {
                    self.hit(Probe::BatchesFlown);
                }
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }

    fn deploy(&mut self) {
        let nodes = self.nodes.len();
        let members = self.groups.iter().map(|group| group.members.clone()).collect();
        let families = self.options.families.clone();
        let deployment = Deployment::new(nodes, members, &families, &mut self.rng);
        self.deployment = Some(deployment);
        (0..nodes).for_each(|node| self.boot(node));
    }

    fn boot(&mut self, node: usize) {
        tracing::info!(now = self.now, node, "a node starts");
        let ids: Vec<GroupId> = self.groups.iter().map(|group| group.id).collect();
        self.deployment_mut().boot(node, &ids);
    }

    pub(super) fn deployment_mut(&mut self) -> &mut Deployment {
        self.deployment.as_mut().expect("only called at level 2")
    }

    /// Configures the groups and opens the accounts, before anything breaks.
    async fn set_up(&mut self) -> bool {
        let config = self.configuration();
        let mut commands: Vec<(usize, Command)> =
            (0..self.groups.len()).map(|group| (group, config.clone())).collect();
        let mut opened = Vec::new();
        for at in 0..self.accounts.len() {
            let opening = self.opening(at);
            opened.push(opening.0);
            commands.push((self.group_at(opening.1), opening.2));
        }
        for (group, command) in commands {
            let applied = tokio::time::timeout(SETUP_DEADLINE, self.apply_surely(group, command));
            if applied.await.is_err() {
                let id = self.groups[group].id;
                self.violate(Check::Progress, format!("group {id} was never set up"));
                return false;
            }
        }
        opened.into_iter().for_each(|digest| self.note_opened(digest));
        self.schedule_first();
        self.deployment_mut().begin();
        true
    }

    /// Proposes a command until it is applied somewhere.
    async fn apply_surely(&mut self, group: usize, command: Command) {
        let (id, bytes) = (self.groups[group].id, codec::encode(&command));
        let is_there = |world: &World| {
            let mut entries = world.groups[group].log.iter();
            entries.any(|entry| entry.holds(&bytes))
        };
        loop {
            let leader = self.deployment_mut().leader(group, id);
            self.deployment_mut().propose(id, leader, bytes.clone(), None);
            let again = tokio::time::Instant::now() + SETUP_RETRY;
            while tokio::time::Instant::now() < again {
                tokio::time::sleep(SETUP_PAUSE).await;
                while let Some(report) = self.deployment_mut().take_report() {
                    self.take_report(report);
                }
                if is_there(self) {
                    return;
                }
            }
        }
    }

    async fn play(&mut self) {
        let load_ends = limits::EPOCH_US + self.options.load_us;
        let mut drain = Drain::from(load_ends, limits::DRAIN_DEPLOYED_US);
        loop {
            while let Some(report) = self.deployment_mut().take_report() {
                self.now = self.now.max(self.deployment_mut().now_us());
                self.take_report(report);
            }
            let next = self.queue.peek().map(|Reverse(next)| next.at);
            let now = self.deployment_mut().now_us();
            if !self.healed && next.unwrap_or(now).max(now) > load_ends {
                self.heal();
            }
            if self.halted || drain.is_over(now, || self.tickets_left()) {
                break;
            }
            if self.healed && self.is_quiet() {
                if self.heal_the_rest() {
                    drain = Drain::from(self.now, limits::DRAIN_DEPLOYED_US);
                    continue;
                }
                if !self.is_replacing() {
                    self.drained = true;
                    self.spoil_the_end();
                    break;
                }
            }
            match next {
                Some(at) if at <= now => self.handle_next(),
                next => self.wait(next).await,
            }
        }
        self.note_elections();
    }

    fn handle_next(&mut self) {
        let Some(Reverse(next)) = self.queue.pop() else { return };
        self.now = self.now.max(next.at);
        self.trace.note(&[self.now, next.event.kind()]);
        self.handle(next.event);
    }

    /// Until the next event is due or a node reports.
    async fn wait(&mut self, next: Option<u64>) {
        let deployment = self.deployment_mut();
        let due = deployment.instant(next.unwrap_or(u64::MAX / 1_000_000));
        tokio::select! {
            biased;
            report = deployment.next_report() => {
                let report = report.expect("the deployment holds a sender");
                self.now = self.now.max(self.deployment_mut().now_us());
                self.take_report(report);
            }
            () = tokio::time::sleep_until(due) => {}
        }
    }

    fn take_report(&mut self, report: Report) {
        match report {
            Report::Applied { node, to: (to, token), applied } => {
                let applied = std::rc::Rc::new(*applied);
                self.send(node, to, crate::event::Message::Applied { reply: token, applied });
            }
            Report::NotApplied { node, to: (to, token) } => {
                if !self.cuts.values().any(|cut| cut.contains(&(node, to))) {
                    self.not_applied(token);
                }
            }
            Report::Found { node, to: (to, token), found } => {
                let found = std::rc::Rc::new(*found);
                self.send(node, to, crate::event::Message::Found { reply: token, found });
            }
            Report::Entry { node, group, entry } => self.entry_applied(node, group, entry),
            Report::Restored { node, life, group, index, undecided } => {
                self.restored(node, life, group, index, undecided);
            }
            Report::Started { node, life, consensus, groups } => {
                if self.deployment_mut().started(node, life, consensus, groups) {
                    self.nodes[node].up = true;
                }
            }
            Report::Refused { node, life, reason } => {
                if self.deployment_mut().dies(node, life).is_some() {
                    self.refused_to_start(node, &reason);
                }
            }
            Report::Fatal { node, life, reason } => self.fatal(node, life, &reason),
        }
    }

    fn restored(&mut self, node: usize, life: u32, group: GroupId, index: u64, undecided: bool) {
        if self.deployment_mut().life(node) != life {
            return;
        }
        let before = self.deployment_mut().applied_before(node, group);
        let opened = self.deployment_mut().note_applied(node, group, index).is_none();
        self.trace.note(&[node as u64, u64::from(group.0), index]);
        if !opened {
            self.hit(Probe::SnapshotInstalled);
        } else if index < before {
            self.hit(Probe::ReplayedEntries);
        }
        if opened && undecided {
            self.hit(Probe::ReopenedWithLocks);
        }
    }

    /// A node's process ended itself.
    fn fatal(&mut self, node: usize, life: u32, reason: &str) {
        match self.deployment_mut().dies(node, life) {
            None => {}
            Some(Some(ending)) => {
                self.hit(Probe::DiskFailed);
                self.end_node(node, ending);
            }
            Some(None) => {
                self.violate(Check::NoHalt, format!("node {node} ended itself: {reason}"));
                self.halted = true;
            }
        }
    }

    /// Ends a node that is up; it comes back after a while.
    pub(super) fn end_node(&mut self, node: usize, ending: Ending) {
        let kind = match ending {
            Ending::Power => Fault::PowerCut,
            Ending::Process => Fault::ProcessKilled,
            Ending::Torn => Fault::TornBatch,
            Ending::SyncFails => Fault::SyncFailed,
        };
        tracing::info!(now = self.now, node, ?ending, "a node ends");
        self.faults.hit(kind);
        self.faults.hit(Fault::NodeCrash);
        self.nodes[node].up = false;
        self.coordinations.retain(|_, coordination| coordination.node != node);
        self.deployment_mut().kill(node);
        self.deployment_mut().settle_disk(node, ending);
        self.gateway_crashed(node);
        let delay = match self.deployment_mut().draw_brisk() {
            true => self.rng.between(1, limits::BRISK_US),
            false => self.rng.between(1_000, self.swarm.chaos.down_us),
        };
        self.after(delay, Event::Restart { node });
    }

    /// Starts a node again, which may find a flipped bit first.
    pub(super) fn restart_deployed(&mut self, node: usize) {
        if !self.deployment_mut().is_down(node) {
            return;
        }
        if !self.deployment_mut().is_gone(node) {
            return self.after(limits::BRISK_US, Event::Restart { node });
        }
        let (healed, deployment) = (self.healed, self.deployment_mut());
        let sound = !deployment.loses_disk(node) && !deployment.is_rotten(node);
        if sound && !healed && deployment.draw_flip() {
            self.flip_bit(node);
        }
        self.boot(node);
    }

    /// Flips a bit where it costs the node nothing, or its disk. Not once a core is healed: it can
    /// spare nobody.
    fn flip_bit(&mut self, node: usize) {
        let Some((flip, spot)) = self.deployment_mut().flip_bit(node) else { return };
        self.faults.hit(Fault::BitFlipped);
        match flip {
            Flip::Refused => {
                self.hit(Probe::FlipRefused);
                if self.begin_to_replace_disk(node) {
                    self.deployment_mut().rot(node, spot);
                }
            }
            Flip::Harmless => {
                self.hit(Probe::FlipHarmless);
                self.deployment_mut().rot(node, spot);
            }
            Flip::Unreadable => self.hit(Probe::FlipRefused),
            Flip::Shortened => self.hit(Probe::FlipShortened),
            Flip::Believed(what) => self.violate(Check::Disks, format!("node {node}: {what}")),
        }
    }

    /// Where a flipped bit is why, the node is given an empty disk, as by an operator.
    fn refused_to_start(&mut self, node: usize, reason: &str) {
        if !self.needs_disk(node) || !self.deployment_mut().is_rotten(node) {
            self.violate(Check::Disks, format!("node {node} does not start: {reason}"));
            self.halted = true;
            return;
        }
        self.hit(Probe::RottenDiskRefused);
        self.deployment_mut().lose_disk(node);
        self.end_node(node, Ending::Power);
    }

    /// Peers are cut off from each other as clients and gateways are from them.
    pub(super) fn share_cuts(&mut self) {
        let cuts = self.cuts.values().flatten().copied().collect();
        if let Some(deployment) = &mut self.deployment {
            deployment.cut(cuts);
        }
    }

    /// A crash of whoever leads the group.
    pub(super) fn end_leader(&mut self, group: usize) {
        self.look_for_leader(group);
        let node = self.groups[group].leader_node();
        if self.nodes[node].up {
            self.crash_deployed(node);
        }
    }

    pub(super) fn look_for_leader(&mut self, _group: usize) {
        if self.deployment.is_some() {
            self.note_elections();
        }
    }

    /// Often somebody who does not know that another leads now: gateways remember.
    pub(super) fn deposed_leader(&mut self, group: usize) -> Option<usize> {
        let id = self.groups[group].id;
        let seen = self.deployment.as_ref()?.leaders_seen(group, id);
        let asks = seen.len() > 1 && self.rng.chance(500);
        asks.then(|| self.rng.pick(&seen).1)
    }

    /// A node that holds a replica of the group.
    pub(super) fn any_member(&mut self, group: usize) -> usize {
        *self.rng.pick(&self.groups[group].members)
    }
}
