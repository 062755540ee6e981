//! The page itself, in headless Chromium, by the WebDriver protocol.
//!
//! `cargo test -p vatic-models -- --ignored browser` needs `chromium` and `chromedriver` on the
//! path (or named by `CHROMIUM` and `CHROMEDRIVER`), so it is no part of the plain tests. With
//! `SCREENSHOTS` it leaves what it saw in that folder.

use crate::explore::serve_test::{exchange, open};
use serde_json::{Value, json};
use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

struct Browser {
    driver: Child,
    at: SocketAddr,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Browser {
        let name = env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".into());
        let mut driver = Command::new(name)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver is installed");
        let lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port = lines
            .map_while(Result::ok)
            .filter_map(|line| line.split("on port ").nth(1)?.trim_end_matches('.').parse().ok())
            // What it was asked for comes first, in some versions.
            .find(|port| *port != 0)
            .expect("it says its port");
        let profile = tempfile::tempdir().expect("a folder");
        let mut browser = Browser {
            driver,
            at: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            _profile: profile,
        };
        let folder = format!("--user-data-dir={}", browser._profile.path().display());
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1500,950",
            &folder,
        ];
        let binary = env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
        let options = json!({ "args": flags, "binary": binary });
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let begun = browser.post("/session", &wanted);
        browser.session = begun["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (body, host) = (body.to_string(), self.at);
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        self.value(&request)
    }

    fn value(&self, request: &str) -> Value {
        let (status, body) = exchange(self.at, request);
        let answer: Value = serde_json::from_str(&body).expect("WebDriver answers in JSON");
        assert_eq!(status, 200, "{body}");
        answer["value"].clone()
    }

    fn visit(&self, url: &str) {
        self.post(&format!("/session/{}/url", self.session), &json!({ "url": url }));
    }

    fn run(&self, script: &str) -> Value {
        let path = format!("/session/{}/execute/sync", self.session);
        self.post(&path, &json!({ "script": script, "args": [] }))
    }

    fn text(&self, selector: &str) -> String {
        let found = self.run(&format!("return document.querySelector('{selector}').innerText"));
        found.as_str().unwrap_or_default().to_owned()
    }

    /// Polls until a condition of the page holds.
    fn wait(&self, condition: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.run(&format!("return Boolean({condition})")) != Value::Bool(true) {
            assert!(Instant::now() < deadline, "never so: {condition}\n{}", self.text("body"));
        }
    }

    fn wait_for(&self, address: &str) {
        self.wait(&format!("document.body.dataset.ready === '{address}'"));
    }

    fn picture(&self, name: &str) {
        let Ok(folder) = env::var("SCREENSHOTS") else { return };
        let host = self.at;
        let path = format!("/session/{}/screenshot", self.session);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let coded = self.value(&request);
        let file = std::path::Path::new(&folder).join(format!("{name}.png.base64"));
        std::fs::write(file, coded.as_str().expect("a picture")).expect("the folder is there");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let host = self.at;
        let path = format!("/session/{}", self.session);
        let close = format!("DELETE {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(self.at, &close);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn browser_steps_through_a_model_and_back() {
    let browser = Browser::start();
    browser.visit(&format!("http://{}/", open("recovery", None)));
    browser.wait_for("#0/");
    assert_eq!(browser.text("#name"), "recovery");
    assert!(browser.text("#state").contains("group 2"));
    browser.run("document.querySelector('#steps button').click()");
    browser.wait_for("#1/0");
    assert!(browser.text("#trail").contains("the client of T1 seals its transaction"));
    assert!(browser.text("#state .part.wire").contains("the vote on T1"));
    browser.run("document.querySelector('#steps button').click()");
    browser.wait("document.body.dataset.ready.startsWith('#2/0.')");
    browser.picture("recovery");
    browser.run("document.querySelector('#back').click()");
    browser.wait("document.body.dataset.ready.startsWith('#1/')");
    assert!(browser.text("#trail .here").contains("seals"), "{}", browser.text("#trail"));
    browser.run("history.back()");
    browser.wait("document.body.dataset.ready.startsWith('#2/')");
    browser.run("dispatchEvent(new KeyboardEvent('keydown', { key: 'Home' }))");
    browser.wait("document.body.dataset.ready.startsWith('#0/')");
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn browser_opens_a_mutant_on_its_counterexample_and_steps_through_it() {
    let browser = Browser::start();
    browser.visit(&format!("http://{}/", open("key-skew", Some("NoReadLocks"))));
    browser.wait("document.body.dataset.search === 'found'");
    browser.wait("document.querySelector('#properties .bad')");
    assert!(browser.text("#mutant").contains("NoReadLocks"));
    assert!(browser.text("#banner").contains("clients see a strictly serializable history"));
    browser.picture("mutant");
    browser.run("document.querySelector('#banner button').click()");
    browser.wait("document.body.dataset.ready.startsWith('#0/')");
    let steps = browser.run("return document.querySelectorAll('#trail li.ahead').length");
    assert!(steps.as_u64() > Some(3), "{steps}");
    assert_eq!(browser.run("return document.querySelectorAll('#properties .bad').length"), 0);
    browser.run("document.querySelector('#forth').click()");
    browser.wait("document.body.dataset.ready.startsWith('#1/')");
    browser.picture("mutant-step");
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn browser_says_where_a_search_finds_nothing() {
    let browser = Browser::start();
    browser.visit(&format!("http://{}/", open("receipts-unchained", None)));
    browser.wait_for("#0/");
    browser.run("document.querySelectorAll('#properties button')[1].click()");
    browser.wait("document.body.dataset.search === 'none'");
    assert!(browser.text("#banner").contains("No reachable state violates it"));
    browser.picture("receipts");
}
