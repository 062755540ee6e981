//! Rounds of questions to a leader that answers when it is let.

use super::*;
use std::sync::Mutex as Shared;
use tokio::sync::{Notify, Semaphore};
use vatic_core::id::Tid;

const GROUP: GroupId = GroupId(1);

fn read(name: &str, version: u64) -> KeyRead {
    let key = format!("counter/{name}").parse().expect("it is a key");
    KeyRead { key, version: Timestamp(version) }
}

fn disturbed(read: &KeyRead, found: u64) -> Disturbed {
    Disturbed { key: read.key.clone(), read: read.version, found: Timestamp(found), writer: None }
}

/// A leader that keeps what it was asked, and gives as many answers as it is let.
struct Leader {
    asked: Shared<Vec<PeerRequest>>,
    came: Notify,
    answers: Semaphore,
}

impl Leader {
    /// Of each read that it is overwritten, of each transaction that many records in a million.
    async fn answer(&self, question: PeerRequest) -> Option<PeerReply> {
        self.asked.lock().unwrap().push(question.clone());
        self.came.notify_one();
        self.answers.acquire().await.expect("it is never closed").forget();
        let PeerRequest::Foresee { reads, weighed, .. } = question else { unreachable!() };
        let disturbed = reads.iter().map(|read| disturbed(read, read.version.0 + 1)).collect();
        let odds_ppm = weighed.iter().map(|(_, touches)| Some(touches.len() as u32)).collect();
        Some(PeerReply::Foreseen { disturbed, odds_ppm })
    }

    /// How many reads and transactions each question was about.
    fn sizes(&self) -> Vec<(usize, usize)> {
        let size = |question: &PeerRequest| match question {
            PeerRequest::Foresee { reads, weighed, .. } => (reads.len(), weighed.len()),
            _ => unreachable!(),
        };
        self.asked.lock().unwrap().iter().map(size).collect()
    }
}

struct Scene {
    rounds: Arc<Rounds>,
    leader: Arc<Leader>,
}

impl Scene {
    fn new() -> Scene {
        let answers = Semaphore::new(0);
        let leader = Leader { asked: Shared::default(), came: Notify::new(), answers };
        Scene { rounds: Arc::new(Rounds::new(Arc::new(Counters::new()))), leader: Arc::new(leader) }
    }

    fn look(&self, reads: Vec<KeyRead>) -> oneshot::Receiver<Vec<Disturbed>> {
        let (answer, answered) = oneshot::channel();
        self.wish(Wish::Look { reads, answer });
        answered
    }

    fn weigh(&self, records: usize) -> oneshot::Receiver<Option<u32>> {
        let touches = vec![Touch::of_names("record", "area", "field"); records];
        let (answer, answered) = oneshot::channel();
        self.wish(Wish::Weigh { user: 7, touches, answer });
        answered
    }

    fn wish(&self, wish: Wish) {
        if self.rounds.add(GROUP, wish) {
            let (rounds, leader) = (self.rounds.clone(), self.leader.clone());
            tokio::spawn(async move {
                rounds.go_on(GROUP, |question| leader.answer(question)).await;
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_while_a_question_is_out_goes_in_the_next_one() {
    let scene = Scene::new();
    let first = scene.look(vec![read("a", 1)]);
    scene.leader.came.notified().await;
    let [second, third] = [vec![read("a", 1), read("b", 2)], vec![read("a", 3)]];
    let (second, third) = (scene.look(second), scene.look(third));
    let odds = [scene.weigh(3), scene.weigh(5)];
    scene.leader.answers.add_permits(1);
    assert_eq!(first.await.unwrap(), [disturbed(&read("a", 1), 2)]);
    scene.leader.came.notified().await;
    scene.leader.answers.add_permits(1);
    let both = [disturbed(&read("a", 1), 2), disturbed(&read("b", 2), 3)];
    assert_eq!(second.await.unwrap(), both);
    assert_eq!(third.await.unwrap(), [disturbed(&read("a", 3), 4)], "of the version that it read");
    for (odds, records) in odds.into_iter().zip([3, 5]) {
        assert_eq!(odds.await.unwrap(), Some(records));
    }
    assert_eq!(scene.leader.sizes(), [(1, 0), (3, 2)], "what two streams read alike goes once");
}

#[tokio::test(start_paused = true)]
async fn rounds_end_where_nothing_waits_and_begin_anew_after_a_pause_at_the_most() {
    let scene = Scene::new();
    let began = Instant::now();
    for asked in 1..=3 {
        scene.leader.answers.add_permits(1);
        scene.look(vec![read("a", asked)]).await.unwrap();
        assert_eq!(Instant::now() - began, PAUSE * (asked as u32 - 1));
    }
    sleep(PAUSE).await;
    tokio::task::yield_now().await;
    assert!(scene.rounds.waiting.lock().unwrap().is_empty(), "nobody asks any more");
}

#[tokio::test(start_paused = true)]
async fn who_has_given_up_is_not_asked_for_and_who_is_not_answered_hears_so() {
    let scene = Scene::new();
    let first = scene.look(vec![read("a", 1)]);
    scene.leader.came.notified().await;
    drop(scene.look(vec![read("b", 1)]));
    let _ = (scene.weigh(1), scene.look(vec![read("c", 1)]));
    let last = scene.look(vec![read("d", 1)]);
    scene.leader.answers.add_permits(1);
    first.await.unwrap();
    scene.leader.came.notified().await;
    assert_eq!(scene.leader.sizes(), [(1, 0), (1, 0)]);
    scene.leader.answers.add_permits(1);
    last.await.unwrap();

    let silent = Scene::new();
    let (answer, answered) = oneshot::channel();
    assert!(silent.rounds.add(GROUP, Wish::Look { reads: vec![read("a", 1)], answer }));
    silent.rounds.go_on(GROUP, async |_| None).await;
    assert!(answered.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_in_a_question_is_asked_right_after_it() {
    let scene = Scene::new();
    let many = |first: u64| (first..first + RECORDS_MAX as u64).map(|at| read("a", at)).collect();
    let began = Instant::now();
    let first = scene.look(vec![read("a", 1)]);
    scene.leader.came.notified().await;
    let large = [scene.look(many(1)), scene.look(many(1 << 20))];
    let small = scene.weigh(2);
    scene.leader.answers.add_permits(4);
    first.await.unwrap();
    for large in large {
        assert_eq!(large.await.unwrap().len(), RECORDS_MAX);
    }
    assert_eq!(small.await.unwrap(), Some(2));
    assert_eq!(scene.leader.sizes(), [(1, 0), (RECORDS_MAX, 0), (RECORDS_MAX, 0), (0, 1)]);
    assert_eq!(Instant::now() - began, PAUSE, "before the second, and none between the others");
}

#[test]
fn writer_that_may_come_is_told_of_the_read_that_it_would_overwrite() {
    let tid = Tid { mint: Timestamp(9), home: GROUP, nonce: 1 };
    let pending = Disturbed { writer: Some(tid), ..disturbed(&read("a", 1), 1) };
    let (answer, mut answered) = oneshot::channel();
    let reads = vec![read("b", 1), read("a", 1)];
    let round = Round::of([Wish::Look { reads, answer }].into_iter());
    round.tell(std::slice::from_ref(&pending), &[]);
    assert_eq!(answered.try_recv().unwrap(), [pending]);
}
