//! The loom models of what threads share: every interleaving of two or three threads, every value
//! that a relaxed load may return, with a bound on preemptions
//! only where the model says so.
//!
//! Each model has red twins: the same model with one line of the crate broken, or put together
//! wrongly. In each loom must find an interleaving that fails, for the reason given: a model whose
//! twins pass would look at nothing. All run in processes of their own, since what has deadlocked
//! under loom ends by aborting.
//!
//! A name as argument runs the models that contain it. Without `--cfg vatic_loom` there is nothing
//! to run.

#[cfg(vatic_loom)]
mod claim;
#[cfg(vatic_loom)]
mod current;
#[cfg(vatic_loom)]
mod door;
#[cfg(vatic_loom)]
mod flights;
#[cfg(vatic_loom)]
mod gate;
#[cfg(vatic_loom)]
mod handoff;
#[cfg(vatic_loom)]
mod marker;
#[cfg(vatic_loom)]
mod run;
#[cfg(vatic_loom)]
mod sparse;

#[cfg(vatic_loom)]
fn main() -> std::process::ExitCode {
    let suites = [
        handoff::MODELS,
        current::MODELS,
        gate::MODELS,
        door::MODELS,
        claim::MODELS,
        marker::MODELS,
        sparse::MODELS,
        flights::MODELS,
    ];
    run::main(&suites.concat())
}

#[cfg(not(vatic_loom))]
fn main() {
    println!("the loom models run under RUSTFLAGS=\"--cfg vatic_loom\" alone");
}
