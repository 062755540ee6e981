//! Streams for the forecaster: an ordinary one, of which it learns, and what strays from it.

use vatic_client::{Client, ClientError, Foresight, Verdict};
use vatic_core::key::Key;
use vatic_proto::v1::{self, delta::Operation, transact_request::Frame};

use crate::cluster::Cluster;
use crate::values::{fields, operation};
use crate::wire::Stream;

/// Transitions of an ordinary transaction, and of a strange one.
pub const STEPS: usize = 8;
pub const STRANGE: usize = 24;

/// An ordinary transaction, and how it was judged, if it was.
pub async fn ordinary(client: &Client, name: &Key) -> Result<Option<Verdict>, ClientError> {
    let foresight = Foresight { forecasts: true, ..Foresight::default() };
    let run = client.transaction().foresee(foresight).run(|txn| async move {
        txn.put(name, fields(0)).await?;
        for _ in 1..STEPS {
            txn.add(name, "value", 1).await?;
        }
        Ok(())
    });
    Ok(run.await?.committed.verdict)
}

/// A step that no ordinary one takes.
pub fn odd(name: &v1::Key) -> v1::Delta {
    operation(name, Operation::RemoveField(v1::RemoveFieldOperation { field: "odd".into() }))
}

/// A stream that has only begun.
pub async fn begun(cluster: &Cluster, at: usize, foresight: v1::Foresight) -> Stream {
    let begin = v1::BeginFrame { foresight: Some(foresight), ..v1::BeginFrame::default() };
    let stream = Stream::open(cluster.channel(at)).await;
    stream.send(Frame::Begin(begin)).await;
    stream
}
