//! The durable queue: tickets happen once, can be waited for, taken back and held up.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value as Json;
use vatic_client::{Client, ClientError, Limits, Options, Request, TicketState};
use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::key::Key;
use vatic_core::strategy::Strategy;
use vatic_tests::cluster::{Cluster, TICKETS_MAX};
use vatic_tests::command::{vatic, vatic_with_input};
use vatic_tests::values::{core_key, key, number};
use vatic_tests::wait::{SOON, until, within};

use crate::metrics::scrape;

/// Longest that a ticket takes on a slow machine.
const WAIT_MS: u32 = 30_000;
/// A ticket that nothing holds up is tried out long before.
const TRIED_OUT: Duration = Duration::from_secs(2);

fn add(at: &Key, by: i64) -> Delta {
    Delta { key: at.clone(), op: Op::Add { field: "value".to_owned(), by } }
}

/// One test, since a pause holds up all tickets of the cluster.
pub(crate) async fn tickets_happen_once_wait_while_paused_and_can_be_taken_back(cluster: &Cluster) {
    let client = cluster.client();
    let at = [
        core_key(&key("queued", &cluster.partition(1, 0).await, "")),
        core_key(&key("queued", &cluster.partition(2, 0).await, "")),
    ];
    let deltas = [add(&at[0], 3), add(&at[1], 4)];
    let request = Request::mint();
    let ticket = client.enqueue(Some(&request), 0, &deltas).await.unwrap();
    let state = client.ticket(&ticket, WAIT_MS).await.unwrap();
    let TicketState::Committed { version, .. } = state else { panic!("{state:?}") };
    let again = client.enqueue(Some(&request), 0, &deltas).await.unwrap();
    assert_eq!(again, ticket, "the same request is the same ticket");
    let other = client.enqueue(Some(&request), 1, &deltas).await;
    assert!(matches!(other, Err(ClientError::RolledBack(_))), "another priority: {other:?}");
    let at_once = client.submit_as(&request, &deltas).await;
    assert!(matches!(at_once, Err(ClientError::RolledBack(_))), "no ticket: {at_once:?}");
    for (key, value) in at.iter().zip([3, 4]) {
        let found = client.get(key).await.unwrap();
        assert_eq!((number(found.as_ref()), found.unwrap().version), (value, version));
    }
    assert!(!client.cancel(&ticket).await.unwrap(), "it happened");

    let absent = Delta { key: at[0].clone(), op: Op::Expect(Expect::Absent) };
    let doomed = client.enqueue(None, 0, &[absent, add(&at[0], 1)]).await.unwrap();
    let state = client.ticket(&doomed, WAIT_MS).await.unwrap();
    assert!(
        matches!(&state, TicketState::RolledBack(why) if why.starts_with("transition 1 on ")),
        "{state:?}"
    );

    client.pause_queue(true).await.unwrap();
    // A leader may have looked just before.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let low = client.enqueue(None, 0, &[add(&at[0], 10)]).await.unwrap();
    let high = client.enqueue(None, 9, &[add(&at[0], 100)]).await.unwrap();
    let taken_back = client.enqueue(None, 0, &[add(&at[0], 1_000)]).await.unwrap();
    assert!(client.cancel(&taken_back).await.unwrap());
    assert_eq!(client.ticket(&low, 300).await.unwrap(), TicketState::Queued);
    let queue = client.queue().await.unwrap();
    assert!(queue.paused && queue.groups.iter().any(|(group, queued)| (*group, *queued) == (1, 2)));
    let more = fill(cluster).await;
    client.pause_queue(false).await.unwrap();
    for ticket in more.iter().chain([&low, &high]) {
        let state = client.ticket(ticket, WAIT_MS).await.unwrap();
        assert!(matches!(state, TicketState::Committed { .. }), "{state:?}");
    }
    assert_eq!(client.ticket(&taken_back, 0).await.unwrap(), TicketState::Cancelled);
    assert_eq!(number(client.get(&at[0]).await.unwrap().as_ref()), 113);
    let stranger = client.ticket("q1-zz", 0).await;
    let Err(ClientError::Refused(refusal)) = stranger else { panic!("{stranger:?}") };
    assert_eq!(refusal.reason, "BAD_FRAME");
    for (event, least) in
        [("enqueued", 5.0), ("cancelled", 1.0), ("given_up", 1.0), ("committed", 3.0)]
    {
        // A ticket is seen to be resolved before its leader has counted it.
        let counted = || async { (of_tickets(cluster, event).await >= least).then_some(()) };
        until(event, SOON, counted).await;
    }
    commands(cluster, &at[1]);
    shadow(cluster).await;
    until("no attempt is under way", SOON, || async {
        (of_nodes(cluster, "vatic_tickets_under_way").await == 0.0).then_some(())
    })
    .await;
}

/// What is not urgent is held back while somebody has its record, and happens afterwards. On a slow
/// machine the turn may end before that is seen.
async fn shadow(cluster: &Cluster) {
    for sort in ["a", "b", "c", "d", "e"] {
        if held_back_is_seen(cluster, sort).await {
            return;
        }
    }
    panic!("what is not urgent never waits");
}

async fn held_back_is_seen(cluster: &Cluster, sort: &str) -> bool {
    let client = &cluster.client();
    let at = &[
        core_key(&key("shadowed", &cluster.partition(1, 3).await, sort)),
        core_key(&key("shadowed", &cluster.partition(2, 3).await, sort)),
    ];
    let deltas = &at.clone().map(|key| add(&key, 1));
    let before = held_back(cluster).await;
    let (noted, given_back) = (Mutex::new(None), "the turn is given back");
    let had = client.transaction().strategy(Strategy::Lock).run(|txn| {
        let noted = &noted;
        async move {
            txn.read(&at[1]).await?;
            let waits = client.enqueue(None, 0, deltas).await?;
            let look = || async { (held_back(cluster).await > before).then_some(()) };
            let tried = within(TRIED_OUT, look).await.is_some();
            let seen = tried && client.ticket(&waits, 0).await? == TicketState::Queued;
            let urgent = client.enqueue(None, 1, deltas).await?;
            let state = client.ticket(&urgent, WAIT_MS).await?;
            assert!(matches!(state, TicketState::Committed { .. }), "{state:?}");
            *noted.lock().unwrap() = Some((waits, seen));
            Err::<(), _>(ClientError::caller(given_back))
        }
    });
    assert!(had.await.unwrap_err().to_string().contains(given_back));
    let (waits, seen) = noted.into_inner().unwrap().expect("it was enqueued");
    let state = client.ticket(&waits, WAIT_MS).await.unwrap();
    assert!(matches!(state, TicketState::Committed { .. }), "{state:?}");
    for key in at {
        assert_eq!(number(client.get(key).await.unwrap().as_ref()), 2);
    }
    seen
}

/// How often tickets were held back, at all nodes.
async fn held_back(cluster: &Cluster) -> f64 {
    of_nodes(cluster, "vatic_shadows_total{outcome=\"held_back\"}").await
}

async fn of_tickets(cluster: &Cluster, event: &str) -> f64 {
    of_nodes(cluster, &format!("vatic_tickets_total{{event=\"{event}\"}}")).await
}

/// Summed over all nodes.
async fn of_nodes(cluster: &Cluster, series: &str) -> f64 {
    let mut sum = 0.0;
    for at in 0..3 {
        sum += scrape(cluster, at).await.is(series);
    }
    sum
}

/// Enqueues until there is no room for more.
async fn fill(cluster: &Cluster) -> Vec<String> {
    let limits = Limits { attempts_max: 1, ..Limits::production() };
    let options = Options { limits, ..Options::default() };
    let client = Client::lazy(cluster.endpoints(), options).unwrap();
    let partition = cluster.partition(3, 0).await;
    let (mut tickets, mut doubtful) = (Vec::new(), 0);
    // Each gateway counts for itself between two looks at what is there.
    for number in 0..20 * TICKETS_MAX {
        let at = core_key(&key("queued", &partition, &number.to_string()));
        match client.enqueue(None, 0, &[add(&at, 1)]).await {
            Ok(ticket) => tickets.push(ticket),
            Err(ClientError::Refused(refusal)) if refusal.metadata.contains_key("limit") => {
                assert_eq!(refusal.metadata["limit"], "tickets_max", "{refusal}");
                let queued = tickets.len() as u64 + doubtful;
                assert!(refusal.retry_after.is_some() && queued >= TICKETS_MAX);
                return tickets;
            }
            // Without a leader for a moment; it may be queued all the same.
            Err(error @ ClientError::Refused(_)) if error.retryable() => doubtful += 1,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{} tickets are none too many", tickets.len());
}

fn commands(cluster: &Cluster, at: &Key) {
    let script = format!("add {at} value=5\n");
    let arguments = ["enqueue", "-f", "-", "--wait-ms", "30000", "--output", "json"];
    let ended = vatic_with_input(cluster.endpoints(), &arguments, &script);
    assert_eq!(ended.code, 0, "{ended:?}");
    let told = ended.json();
    assert_eq!(told["state"], "committed", "{told}");
    let ticket = told["ticket"].as_str().expect("a ticket has a name");
    let asked = vatic(cluster.endpoints(), &["queue", "ticket", ticket, "--output", "json"]);
    assert_eq!(asked.json()["transaction_id"], told["transaction_id"]);
    let cancelled = vatic(cluster.endpoints(), &["queue", "cancel", ticket]);
    assert_eq!(cancelled.code, 4, "it happened: {cancelled:?}");
    let drained = vatic(cluster.endpoints(), &["queue", "drain", "--output", "json"]);
    assert_eq!(drained.json()["paused"], Json::from(false), "{drained:?}");
    let reads = vatic_with_input(cluster.endpoints(), &arguments, &format!("get {at}\n"));
    assert_eq!(reads.code, 2, "{reads:?}");
}
