//! Connections and servers, as far as simulated code sets them up.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use vatic_stand_in_tokio::wire::{self, Inbound, Outbound, Refused};

use crate::service::Routes;
use server::TcpIncoming;

/// Where to connect to.
pub struct Endpoint(SocketAddr);

impl Endpoint {
    /// `address` is `http://host:port`, the host a number.
    pub fn from_shared(address: String) -> Result<Endpoint, String> {
        let host = address.strip_prefix("http://").ok_or("no scheme")?;
        host.parse().map(Endpoint).map_err(|error| format!("{error}"))
    }

    pub fn connect_timeout(self, _: Duration) -> Self {
        self
    }

    pub fn tcp_nodelay(self, _: bool) -> Self {
        self
    }

    pub fn http2_keep_alive_interval(self, _: Duration) -> Self {
        self
    }

    pub fn keep_alive_timeout(self, _: Duration) -> Self {
        self
    }

    pub fn keep_alive_while_idle(self, _: bool) -> Self {
        self
    }

    pub fn initial_stream_window_size(self, _: u32) -> Self {
        self
    }

    pub fn initial_connection_window_size(self, _: u32) -> Self {
        self
    }

    pub fn connect_lazy(self) -> Channel {
        Channel(self.0)
    }
}

/// A way to a server; each stream is a connection of its own.
#[derive(Clone)]
pub struct Channel(SocketAddr);

impl Channel {
    pub async fn open<Q, A>(&self) -> Result<(Outbound<Q>, Inbound<A>), Refused>
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        wire::dial(self.0).await
    }
}

/// A server and its services.
#[derive(Default)]
pub struct Server(Routes);

impl Server {
    pub fn builder() -> Server {
        Server::default()
    }

    pub fn http2_keepalive_interval(self, _: Option<Duration>) -> Self {
        self
    }

    pub fn http2_keepalive_timeout(self, _: Option<Duration>) -> Self {
        self
    }

    pub fn initial_stream_window_size(self, _: u32) -> Self {
        self
    }

    pub fn initial_connection_window_size(self, _: u32) -> Self {
        self
    }

    pub fn add_routes(self, routes: Routes) -> Self {
        Server(routes)
    }

    /// Serves until `ended`.
    pub async fn serve_with_incoming_shutdown(
        self,
        mut incoming: TcpIncoming,
        ended: impl Future<Output = ()>,
    ) -> Result<(), Infallible> {
        vatic_stand_in_tokio::pin!(ended);
        loop {
            vatic_stand_in_tokio::select! {
                biased;
                () = &mut ended => return Ok(()),
                accepted = incoming.accept() => match accepted {
                    Some(connection) => self.0.accept(connection),
                    None => return Ok(()),
                },
            }
        }
    }
}

/// What a server takes its connections from.
pub mod server {
    use vatic_stand_in_tokio::net::TcpListener;
    use vatic_stand_in_tokio::wire::Incoming;

    pub struct TcpIncoming(TcpListener);

    impl From<TcpListener> for TcpIncoming {
        fn from(listener: TcpListener) -> Self {
            TcpIncoming(listener)
        }
    }

    impl TcpIncoming {
        pub fn with_nodelay(self, _: Option<bool>) -> Self {
            self
        }

        pub(crate) async fn accept(&mut self) -> Option<Incoming> {
            self.0.accept().await
        }
    }
}
