//! The protocol's main paths, end to end, on the core alone: two groups, a draft, a coordinator.

use crate::{
    body::{Body, Part},
    codec,
    command::{Applied, Command, Decision, Reply, Standing, Vote, Why},
    coordinator::{Answer, Coordinator, Effect, Event},
    delta::{Delta, Expect, Op},
    draft::Draft,
    group::Group,
    hash::Hash,
    id::{GroupId, Timestamp},
    key::{Key, KeyRange},
    limits::Limits,
    memory::MemoryState,
    receipt::Receipt,
    ring::{Ring, RingSpec},
    rules::Rules,
    value::Fields,
};
use alloc::{collections::BTreeMap, format, vec, vec::Vec};

struct Cluster {
    ring: Ring,
    groups: BTreeMap<GroupId, (Group, MemoryState, u64)>,
    nonce: u64,
}

impl Cluster {
    fn new() -> Cluster {
        let spec = RingSpec { epoch: 1, virtual_nodes: 16, groups: vec![GroupId(1), GroupId(2)] };
        let open = |&id: &GroupId| {
            let state = MemoryState::default();
            (id, (Group::open(id, &state, Rules::default()), state, 0))
        };
        let groups = spec.groups.iter().map(open).collect();
        Cluster { ring: Ring::new(spec), groups, nonce: 0 }
    }

    fn key_in(&self, group: u32) -> Key {
        (0..)
            .map(|n| Key::new("account", &format!("p{n}"), "").expect("valid"))
            .find(|key| self.ring.group_of(&key.partition) == Some(GroupId(group)))
            .expect("the ring covers both groups")
    }

    fn draft(&mut self) -> Draft {
        self.nonce += 1;
        let mint = Timestamp(self.nonce);
        let seed = Hash([self.nonce as u8; 32]);
        Draft::begin(self.ring.clone(), Limits::simulation(), mint, self.nonce, seed)
    }

    fn apply(&mut self, group: GroupId, command: &Command) -> Applied {
        let (machine, state, index) = self.groups.get_mut(&group).expect("known group");
        *index += 1;
        let bytes = codec::encode(command);
        let mut applied =
            machine.apply_entry(state, *index, [bytes.as_slice()]).expect("no contradiction");
        crate::invariant::check(machine, state).expect("invariants hold");
        applied.remove(0)
    }

    fn run(&mut self, body: &Body, parts: &[Part], mut coordinator: Coordinator) -> Vec<Answer> {
        let mut answers = Vec::new();
        coordinator.handle(Event::Start);
        while let Some(effect) = coordinator.poll() {
            match effect {
                Effect::Vote { group, round } => {
                    let part = parts.iter().find(|part| part.group == group).expect("a part");
                    let vote =
                        Vote { body: body.clone(), part: part.clone(), hint: Timestamp::ZERO };
                    let Applied { reply, proof } = self.apply(group, &Command::Vote(vote.into()));
                    coordinator.handle(Event::Reply { group, round, reply, proof });
                }
                Effect::Force { group, round } => {
                    let (tid, participants) = (body.tid, body.groups());
                    let body = Some(body.digest());
                    let Applied { reply, proof } =
                        self.apply(group, &Command::Force { tid, body, participants });
                    coordinator.handle(Event::Reply { group, round, reply, proof });
                }
                Effect::Decide { group, decision } => {
                    let proofs = coordinator.proofs();
                    let (tid, body) = (body.tid, Some(body.digest()));
                    self.apply(group, &Command::Decide { tid, body, decision, proofs });
                    coordinator.handle(Event::Acked { group });
                }
                Effect::Answer(answer) => answers.push(answer),
                Effect::Settled => {}
            }
        }
        answers
    }

    fn commit(&mut self, draft: Draft) -> (Answer, Body) {
        let (body, parts) = draft.finish().expect("a draft that touched something");
        let coordinator =
            Coordinator::drive(body.tid, Some(body.digest()), &body.groups(), Rules::default());
        let mut answers = self.run(&body, &parts, coordinator);
        assert_eq!(answers.len(), 1);
        (answers.remove(0), body)
    }

    fn balance(&self, key: &Key) -> (Timestamp, Option<i64>) {
        let (machine, state, _) = &self.groups[&self.ring.group_of(&key.partition).expect("ring")];
        let record = machine.get(state, key).expect("no undecided write");
        let balance = record.fields.and_then(|fields| fields.get("balance")?.as_i64());
        (record.version, balance)
    }

    fn receipt(&self, body: &Body) -> Receipt {
        let (machine, state, _) = &self.groups[&body.tid.home];
        machine.outcome(state, body.tid).receipt.expect("a committed transaction has a receipt")
    }
}

fn add(key: &Key, by: i64) -> Vec<u8> {
    let op = Op::Add { field: "balance".into(), by };
    codec::encode(&Delta { key: key.clone(), op })
}

fn put(key: &Key, balance: i64) -> Vec<u8> {
    let op = Op::Put(Fields::from([("balance".into(), balance.into())]));
    codec::encode(&Delta { key: key.clone(), op })
}

#[test]
fn transfer_between_groups_commits_at_one_version_and_its_receipt_verifies() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.key_in(1), cluster.key_in(2));
    let deltas = [put(&a, 10), add(&b, 7), add(&a, -3)];
    let mut draft = cluster.draft();
    for delta in &deltas {
        draft.push(delta.clone(), None, None).expect("accepted");
    }
    let (answer, body) = cluster.commit(draft);
    let Answer::Decided(Decision::Committed { ts }) = answer else { panic!("{answer:?}") };
    assert_eq!(cluster.balance(&a), (ts, Some(7)));
    assert_eq!(cluster.balance(&b), (ts, Some(7)));

    let receipt = cluster.receipt(&body);
    let positions = receipt.verify(deltas.iter().map(Vec::as_slice)).expect("verifies");
    assert_eq!(positions.len(), 2);
    let tampered = [put(&a, 11), add(&b, 7), add(&a, -3)];
    assert!(receipt.verify(tampered.iter().map(Vec::as_slice)).is_err());
    let reordered = [add(&b, 7), put(&a, 10), add(&a, -3)];
    assert!(receipt.verify(reordered.iter().map(Vec::as_slice)).is_err());
}

#[test]
fn receipt_position_is_the_groups_chain_head() {
    let mut cluster = Cluster::new();
    let key = cluster.key_in(1);
    let mut draft = cluster.draft();
    draft.push(put(&key, 1), None, None).expect("accepted");
    let (_, body) = cluster.commit(draft);
    let positions = cluster.receipt(&body).positions().expect("well formed");
    let head = cluster.groups[&GroupId(1)].0.chain();
    assert_eq!((positions[0].index, positions[0].digest), (head.index, head.digest));
}

#[test]
fn later_writer_rolls_back_on_stale_read() {
    let mut cluster = Cluster::new();
    let key = cluster.key_in(1);
    let mut first = cluster.draft();
    let mut second = cluster.draft();
    for draft in [&mut first, &mut second] {
        let (machine, state, _) = &cluster.groups[&GroupId(1)];
        let (record, _) = machine.peek(state, &key);
        draft.note_read(&record).expect("readable");
        draft.push(put(&key, 5), None, None).expect("accepted");
    }
    assert!(matches!(cluster.commit(first).0, Answer::Decided(Decision::Committed { .. })));
    let (answer, _) = cluster.commit(second);
    let Answer::Decided(Decision::RolledBack(cause)) = answer else { panic!("{answer:?}") };
    assert!(matches!(cause.why, Why::ReadChanged { .. }), "{cause:?}");
}

#[test]
fn range_reader_rolls_back_on_phantom() {
    let mut cluster = Cluster::new();
    let key = cluster.key_in(1);
    let mut reader = cluster.draft();
    let (machine, state, _) = &cluster.groups[&GroupId(1)];
    let range = KeyRange::partition(&key.collection, &key.partition);
    let (found, _) = machine.peek_range(state, &range, 10);
    reader.note_scan(&found).expect("readable");
    reader.push(put(&cluster.key_in(2), 1), None, None).expect("accepted");
    let mut writer = cluster.draft();
    writer.push(put(&key, 1), None, None).expect("accepted");
    cluster.commit(writer);
    let (answer, _) = cluster.commit(reader);
    let Answer::Decided(Decision::RolledBack(cause)) = answer else { panic!("{answer:?}") };
    assert!(matches!(cause.why, Why::RangeChanged { .. }), "{cause:?}");
}

#[test]
fn dead_coordinators_votes_are_recovered_to_the_same_outcome() {
    for votes in 0..=2 {
        let mut cluster = Cluster::new();
        let (a, b) = (cluster.key_in(1), cluster.key_in(2));
        let mut draft = cluster.draft();
        draft.push(put(&a, 1), None, None).expect("accepted");
        draft.push(put(&b, 1), None, None).expect("accepted");
        let (body, parts) = draft.finish().expect("touched");
        for part in parts.iter().take(votes) {
            let vote = Vote { body: body.clone(), part: part.clone(), hint: Timestamp::ZERO };
            cluster.apply(part.group, &Command::Vote(vote.into()));
        }
        let coordinator =
            Coordinator::recover(body.tid, Some(body.digest()), &body.groups(), Rules::default());
        let answers = cluster.run(&body, &parts, coordinator);
        let committed = matches!(answers[..], [Answer::Decided(Decision::Committed { .. })]);
        assert_eq!(committed, votes == 2, "{votes} votes: {answers:?}");
        assert_eq!(cluster.balance(&a).1.is_some(), committed);
        assert_eq!(cluster.balance(&b).1.is_some(), committed);
        if committed {
            let receipt = cluster.receipt(&body);
            receipt.positions().expect("a recovered commit has a whole receipt");
        }
    }
}

#[test]
fn read_ahead_of_a_decision_shows_what_the_decision_installs() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.key_in(1), cluster.key_in(2));
    let mut draft = cluster.draft();
    draft.push(put(&a, 4), None, None).expect("accepted");
    draft.push(put(&b, 1), None, None).expect("accepted");
    let (body, parts) = draft.finish().expect("touched");
    let mut stamps = Vec::new();
    for part in parts {
        let group = part.group;
        let vote = Vote { body: body.clone(), part, hint: Timestamp::ZERO };
        let Reply::Standing(Standing::Yes { ts, .. }) =
            cluster.apply(group, &Command::Vote(vote.into())).reply
        else {
            panic!("a Yes")
        };
        stamps.push(ts);
    }
    let ts = stamps.into_iter().max().expect("two votes");
    let decision = Decision::Committed { ts };
    let (tid, digest) = (body.tid, Some(body.digest()));
    let (machine, state, _) = &cluster.groups[&GroupId(1)];
    let old = machine.peek_ahead(state, &a, |_| None);
    assert_eq!((old.0.version, old.1), (Timestamp::ZERO, Some(tid)));
    let (ahead, holder) = machine.peek_ahead(state, &a, |_| Some(decision.clone()));
    assert_eq!((ahead.version, holder), (ts, None));
    let mut next = cluster.draft();
    next.note_read(&ahead).expect("readable");
    next.push(add(&a, 2), None, None).expect("accepted");
    for group in body.groups() {
        let (decision, proofs) = (decision.clone(), Vec::new());
        cluster.apply(group, &Command::Decide { tid, body: digest, decision, proofs });
    }
    let (machine, state, _) = &cluster.groups[&GroupId(1)];
    assert_eq!(machine.peek(state, &a).0, ahead);
    assert!(matches!(cluster.commit(next).0, Answer::Decided(Decision::Committed { .. })));
    assert_eq!(cluster.balance(&a).1, Some(6));
}

#[test]
fn vote_for_another_body_under_the_same_id_is_a_fault() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.key_in(1), cluster.key_in(2));
    let mut bodies = Vec::new();
    for amount in [1, 2] {
        let mut draft = cluster.draft();
        cluster.nonce -= 1;
        draft.push(put(&a, amount), None, None).expect("accepted");
        draft.push(put(&b, amount), None, None).expect("accepted");
        bodies.push(draft.finish().expect("touched"));
    }
    let vote = |(body, parts): &(Body, Vec<Part>), at: usize| {
        let vote = Vote { body: body.clone(), part: parts[at].clone(), hint: Timestamp::ZERO };
        Command::Vote(vote.into())
    };
    cluster.apply(GroupId(1), &vote(&bodies[0], 0));
    let applied = cluster.apply(GroupId(1), &vote(&bodies[1], 0));
    assert!(matches!(applied.reply, Reply::Fault(_)), "{applied:?}");
}

#[test]
fn failed_expectation_rolls_back_and_names_the_transition() {
    let mut cluster = Cluster::new();
    let key = cluster.key_in(1);
    let mut draft = cluster.draft();
    let op = Op::Expect(Expect::Present);
    draft.push(codec::encode(&Delta { key: key.clone(), op }), None, None).expect("accepted");
    draft.push(put(&key, 1), None, None).expect("accepted");
    let (answer, _) = cluster.commit(draft);
    let Answer::Decided(Decision::RolledBack(cause)) = answer else { panic!("{answer:?}") };
    assert!(matches!(cause.why, Why::Rejected { seq: 1, .. }), "{cause:?}");
    assert_eq!(cluster.balance(&key), (Timestamp::ZERO, None));
}

#[test]
fn forgotten_commit_answers_stale_with_the_outcome_at_home() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.key_in(1), cluster.key_in(2));
    let mut draft = cluster.draft();
    draft.push(put(&a, 1), None, None).expect("accepted");
    draft.push(put(&b, 1), None, None).expect("accepted");
    let (_, body) = cluster.commit(draft);
    let watermark = body.tid.mint;
    for (group, settled, expected) in [
        (GroupId(1), vec![], false),
        (GroupId(1), vec![body.tid], true),
        (GroupId(2), vec![body.tid], true),
    ] {
        let applied = cluster.apply(group, &Command::Forget { watermark, settled });
        assert_eq!(applied.reply == Reply::Done, expected, "{applied:?}");
    }
    let (tid, participants) = (body.tid, body.groups());
    let force = Command::Force { tid, body: None, participants };
    let home = cluster.apply(GroupId(1), &force).reply;
    assert!(matches!(home, Reply::Standing(Standing::Stale(Some(_)))), "{home:?}");
    let other = cluster.apply(GroupId(2), &force).reply;
    assert_eq!(other, Reply::Standing(Standing::Stale(None)));
    cluster.receipt(&body);
}

#[test]
fn snapshot_read_sees_the_version_of_its_time_until_the_horizon_passes() {
    let mut cluster = Cluster::new();
    let key = cluster.key_in(1);
    let mut versions = Vec::new();
    for amount in [1, 2, 3] {
        let mut draft = cluster.draft();
        draft.push(put(&key, amount), None, None).expect("accepted");
        cluster.commit(draft);
        versions.push(cluster.balance(&key).0);
    }
    let at = |cluster: &Cluster, ts| {
        let (machine, state, _) = &cluster.groups[&GroupId(1)];
        machine.get_at(state, &key, ts).map(|record| record.version)
    };
    for &version in &versions {
        assert_eq!(at(&cluster, version), Ok(version));
    }
    assert!(at(&cluster, versions[2].next()).is_err(), "the clock has not got there");
    let before = cluster.groups[&GroupId(1)].1.0.len();
    cluster.apply(GroupId(1), &Command::Collect { horizon: versions[2], items_max: 100 });
    assert!(at(&cluster, versions[1]).is_err(), "below the horizon");
    assert_eq!(at(&cluster, versions[2]), Ok(versions[2]));
    assert!(cluster.groups[&GroupId(1)].1.0.len() < before, "old versions are gone");
}
