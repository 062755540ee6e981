//! A node that is asked for more than it can do: it says so, and does first what matters most.

use std::time::Duration;

use tokio::task::JoinSet;
use vatic_client::{Client, ClientError, Limits, Options, PipelineOptions};
use vatic_core::delta::{Delta, Op};
use vatic_core::key::Key;
use vatic_proto::reason;
use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::scrape::Scrape;
use vatic_tests::values::{core_key, fields, key};
use vatic_tests::wait::{SOON, until};

/// More than a node lets run at once, several times.
const FLOOD: usize = 6_000;
const URGENT: usize = 40;

fn put(partition: &str, name: &str) -> Delta {
    let key: Key = core_key(&key("flood", partition, name));
    Delta { key, op: Op::Put(fields(1)) }
}

fn client(cluster: &Cluster, priority: u8, limits: Limits) -> Client {
    let options = Options { limits, priority, ..Options::default() };
    Client::lazy(cluster.endpoints(), options).unwrap()
}

pub(crate) async fn flooded_node_refuses_some_and_the_highest_class_gets_through(
    cluster: &Cluster,
) {
    let partition = cluster.partition(1, 0).await;
    let once = Limits { attempts_max: 1, ..Limits::production() };
    let ordinary = client(cluster, 0, once);
    let pipeline = ordinary.pipeline(PipelineOptions::default()).await.unwrap();
    let mut flood = JoinSet::new();
    for number in 0..FLOOD {
        let (pipeline, put) = (pipeline.clone(), put(&partition, &format!("low-{number}")));
        flood.spawn(async move { (put.key.clone(), pipeline.submit(&[put]).await) });
    }
    let urgent = client(cluster, 200, Limits::production());
    let urgent = urgent.pipeline(PipelineOptions::default()).await.unwrap();
    let mut served = JoinSet::new();
    for number in 0..URGENT {
        let (pipeline, put) = (urgent.clone(), put(&partition, &format!("high-{number}")));
        served.spawn(async move { pipeline.submit(&[put]).await });
    }
    while let Some(ended) = served.join_next().await {
        ended.unwrap().expect("the highest class is served");
    }
    let (mut done, mut refused) = (0, Vec::new());
    while let Some(ended) = flood.join_next().await {
        match ended.unwrap() {
            (_, Ok(_)) => done += 1,
            (key, Err(ClientError::Refused(refusal))) if refusal.reason == reason::OVERLOADED => {
                assert!(refusal.retry_after.is_some_and(|after| after > Duration::ZERO));
                refused.push(key);
            }
            // A group may lose its leader meanwhile.
            (_, Err(ClientError::OutcomeUnknown { .. })) => {}
            (_, Err(error @ ClientError::Refused(_))) if error.retryable() => {}
            (_, Err(error)) => panic!("{error}"),
        }
    }
    assert!(done > 0 && !refused.is_empty(), "{done} done, {} refused", refused.len());
    let patient = cluster.client();
    for key in refused.iter().step_by(refused.len().div_ceil(20)) {
        let found = patient.get(key).await.unwrap();
        assert!(found.is_none(), "what was refused has not happened: {found:?}");
    }
    let mut refusals = 0.0;
    for at in 0..NODES {
        refusals += until("the node lets everybody in again", SOON, || async {
            let (_, text) = cluster.admin(at, "/metrics").await.ok()?;
            let seen = Scrape::read(&text);
            let all = seen.is("vatic_load_admitted_share") == 1.0;
            all.then(|| seen.is("vatic_load_refused_total"))
        })
        .await;
    }
    assert!(refusals > 0.0);
}
