//! The command line against a running cluster: what it prints, and how it exits.

use std::fs;

use serde_json::{Value as Json, json};
use vatic_client::{PipelineOptions, Request};
use vatic_core::delta::{Delta, Op};
use vatic_tests::cluster::{Cluster, GROUPS, NODES};
use vatic_tests::command::{vatic, vatic_with_input};
use vatic_tests::values::{core_key, fields, key};
use vatic_tests::wait::{SOON, until};

/// Receipts that are asked for until a majority has signed one in time.
const SIGNED_MAX: usize = 5;

pub(crate) async fn records_are_written_read_and_removed(cluster: &Cluster) {
    let at = cluster.endpoints();
    let put =
        vatic(at, &["put", "cli/alice/x", "balance=100", "name=\"Alice\"", "--output", "json"]);
    assert_eq!((put.code, put.stderr.as_str()), (0, ""), "{put:?}");
    let version = put.json()["commit_version"].as_u64().unwrap();
    assert_eq!(put.json()["groups"].as_array().unwrap().len(), 1);
    assert!(put.json()["transaction_id"].is_string());
    assert_eq!(vatic(at, &["add", "cli/alice/x", "balance=-30"]).code, 0);
    assert_eq!(vatic(at, &["merge", "cli/alice/x", "tags=[1,\"two\"]"]).code, 0);
    let get = vatic(&at[1..2], &["get", "cli/alice/x", "--output", "json"]);
    assert_eq!(get.json()["key"], "cli/alice/x");
    assert!(get.json()["version"].as_u64().unwrap() > version);
    let fields = json!({"balance": 70, "name": "Alice", "tags": [1, "two"]});
    assert_eq!(get.json()["fields"], fields);
    let old = vatic(at, &["get", "cli/alice/x", "--at", &version.to_string(), "--output", "json"]);
    assert_eq!(old.json()["fields"], json!({"balance": 100, "name": "Alice"}));
    assert_eq!(vatic(at, &["put", "cli/alice/y", "balance=1"]).code, 0);
    let scan = vatic(at, &["scan", "cli/alice", "--output", "ndjson"]);
    let keys: Vec<Json> = scan
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap()["key"].clone())
        .collect();
    assert_eq!(keys, [json!("cli/alice/x"), json!("cli/alice/y")]);
    assert_eq!(vatic(at, &["del", "cli/alice/x"]).code, 0);
    let gone = vatic(at, &["get", "cli/alice/x", "--output", "json"]);
    assert_eq!((gone.code, gone.stdout.trim()), (0, "null"));
    let table = vatic(at, &["get", "cli/alice/y"]);
    assert!(table.stdout.contains("cli/alice/y") && !table.stdout.contains('\u{1b}'), "{table:?}");
}

pub(crate) async fn script_commits_and_its_receipt_verifies_offline(cluster: &Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (script, receipt, keys_path) = (path("transfer"), path("receipt"), path("keys"));
    let [from, to] = [cluster.partition(1, 0).await, cluster.partition(2, 0).await];
    let at = cluster.endpoints();
    let keys = vatic(at, &["keys"]);
    assert_eq!(keys.code, 0, "{keys:?}");
    fs::write(&keys_path, &keys.stdout).unwrap();
    let mut scripts = (0..SIGNED_MAX).map(|number| {
        format!(
            "# two groups\nexpect scripted/{from}/{number} absent\n\
             put scripted/{from}/{number} value=1\nadd scripted/{to}/{number} value=-1\n\
             get scripted/{from}/{number}\n"
        )
    });
    let is_signed = |text: &String| {
        fs::write(&script, text).unwrap();
        script_commits(at, &script, &receipt);
        receipt_is_signed(&receipt, &keys_path)
    };
    let text = scripts.find(is_signed).expect("a majority signs in time");
    let original = fs::read_to_string(&receipt).unwrap();
    signatures_of_others_do_not_count(&keys.stdout, &keys_path, &receipt);
    readme_forges_a_receipt_of_this_format(&original);
    tampered_receipt_files_do_not_verify(&original, &receipt);
    // Again: the expectation fails, and from stdin as well as from a file.
    let again = vatic_with_input(at, &["txn", "-f", "-"], &text);
    assert_eq!(again.code, 4, "{again:?}");
    assert!(again.stderr.contains("scripted/") && again.stdout.is_empty(), "{again:?}");
}

/// Offline: there are no endpoints to ask.
fn nobody() -> [String; 1] {
    ["http://127.0.0.1:1".to_owned()]
}

/// It commits, and its receipt verifies by itself.
fn script_commits(at: &[String], script: &str, receipt: &str) {
    let run = vatic(at, &["txn", "-f", script, "--receipt-out", receipt, "-o", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let done = run.json();
    assert_eq!((&done["transitions"], &done["groups"]), (&json!(3), &json!([1, 2])));
    assert_eq!(done["reads"][0]["fields"], json!({"value": 1}));
    let outcome =
        vatic(at, &["txn", "outcome", done["transaction_id"].as_str().unwrap(), "-o", "json"]);
    assert_eq!(outcome.json()["state"], "committed");
    assert_eq!(outcome.json()["head"], done["head"]);
    let verified = vatic(&nobody(), &["verify", "receipt", receipt, "-o", "json"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_eq!(verified.json()["transaction_id"], done["transaction_id"]);
    assert_eq!(verified.json()["signed"], false);
}

/// Whether it verifies by the pinned keys; false where too few had signed when it was asked for.
fn receipt_is_signed(receipt: &str, keys_path: &str) -> bool {
    let pinned = ["verify", "receipt", receipt, "--keys", keys_path, "-o", "json"];
    let signed = vatic(&nobody(), &pinned);
    if signed.code == 5 && signed.stderr.contains("too few replicas signed") {
        return false;
    }
    assert_eq!(signed.code, 0, "{signed:?}");
    assert_eq!(signed.json()["signed"], true);
    true
}

/// Other keys, too few of them, or another cluster's: the receipt verifies by none of them.
fn signatures_of_others_do_not_count(keys: &str, keys_path: &str, receipt: &str) {
    let good: Json = serde_json::from_str(keys).unwrap();
    let changed = |change: &dyn Fn(&mut Json)| {
        let mut file = good.clone();
        change(&mut file);
        file.to_string()
    };
    let cases = [
        changed(&|file| file["cluster"] = json!("another")),
        changed(&|file| drop(file["groups"].as_object_mut().unwrap().remove("2"))),
        changed(&|file| {
            let nodes = file["groups"]["1"].as_object_mut().unwrap();
            let (first, second) = (nodes["1"].clone(), nodes["2"].clone());
            (nodes["1"], nodes["2"]) = (second, first);
        }),
        // Any two may have signed: all under one key, two of them do.
        changed(&|file| {
            let first = file["groups"]["1"]["1"].clone();
            (file["groups"]["1"]["2"], file["groups"]["1"]["3"]) = (first.clone(), first);
        }),
    ];
    for (number, case) in cases.iter().enumerate() {
        fs::write(keys_path, case).unwrap();
        let ended = vatic(&[], &["verify", "receipt", receipt, "--keys", keys_path]);
        assert_eq!(ended.code, 5, "case {number}: {ended:?}");
    }
}

/// The tour forges a receipt by a digit of a delta, which it must find: of the format that deltas
/// have, and of the collection of the tour.
fn readme_forges_a_receipt_of_this_format(text: &str) {
    let readme = include_str!("../../README.md");
    let (_, forging) = readme.split_once("sed 's/\"").expect("the tour forges a receipt");
    let (written, rest) = forging.split_once('/').expect("a pattern, and what takes its place");
    assert_ne!(rest.split('/').next(), Some(format!("\"{written}").as_str()));
    let (format, collection) = written.split_at(2);
    assert_eq!(collection, "076163", "`ac` of `account`, which has 7 letters");
    assert!(text.contains(&format!("\"{format}08736372")), "`scr` of `scripted`: {text}");
}

fn tampered_receipt_files_do_not_verify(text: &str, path: &str) {
    let good: Json = serde_json::from_str(text).unwrap();
    let tampered = |change: &dyn Fn(&mut Json)| {
        let mut file = good.clone();
        change(&mut file);
        file.to_string()
    };
    let flipped = |hex: &Json, at: usize| {
        let mut hex = hex.as_str().unwrap().to_owned();
        let digit = if &hex[at..=at] == "0" { "1" } else { "0" };
        hex.replace_range(at..=at, digit);
        json!(hex)
    };
    let cases = [
        tampered(&|file| file["deltas"][0] = flipped(&file["deltas"][0], 9)),
        tampered(&|file| drop(file["deltas"].as_array_mut().unwrap().pop())),
        tampered(&|file| file["deltas"].as_array_mut().unwrap().swap(0, 1)),
        tampered(&|file| file["receipt"] = flipped(&file["receipt"], 3)),
        tampered(&|file| file["commit_version"] = json!(1)),
        tampered(&|file| file["transaction_id"] = json!("0-0-0")),
        tampered(&|file| file["format"] = json!(2)),
        text[..text.len() / 2].to_owned(),
        String::new(),
    ];
    for (number, case) in cases.iter().enumerate() {
        fs::write(path, case).unwrap();
        let ended = vatic(&[], &["verify", "receipt", path]);
        assert_eq!(ended.code, 5, "case {number}: {ended:?}");
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended:?}");
    }
    fs::write(path, text).unwrap();
    assert_eq!(vatic(&[], &["verify", "receipt", path]).code, 0);
}

pub(crate) async fn histories_are_replayed_and_bad_lines_named(_: &Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let landed = |at: u64| {
        let writes = [format!("a/{}", at % 3)];
        json!({"begin": at, "write": at + 1, "commit": at + 2, "user": 1, "writes": writes,
            "conflict": at.is_multiple_of(3)})
    };
    let lines: String = (0..40).map(|at| format!("{}\n", landed(10 * at))).collect();
    let replayed = vatic(&[], &["replay", "--trace", &path("trace.jsonl", &lines), "-o", "json"]);
    assert_eq!((replayed.code, replayed.json()["n"].as_u64()), (0, Some(20)), "{replayed:?}");
    let case = |at: u64| {
        let steps = ["open", "work", "close"].iter().zip(0..);
        let event = |(step, n): (&&str, u64)| json!({"at": 9 * at + n, "step": step, "user": 1});
        let events: Vec<Json> = steps.map(|(step, n)| event((step, n))).collect();
        json!({"case": at, "events": events})
    };
    let lines: String = (0..40).map(|at| format!("{}\n", case(at))).collect();
    let replayed = vatic(&[], &["replay", "--events", &path("events.jsonl", &lines), "-o", "json"]);
    assert_eq!((replayed.code, replayed.json()["n_test"].as_u64()), (0, Some(12)), "{replayed:?}");
    let bad = vatic(&[], &["replay", "--trace", &path("bad.jsonl", "\n{\"begin\": 1}\n")]);
    assert!(bad.code == 2 && bad.stderr.contains("line 2"), "{bad:?}");
}

pub(crate) async fn exit_codes_tell_failures_apart(cluster: &Cluster) {
    let at = cluster.endpoints();
    for usage in [
        &["no-such-command"][..],
        &["get"],
        &["get", "nokey"],
        &["get", "$reserved/x"],
        &["put", "cli/x", "unquoted=text"],
        &["put", "cli/x", "twice=1", "twice=2"],
        &["txn", "-f", "/no/such/file"],
        &["verify", "receipt", "/no/such/file"],
        &["status", "--endpoints", "not-an-endpoint"],
    ] {
        let ended = vatic(at, usage);
        assert_eq!(ended.code, 2, "{usage:?}: {ended:?}");
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{usage:?}: {ended:?}");
    }
    let nobody = ["http://127.0.0.1:1".to_owned()];
    for arguments in [&["status"][..], &["get", "cli/x"], &["put", "cli/x", "a=1"]] {
        let ended = vatic(&nobody, &[arguments, &["--timeout-ms", "1500"]].concat());
        assert_eq!(ended.code, 3, "{arguments:?}: {ended:?}");
    }
    assert_eq!(vatic(at, &["put", "cli/codes", "a=1", "--if-version", "0"]).code, 0);
    let conflict = vatic(at, &["put", "cli/codes", "a=1", "--if-version", "0"]);
    assert_eq!(conflict.code, 4, "{conflict:?}");
    assert!(conflict.stderr.contains("cli/codes"), "{conflict:?}");
    let unknown = vatic(at, &["txn", "outcome", "0000000000000001-1-0000000000000001"]);
    assert_eq!(unknown.code, 6, "{unknown:?}");
    for fine in [&["--help"][..], &["--version"], &["txn", "--help"]] {
        let ended = vatic(at, fine);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    }
}

pub(crate) async fn status_and_verification_of_the_cluster_are_printed(cluster: &Cluster) {
    // An election shows in a single look.
    let seen = until("all groups are seen to have leaders", SOON, || async {
        let status = vatic(cluster.endpoints(), &["status", "--output", "json"]);
        assert_eq!(status.code, 0, "{status:?}");
        let seen = status.json();
        let groups = seen["groups"].as_array().unwrap();
        assert_eq!(groups.len(), GROUPS as usize + 1);
        let led = groups.iter().all(|group| group["leader"].is_u64());
        (led && seen["ready"] == true).then_some(seen)
    })
    .await;
    let members = seen["members"].as_array().unwrap();
    let clients: Vec<&str> = members.iter().filter_map(|it| it["client"].as_str()).collect();
    assert_eq!(
        (clients.len(), clients),
        (NODES, cluster.endpoints().iter().map(|at| &**at).collect())
    );
    let table = vatic(cluster.endpoints(), &["status"]);
    assert!(table.stdout.contains("leader") && table.stdout.contains("ready"), "{table:?}");
}

pub(crate) async fn outcome_of_a_request_is_told_by_the_name_that_an_error_gives_it(
    cluster: &Cluster,
) {
    let name = core_key(&key("cli-asked", &cluster.partition(2, 0).await, ""));
    let pipeline = cluster.client().pipeline(PipelineOptions::default()).await.unwrap();
    let (request, put) = (Request::mint(), Delta { key: name, op: Op::Put(fields(1)) });
    let done = pipeline.submit_as(&request, &[put]).await.unwrap();
    let asked = request.to_string();
    let told = vatic(cluster.endpoints(), &["txn", "outcome", &asked, "--output", "json"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(told.json()["transaction_id"], done.tid.to_string());
    let (_, rest) = asked.split_once('.').unwrap();
    let another = format!("{}.{rest}", "00".repeat(16));
    let told = vatic(cluster.endpoints(), &["txn", "outcome", &another, "--output", "json"]);
    assert_eq!((told.code, &told.json()["state"]), (6, &json!("unknown")), "{told:?}");
    assert_eq!(told.json()["request_id"], another);
    assert_eq!(vatic(cluster.endpoints(), &["txn", "outcome", "00.1.x"]).code, 2);
}
