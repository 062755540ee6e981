//! Listeners of simulated processes: an address, and the connections that come to it.

use std::io;
use std::net::SocketAddr;

use tokio_itself::sync::mpsc;

use crate::wire::{self, Incoming};

/// Holds its address until it is dropped.
pub struct TcpListener {
    address: SocketAddr,
    number: u64,
    incoming: mpsc::UnboundedReceiver<Incoming>,
}

impl TcpListener {
    /// Listens for the current process.
    pub fn at(address: SocketAddr) -> TcpListener {
        let (number, incoming) = wire::listen(address);
        TcpListener { address, number, incoming }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    pub async fn accept(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        wire::release(self.address, self.number);
    }
}
