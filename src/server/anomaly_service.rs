//! The streams that strayed from their forecasts, as this node judged them.

use crate::{
    api::Gateway,
    foresight::{ANOMALY_WATCHERS_MAX, Anomalies, Strange, convert},
    status::ApiError,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use vatic_proto::v1::{self, anomaly_service_server::AnomalyService};

/// Anomalies that may wait for a slow client.
const OUT_ANOMALIES: usize = 16;
/// Between two looks at whether the node closes.
const CLOSING_LOOK: Duration = Duration::from_millis(200);

type Answers = mpsc::Sender<Result<v1::WatchAnomaliesResponse, Status>>;

#[tonic::async_trait]
impl AnomalyService for Gateway {
    type WatchAnomaliesStream = ReceiverStream<Result<v1::WatchAnomaliesResponse, Status>>;

    async fn list_anomalies(
        &self,
        request: Request<v1::ListAnomaliesRequest>,
    ) -> Result<Response<v1::ListAnomaliesResponse>, Status> {
        let _admitted = self.admit()?;
        let v1::ListAnomaliesRequest { limit, quarantined } = request.into_inner();
        let (max, actual) = (self.cluster.config.limits.anomalies_max, u64::from(limit));
        if actual > max {
            return Err(ApiError::Limit { limit: "anomalies_max", max, actual }.into());
        }
        let mut kept = match quarantined {
            true => self.foresight.anomalies.quarantined(),
            false => self.foresight.anomalies.after(0),
        };
        let limit = if actual == 0 { kept.len() } else { actual as usize };
        let latest = kept.split_off(kept.len().saturating_sub(limit));
        let anomalies = latest.iter().map(convert::anomaly).collect();
        let node_id = u64::from(self.cluster.config.node);
        Ok(Response::new(v1::ListAnomaliesResponse { node_id, anomalies }))
    }

    async fn watch_anomalies(
        &self,
        request: Request<v1::WatchAnomaliesRequest>,
    ) -> Result<Response<Self::WatchAnomaliesStream>, Status> {
        drop(self.admit()?);
        let limit = "anomaly_watchers_max";
        let full = || ApiError::QueueFull { limit, max: ANOMALY_WATCHERS_MAX };
        let place = self.foresight.anomalies.watcher().ok_or_else(full)?;
        let (out, answers) = mpsc::channel(OUT_ANOMALIES);
        let (gateway, after) = (self.clone(), request.into_inner().after_sequence);
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                () = out.closed() => {}
                () = follow(&gateway, after, &out) => {}
                () = closing(&gateway) => {
                    let _ = out.send(Err(ApiError::ShuttingDown.into())).await;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// Sends what is kept, then each that comes; ends when the client is gone.
async fn follow(gateway: &Gateway, mut after: u64, out: &Answers) {
    let anomalies: &Anomalies = &gateway.foresight.anomalies;
    let node_id = u64::from(gateway.cluster.config.node);
    let mut news = anomalies.follow();
    // Who has seen more than there are saw those of before a restart.
    after = if after > *news.borrow() { 0 } else { after };
    loop {
        news.mark_unchanged();
        let kept: Vec<Arc<Strange>> = anomalies.after(after);
        for strange in &kept {
            let missed = strange.sequence - after - 1;
            after = strange.sequence;
            let anomaly = Some(convert::anomaly(strange));
            let answer = v1::WatchAnomaliesResponse { node_id, anomaly, missed };
            if out.send(Ok(answer)).await.is_err() {
                return;
            }
        }
        if news.changed().await.is_err() {
            return;
        }
    }
}

async fn closing(gateway: &Gateway) {
    while !gateway.cluster.is_draining() {
        tokio::time::sleep(CLOSING_LOOK).await;
    }
}
