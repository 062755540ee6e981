//! What is of one version forecasts the same, whoever learnt it, and whenever they began.

use super::{
    generations::Generations,
    kinds::Kinds,
    walk::{Ended, Walk},
};
use vatic_core::{
    course::{self, Course, GENERATION, OVERLAP},
    delta::{Delta, Op},
    id::GroupId,
    key::Key,
};
use vatic_learn::forecast::{Outlook, Prefix};

const STEPS_MAX: usize = 32;

/// A node as far as it learns: its kinds are its own.
#[derive(Default)]
struct Node {
    kinds: Kinds,
    generations: Generations,
}

impl Node {
    /// A stream of one of three classes, the shorter the older: what was forgotten shows.
    fn ended(&self, number: u64) -> Ended {
        let mut walk = Walk::new(number as u32 % 2, STEPS_MAX);
        let key = Key::new(&format!("c{}", number % 3), "p", "").unwrap();
        let steps = 1 + number / 200 + number % 2;
        for step in 0..steps {
            let op = Op::Add { field: format!("f{}", step.min(2)), by: 1 };
            let delta = Delta { key: key.clone(), op };
            assert!(walk.step(self.kinds.of(&delta), (number * 7_000_000 * step) as i64));
        }
        let class = walk.class().unwrap();
        let groups = vec![GroupId(1 + number as u32 % 2)];
        Ended { class, steps: walk.steps, kinds: walk.kinds, groups }
    }

    fn learn(&mut self, number: u64, course: &Course) {
        let course = Ended::of(course, &self.kinds).unwrap();
        self.generations.learn(number, &course);
    }

    /// What it forecasts of a stream's first step, with the version and what else is told.
    fn forecast(&self, number: u64) -> Option<(Outlook, usize, u64, u64, Vec<GroupId>)> {
        let running = self.ended(number);
        let prefix = Prefix { class: running.class, steps: &running.steps[..1] };
        let made = self.generations.forecast(prefix)?;
        let (exemplars, groups) = (made.class.exemplars, made.class.groups());
        Some((made.outlook, made.champion, exemplars, made.version, groups))
    }
}

fn courses(numbers: std::ops::RangeInclusive<u64>) -> Vec<(u64, Course)> {
    let node = Node::default();
    numbers.map(|number| (number, node.ended(number).course().unwrap())).collect()
}

#[test]
fn version_forecasts_the_same_wherever_its_learner_began() {
    let last = GENERATION + OVERLAP + 40;
    let [mut first, mut late] = [Node::default(), Node::default()];
    let begins = course::begins(last);
    assert!(begins > 0, "what is compared is no first generation");
    for (number, course) in courses(1..=last) {
        first.learn(number, &course);
        assert_eq!(first.generations.version(), number, "nobody waits for a generation to grow");
        if number <= begins {
            continue;
        }
        late.learn(number, &course);
        let grown = number >= begins + OVERLAP;
        assert_eq!(late.generations.version(), if grown { number } else { 0 });
        if number + 8 > last {
            for of in 0..3 {
                let told = first.forecast(of).unwrap();
                assert_eq!(late.forecast(of).unwrap(), told);
                assert!(told.2 < OVERLAP, "the generation before is forgotten: {told:?}");
            }
        }
    }
}

#[test]
fn who_begins_in_the_middle_speaks_and_is_of_no_version() {
    let mut node = Node::default();
    for (number, course) in courses(GENERATION + 1..=GENERATION + 60) {
        node.learn(number, &course);
    }
    let (outlook, _, exemplars, version, _) = node.forecast(0).unwrap();
    assert_eq!((exemplars, version), (20, 0));
    assert!(outlook.count > 1.0, "{outlook:?}");
}

#[test]
fn who_missed_some_speaks_as_before_until_what_began_anew_has_grown() {
    let mut node = Node::default();
    for (number, course) in courses(1..=60) {
        node.learn(number, &course);
    }
    let before = node.forecast(1).unwrap();
    assert_eq!(before.3, 60);
    let grown = GENERATION + OVERLAP;
    for (number, course) in courses(GENERATION + 1..=grown) {
        assert_eq!(node.forecast(1).unwrap(), before, "up to {number}");
        node.learn(number, &course);
    }
    let (outlook, _, exemplars, version, _) = node.forecast(1).unwrap();
    assert_eq!(version, grown);
    assert!(exemplars > before.2 && outlook.count > before.0.count, "{outlook:?}");
    // What follows nothing is learnt by nobody.
    let (number, course) = courses(grown + 9..=grown + 9).remove(0);
    node.learn(number, &course);
    assert_eq!(node.generations.version(), grown);
}

#[test]
fn course_is_what_the_stream_was_on_a_node_that_never_saw_its_steps() {
    let (one, other) = (Node::default(), Node::default());
    let ended = one.ended(1_405);
    let course = ended.course().unwrap();
    assert_eq!((course.kinds.len(), course.steps.len()), (3, 9), "kinds are told once");
    assert_eq!(course.steps[0].after_us, 0);
    let back = Ended::of(&course, &other.kinds).unwrap();
    assert_eq!((back.class, back.groups.clone()), (ended.class, ended.groups.clone()));
    for (was, is) in ended.steps.iter().zip(&back.steps) {
        let told = |step: &vatic_learn::forecast::Step| (step.symbol, step.user, step.at_us);
        assert_eq!(told(is), told(was));
        assert_eq!(is.footprint, was.footprint);
    }
    assert_eq!(back.class_name(), "add c1(f0)");
    assert_eq!(back.course(), Some(course.clone()));
    let odd = Course { kinds: Vec::new(), ..course };
    assert!(Ended::of(&odd, &other.kinds).is_none());
}

#[test]
fn stream_with_names_too_long_for_a_course_is_none() {
    let node = Node::default();
    let mut walk = Walk::new(7, STEPS_MAX);
    for field in ["short".to_owned(), "x".repeat(course::COURSE_BYTES_MAX)] {
        let key = Key::new("c", "p", "").unwrap();
        assert!(walk.step(node.kinds.of(&Delta { key, op: Op::RemoveField(field) }), 0));
    }
    let Walk { steps, kinds, .. } = walk;
    let mut ended = Ended { class: 1, steps, kinds, groups: vec![] };
    assert_eq!(ended.course(), None);
    ended.steps.truncate(1);
    assert!(ended.course().is_some());
    ended.groups = vec![GroupId(u32::MAX); course::COURSE_BYTES_MAX / 5 + 1];
    assert_eq!(ended.course(), None, "nor one of too many groups");
}
