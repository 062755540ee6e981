//! The command line reads as documented.

use clap::{CommandFactory, Parser};
use vatic_core::value::Value;

use crate::args::{Cli, Command, Output, TxnCommand};
use crate::txn::Asked;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn declarations_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn fields_are_typed_json() {
    let Command::Put(put) = parse("vatic put c/p/s n=1 ok=true").unwrap().command else {
        panic!("put was expected");
    };
    assert_eq!(put.key.to_string(), "c/p/s");
    assert_eq!(put.fields[0], ("n".to_owned(), Value::from(1)));
    assert_eq!(put.fields[1], ("ok".to_owned(), Value::from(true)));
}

#[test]
fn amount_may_be_negative_and_must_be_whole() {
    let Command::Add(add) = parse("vatic add c/p n=-5").unwrap().command else {
        panic!("add was expected");
    };
    assert_eq!(add.additions, [("n".to_owned(), -5)]);
    assert!(parse("vatic add c/p n=1.5").is_err());
}

#[test]
fn bad_key_is_a_usage_error_that_names_it() {
    let error = parse("vatic get nokey").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("nokey"), "{error}");
}

#[test]
fn txn_takes_a_file_or_asks_for_an_outcome() {
    let Command::Txn(run) = parse("vatic txn -f x --receipt-out r").unwrap().command else {
        panic!("txn was expected");
    };
    assert!(run.command.is_none() && run.file.is_some());
    let id = "0000000000000001-2-0000000000000003";
    let Command::Txn(ask) = parse(&format!("vatic txn outcome {id}")).unwrap().command else {
        panic!("txn was expected");
    };
    let Some(TxnCommand::Outcome { id: Asked::Transaction(found) }) = ask.command else {
        panic!("a transaction was asked for");
    };
    assert_eq!(found.to_string(), id);
    assert!(parse("vatic txn").is_err());
    assert!(parse("vatic txn outcome nonsense").is_err());
}

#[test]
fn shared_flags_stand_before_or_after_the_command() {
    let before = parse("vatic -o json status").unwrap();
    let after = parse("vatic status --output json --endpoints http://a:1,http://b:2").unwrap();
    assert_eq!(before.shared.output, Some(Output::Json));
    assert_eq!(after.shared.output, Some(Output::Json));
    assert_eq!(after.shared.endpoints, ["http://a:1", "http://b:2"]);
}

#[test]
fn members_are_repeated_or_joined() {
    let line = "vatic start --member 1=h:1 --member 2=h:2,3=h:3";
    let Command::Start(start) = parse(line).unwrap().command else {
        panic!("start was expected");
    };
    let nodes: Vec<u32> = start.members.iter().map(|member| member.node).collect();
    assert_eq!(nodes, [1, 2, 3]);
    assert_eq!(start.members[2].peer, "h:3");
    assert!(parse("vatic start --member 0=h:1").is_err());
    assert!(parse("vatic start --member h:1").is_err());
}

#[test]
fn demo_has_the_documented_flags() {
    let Command::Demo(demo) =
        parse("vatic demo --seconds 3 --seed 9 --output json").unwrap().command
    else {
        panic!("demo was expected");
    };
    assert_eq!((demo.seconds, demo.seed), (3, Some(9)));
    let Command::Dev(dev) = parse("vatic dev -n 1 --groups 2").unwrap().command else {
        panic!("dev was expected");
    };
    assert_eq!((dev.nodes, dev.groups), (1, 2));
}

#[test]
fn replay_takes_one_history_and_scores_traces_alone() {
    let parse =
        |arguments: &[&str]| Cli::try_parse_from([&["vatic", "replay"], arguments].concat());
    assert!(parse(&["--trace", "t"]).is_ok() && parse(&["--events", "e"]).is_ok());
    assert!(parse(&["--trace", "t", "--score-at", "write"]).is_ok());
    assert!(parse(&["--events", "e", "--score-at", "write"]).is_err());
    assert!(parse(&[]).is_err() && parse(&["--trace", "t", "--events", "e"]).is_err());
}
