//! Runs the tests of one binary on one cluster.
//!
//! Why not the built-in harness: a cluster costs seconds and must go when the last test is through,
//! and statics are never dropped. Names, filters and `--list` work as usual; each test has a
//! deadline and prints how long it took.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

use crate::cluster::Cluster;

/// One test: a name and what it does.
pub type Test = (&'static str, fn(&Cluster) -> Pin<Box<dyn Future<Output = ()> + '_>>);

/// The tests named, each an `async fn(&Cluster)` in a module.
#[macro_export]
macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        vec![$((
            concat!(stringify!($module), "::", stringify!($name)),
            |cluster| Box::pin($module::$name(cluster)),
        )),*]
    };
}

/// How the tests of a binary run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Several at once, or one after the other in their order.
    pub threads: usize,
    /// What each test has.
    pub deadline: Duration,
}

struct Stage {
    runtime: Runtime,
    cluster: OnceCell<Cluster>,
    deadline: Duration,
    times: Mutex<Vec<(f64, &'static str)>>,
}

/// Runs the tests as the command line of this process says.
pub fn run(plan: Plan, tests: Vec<Test>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(plan.threads);
    let stage = Arc::new(Stage {
        runtime: Builder::new_multi_thread().enable_all().build().expect("a runtime starts"),
        cluster: OnceCell::new(),
        deadline: plan.deadline,
        times: Mutex::default(),
    });
    let trials = tests.into_iter().map(|(name, body)| {
        let stage = stage.clone();
        Trial::test(name, move || {
            stage.play(name, body);
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    stage.print_times();
    // The last owner goes here, and with it the cluster.
    drop(stage);
    conclusion.exit_code()
}

impl Stage {
    fn play(
        &self,
        name: &'static str,
        body: fn(&Cluster) -> Pin<Box<dyn Future<Output = ()> + '_>>,
    ) {
        self.runtime.block_on(async {
            let cluster = self.cluster.get_or_init(Cluster::start).await;
            let started = Instant::now();
            let ended = tokio::time::timeout(self.deadline, body(cluster)).await;
            cluster.assert_alive();
            assert!(ended.is_ok(), "{name} was not through after {:?}", self.deadline);
            let mut times = self.times.lock().expect("no holder panics");
            times.push((started.elapsed().as_secs_f64(), name));
        });
    }

    fn print_times(&self) {
        for (seconds, name) in self.times.lock().expect("no holder panics").iter() {
            println!("{seconds:6.2} s  {name}");
        }
    }
}
