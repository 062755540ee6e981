//! Transactions that did not end as was forecast of them, as each node judged those sealed through
//! it.

use std::fmt;

use tonic::Streaming;
use vatic_core::id::Tid;
use vatic_proto::v1;

use crate::client::Client;
use crate::convert;
use crate::error::ClientError;
use crate::foresight::Verdict;
use crate::pool::Node;

/// A transaction whose verdict was invalid.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    /// The node that judged it.
    pub node_id: u64,
    /// From 1, without gaps, since that node started.
    pub sequence: u64,
    /// When it was judged, milliseconds since 1970 by that node's clock.
    pub at_unix_ms: u64,
    /// Which transaction.
    pub tid: Tid,
    /// The first step of streams that count as alike.
    pub class: String,
    /// How it ended against what was forecast.
    pub verdict: Verdict,
    /// The share of the class's last scores that were as large: small is unusual.
    pub p_value: f64,
    /// The class's scores have crept upwards for a while.
    pub drifting: bool,
    /// It was rolled back for it, and is kept apart.
    pub quarantined: bool,
    /// It still ran: the verdict is on what had come by then.
    pub running: bool,
    /// Operation, collection and field, with how many more there were than expected, most first.
    pub strays: Vec<(String, f64)>,
}

/// Anomalies of one node, as they come.
#[derive(Debug)]
pub struct AnomalyFeed {
    node: Node,
    answers: Streaming<v1::WatchAnomaliesResponse>,
}

impl Client {
    /// The anomalies that one node keeps, or those alone that were quarantined, the latest `limit`
    /// of them (0: all), latest last. It is one of [`Client::endpoints`]; nobody else is asked.
    pub async fn anomalies_of(
        &self,
        endpoint: &str,
        limit: u32,
        quarantined: bool,
    ) -> Result<Vec<Anomaly>, ClientError> {
        let node = self.inner.pool.pick(Some(endpoint));
        let end = self.operation_end();
        let request = self.request_until(end, v1::ListAnomaliesRequest { limit, quarantined });
        let mut service = self.anomalies(&node);
        let asked = self.ask_once("ListAnomalies", &node, end, service.list_anomalies(request));
        let answer = asked.await?;
        let read = |anomaly| convert::anomaly_in(answer.node_id, anomaly);
        let anomalies = answer.anomalies.into_iter().map(read);
        anomalies.collect::<Result<_, _>>().map_err(|what| node.broke(what))
    }

    /// The anomalies that one node keeps, of a higher sequence than `after`, and then each that
    /// comes.
    pub async fn watch_anomalies_of(
        &self,
        endpoint: &str,
        after: u64,
    ) -> Result<AnomalyFeed, ClientError> {
        let node = self.inner.pool.pick(Some(endpoint));
        let message = v1::WatchAnomaliesRequest { after_sequence: after };
        let end = self.operation_end();
        let mut request = tonic::Request::new(message);
        self.sign(&mut request);
        let mut service = self.anomalies(&node);
        let asked = self.ask_once("WatchAnomalies", &node, end, service.watch_anomalies(request));
        let answers = asked.await?;
        Ok(AnomalyFeed { node, answers })
    }
}

impl AnomalyFeed {
    /// The next one; waits without bound. `None` where the node ended the feed. A feed that was too
    /// slow misses some: their sequences are left out.
    pub async fn next(&mut self) -> Result<Option<Anomaly>, ClientError> {
        let answer = self.answers.message().await;
        let answer = answer.map_err(|status| ClientError::from_status(status, &self.node.endpoint));
        let Some(v1::WatchAnomaliesResponse { node_id, anomaly, .. }) = answer? else {
            return Ok(None);
        };
        let anomaly = anomaly.ok_or_else(|| self.node.broke("an answer without anomaly"))?;
        let read = convert::anomaly_in(node_id, anomaly);
        read.map(Some).map_err(|what| self.node.broke(what))
    }
}

impl Anomaly {
    /// What there was more and less of than expected, for people.
    pub fn strays(&self) -> String {
        let stray = |(token, more): &(String, f64)| match *more > 0.0 {
            true => format!("{more:.1} more `{token}`"),
            false => format!("{:.1} fewer `{token}`", -more),
        };
        let strays: Vec<String> = self.strays.iter().map(stray).collect();
        if strays.is_empty() { "nothing that has a name".into() } else { strays.join(", ") }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Anomaly { tid, class, verdict, p_value, .. } = self;
        let strays = self.strays();
        write!(f, "{tid}, a stream that begins with `{class}`: {strays} than expected; ")?;
        write!(f, "score {:.2}, p-value {p_value:.4}", verdict.score)?;
        if self.running {
            f.write_str("; it was still running")?;
        }
        if self.quarantined {
            f.write_str("; quarantined")?;
        }
        if self.drifting { f.write_str("; its class is drifting") } else { Ok(()) }
    }
}
