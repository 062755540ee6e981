//! From arguments to the command, and from its end to the exit code.

use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use vatic_client::ClientError;

use crate::agreement::Demand;
use crate::args::{BenchCommand, Cli, Command, Output, TxnCommand, VerifyCommand};
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{
    anomalies, bench, conflicts, demo, dev, keys, logging, policy, queue, records, replay, start,
    status, txn, verify,
};

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no failure.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit.into();
        }
    };
    logging::start(&cli);
    let output = cli.shared.output.unwrap_or(Output::Table);
    match runtime().and_then(|runtime| runtime.block_on(command(cli))) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = Exit::of(&error);
            report(output, exit, &error);
            exit.into()
        }
    }
}

/// Says what went wrong, on stderr: results alone go to stdout.
fn report(output: Output, exit: Exit, error: &anyhow::Error) {
    match output {
        Output::Table => eprintln!("vatic: {error:#}"),
        Output::Json | Output::Ndjson => {
            let message = format!("{error:#}");
            let mut said = json!({"exit": exit as u8, "message": message});
            let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
            match causes.next() {
                Some(ClientError::RolledBack(rollback)) => {
                    said["rollback"] = txn::of_rollback(rollback);
                }
                Some(ClientError::OutcomeUnknown { tid, request, .. }) => {
                    said["transaction_id"] = json!(tid.map(|tid| tid.to_string()));
                    said["request_id"] = json!(request);
                }
                _ => {}
            }
            eprintln!("{}", json!({"error": said}));
        }
    }
}

async fn command(cli: Cli) -> anyhow::Result<Exit> {
    let shared = cli.shared;
    let settings = Settings::of(&shared)?;
    let done = |result: anyhow::Result<()>| result.map(|()| Exit::Ok);
    match cli.command {
        Command::Demo(args) => demo::run(&args, settings.output).await,
        Command::DemoCheck(args) => demo::check(&args, &settings).await,
        Command::Dev(args) => done(dev::run(&args).await),
        Command::Start(args) => done(start::run(&args, shared.config.as_deref()).await),
        Command::Get(args) => done(records::get(&args, &settings).await),
        Command::Put(args) => done(records::put(&args, &settings).await),
        Command::Merge(args) => done(records::merge(&args, &settings).await),
        Command::Add(args) => done(records::add(&args, &settings).await),
        Command::Del(args) => done(records::del(&args, &settings).await),
        Command::Scan(args) => done(records::scan(&args, &settings).await),
        Command::Txn(args) => match &args.command {
            Some(TxnCommand::Outcome { id }) => txn::outcome(id, &settings).await,
            None => done(txn::run(&args, &settings).await),
        },
        Command::Enqueue(args) => queue::enqueue(&args, &settings).await,
        Command::Queue(command) => queue::queue(&command, &settings).await,
        Command::Explain(args) => done(conflicts::explain(&args, &settings).await),
        Command::Conflicts(command) => done(conflicts::conflicts(&command, &settings).await),
        Command::Policy(command) => done(policy::policy(&command, &settings).await),
        Command::Model(command) => done(conflicts::model(&command, &settings).await),
        Command::Keys => done(keys::run(&settings).await),
        Command::Verify(VerifyCommand::Receipt { file, keys }) => {
            done(verify::receipt(&file, keys.as_deref(), settings.output))
        }
        Command::Verify(VerifyCommand::Cluster { states }) => {
            let demand = if states { Demand::States } else { Demand::Chains };
            done(verify::cluster(&settings, demand).await)
        }
        Command::Bench(BenchCommand::Run(args)) => done(bench::run(&args, &settings).await),
        Command::Bench(BenchCommand::Overload(args)) => {
            done(bench::overload(&args, &settings).await)
        }
        Command::Bench(BenchCommand::Streams(args)) => done(bench::streams(&args, &settings).await),
        Command::Bench(BenchCommand::Tickets(args)) => done(bench::tickets(&args, &settings).await),
        Command::Bench(BenchCommand::Ablation(args)) => {
            done(bench::ablation(&args, &settings).await)
        }
        Command::Bench(BenchCommand::Foresight(args)) => {
            done(bench::foresight(&args, &settings).await)
        }
        Command::Bench(BenchCommand::Spared(args)) => done(bench::spared(&args, &settings).await),
        Command::Bench(BenchCommand::Compare(args)) => done(bench::compare(&args, &settings).await),
        Command::Replay(args) => done(replay::run(&args, settings.output)),
        Command::Anomalies(asked) => done(anomalies::run(&asked, &settings).await),
        Command::Status => done(status::run(&settings).await),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
