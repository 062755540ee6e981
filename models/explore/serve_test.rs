//! The explorer's answers, asked for over a real socket.

use crate::{
    catalogue,
    explore::serve::{Tour, serve},
    mutants,
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};
use tokio::net::TcpListener;

/// Serves a tour for as long as the test's process lives.
pub(crate) fn open(model: &str, mutant: Option<&str>) -> SocketAddr {
    let model = catalogue::named(model).expect("the test names a model");
    let mutant = mutant.map(|name| mutants::named(name).expect("the test names a mutant"));
    let tour = Tour { model, mutant, threads: 1 };
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
            tell.send(listener.local_addr().expect("it is bound")).expect("the test waits");
            serve(tour, listener).await.expect("it goes on serving");
        });
    });
    told.recv().expect("the server starts")
}

/// The status and the body of an answer. One that tells its length ends there: ChromeDriver leaves
/// connections open that it was asked to close.
pub(crate) fn exchange(at: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut reply = BufReader::new(stream);
    let (mut head, mut body) = (String::new(), Vec::new());
    while !head.ends_with("\r\n\r\n") {
        let read = reply.read_line(&mut head).expect("it answers in text");
        assert_ne!(read, 0, "it ends in its head: {head}");
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    reply.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body).expect("it goes on");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), String::from_utf8(body).expect("it answers in text"))
}

fn get(at: SocketAddr, path: &str) -> (u16, String) {
    exchange(at, &format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"))
}

fn get_json(at: SocketAddr, path: &str) -> Value {
    let (status, body) = get(at, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("it is JSON")
}

fn texts(list: &Value, field: &str) -> Vec<String> {
    let texts = list.as_array().expect("a list").iter();
    texts.map(|one| one[field].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn page_comes_whole_and_asks_nobody_else() {
    let at = open("key-skew", None);
    let (status, page) = get(at, "/");
    assert_eq!(status, 200);
    assert!(page.contains("What can happen next"), "{page}");
    assert!(!page.contains("http://") && !page.contains("https://"), "it loads from elsewhere");
}

#[test]
fn state_shows_its_parts_its_steps_and_what_the_last_step_changed() {
    let at = open("recovery", None);
    let start = get_json(at, "/api/state?path=");
    assert_eq!(start["trail"].as_array().map(Vec::len), Some(0));
    assert!(texts(&start["parts"], "title").contains(&"group 1".to_owned()), "{start}");
    let steps = texts(&start["steps"], "text");
    assert_eq!(steps, ["the client of T1 seals its transaction and hands it to a driver"]);
    let next = get_json(at, "/api/state?path=0");
    assert_eq!(next["trail"].as_array().map(Vec::len), Some(1));
    let parts = next["parts"].as_array().expect("a list");
    let driver = parts.iter().find(|part| part["title"] == "driver of T1").expect("a driver");
    assert!(driver["lines"].as_array().expect("lines").iter().any(|line| line["fresh"] == true));
    let quiet = parts.iter().find(|part| part["title"] == "recoverer 1").expect("one");
    assert!(quiet["lines"].as_array().expect("lines").iter().all(|line| line["fresh"] == false));
}

#[test]
fn search_finds_a_path_whose_last_state_shows_the_property() {
    let at = open("forgetting", None);
    let found = get_json(at, "/api/find?property=the%20first%20transaction%20commits");
    let path: Vec<String> =
        found["path"].as_array().expect("it commits").iter().map(|step| step.to_string()).collect();
    let last = get_json(at, &format!("/api/state?path={}", path.join(".")));
    assert_eq!(last["trail"].as_array().map(Vec::len), Some(path.len()));
    let properties = last["properties"].as_array().expect("properties");
    let shown = properties.iter().find(|known| known["name"] == "the first transaction commits");
    assert_eq!(shown.map(|known| &known["holds"]), Some(&Value::Bool(true)));
    let refuted = properties.iter().find(|known| known["kind"] == "refuted");
    assert_eq!(refuted.map(|known| &known["holds"]), Some(&Value::Bool(false)));
}

#[test]
fn mutant_is_named_with_what_it_violates_and_its_counterexample_is_found() {
    let at = open("key-skew", Some("NoReadLocks"));
    let head = get_json(at, "/api/model");
    assert_eq!(head["mutant"], "NoReadLocks");
    let violated = head["violates"].as_str().expect("it is known for something");
    let found = get_json(at, &format!("/api/find?property={}", violated.replace(' ', "%20")));
    let path = found["path"].as_array().expect("it is violated");
    let path: Vec<String> = path.iter().map(|step| step.to_string()).collect();
    let last = get_json(at, &format!("/api/state?path={}", path.join(".")));
    let properties = last["properties"].as_array().expect("properties");
    let strict = properties.iter().find(|known| known["name"] == violated).expect("it is there");
    assert_eq!(strict["holds"], false);
}

#[test]
fn path_that_does_not_exist_and_property_without_example_are_said_to_be_so() {
    let at = open("receipts-unchained", None);
    assert_eq!(get(at, "/api/state?path=9999").0, 404);
    assert_eq!(get(at, "/api/state?path=zero").0, 404);
    let kept = "no%20group%20rolls%20back%20what%20a%20receipt%20was%20given%20out%20for";
    assert_eq!(get_json(at, &format!("/api/find?property={kept}"))["path"], Value::Null);
}
