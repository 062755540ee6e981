//! The receiving end of a stream of messages.

use tonic_itself::Status;
use vatic_stand_in_tokio::wire::Inbound;

pub struct Streaming<M>(Inbound<M>);

impl<M> Streaming<M> {
    pub fn new(inbound: Inbound<M>) -> Self {
        Streaming(inbound)
    }

    /// The next message; `None` once the other end is gone.
    pub async fn message(&mut self) -> Result<Option<M>, Status> {
        Ok(self.0.recv().await)
    }
}
