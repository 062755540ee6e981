//! Package `vatic.peer.v1`, with the Raft service's two ends over simulated pipes.

pub use vatic_proto::peer::v1::*;

/// The end that dials.
pub mod raft_service_client {
    use futures::{Stream, StreamExt};
    use vatic_stand_in_tokio as tokio;
    use vatic_stand_in_tonic::transport::Channel;
    use vatic_stand_in_tonic::{Response, Status, Streaming};

    use super::{ExchangeRequest, ExchangeResponse};

    pub struct RaftServiceClient(Channel);

    impl RaftServiceClient {
        pub fn new(channel: Channel) -> Self {
            RaftServiceClient(channel)
        }

        pub fn max_decoding_message_size(self, _: usize) -> Self {
            self
        }

        pub fn max_encoding_message_size(self, _: usize) -> Self {
            self
        }

        pub async fn exchange(
            &mut self,
            mut requests: impl Stream<Item = ExchangeRequest> + Send + Unpin + 'static,
        ) -> Result<Response<Streaming<ExchangeResponse>>, Status> {
            let opened = self.0.open::<ExchangeRequest, ExchangeResponse>().await;
            let (outbound, inbound) = opened.map_err(|_| Status::unavailable("refused"))?;
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        biased;
                        () = outbound.abandoned() => return,
                        request = requests.next() => match request {
                            Some(request) => outbound.send(request),
                            None => return,
                        },
                    }
                }
            });
            Ok(Response::new(Streaming::new(inbound)))
        }
    }
}

/// The end that serves.
pub mod raft_service_server {
    use std::sync::Arc;

    use futures::{Stream, StreamExt};
    use vatic_stand_in_tokio as tokio;
    use vatic_stand_in_tokio::wire::{Inbound, Incoming, Outbound};
    use vatic_stand_in_tonic::service::Accepts;
    use vatic_stand_in_tonic::{Request, Response, Status, Streaming, async_trait};

    use super::{ExchangeRequest, ExchangeResponse};

    #[async_trait]
    pub trait RaftService: Send + Sync + 'static {
        type ExchangeStream: Stream<Item = Result<ExchangeResponse, Status>> + Send + 'static;

        async fn exchange(
            &self,
            request: Request<Streaming<ExchangeRequest>>,
        ) -> Result<Response<Self::ExchangeStream>, Status>;
    }

    pub struct RaftServiceServer<S>(Arc<S>);

    impl<S> RaftServiceServer<S> {
        pub fn new(service: S) -> Self {
            RaftServiceServer(Arc::new(service))
        }

        pub fn max_decoding_message_size(self, _: usize) -> Self {
            self
        }

        pub fn max_encoding_message_size(self, _: usize) -> Self {
            self
        }
    }

    impl<S: RaftService> Accepts for RaftServiceServer<S> {
        fn accept(&self, Incoming { requests, replies }: Incoming) {
            let requests = requests.downcast::<Inbound<ExchangeRequest>>();
            let replies = replies.downcast::<Outbound<ExchangeResponse>>();
            let (Ok(requests), Ok(replies)) = (requests, replies) else {
                unreachable!("one service is served");
            };
            tokio::spawn(serve(self.0.clone(), *requests, *replies));
        }
    }

    /// Until either end is gone.
    async fn serve(
        service: Arc<impl RaftService>,
        requests: Inbound<ExchangeRequest>,
        replies: Outbound<ExchangeResponse>,
    ) {
        let request = Request::new(Streaming::new(requests));
        let Ok(response) = service.exchange(request).await else { return };
        let mut stream = Box::pin(response.into_inner());
        loop {
            tokio::select! {
                biased;
                () = replies.abandoned() => return,
                reply = stream.next() => match reply {
                    Some(Ok(reply)) => replies.send(reply),
                    Some(Err(_)) | None => return,
                },
            }
        }
    }
}
