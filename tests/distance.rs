//! Nodes that are far apart: relays between them that pass on all bytes so much later.
//!
//! Each relay stands for one node towards all others. Clients are not concerned.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Bytes that one read takes at most.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks under way in one direction of a connection; more wait in the sockets.
const CHUNKS_UNDER_WAY: usize = 4_096;

/// A relay to each address: what is sent to it arrives there `delay` later, and the answers here.
/// They last as long as the runtime. Answers where they listen.
pub async fn relays(addresses: &[String], delay: Duration) -> io::Result<Vec<String>> {
    let mut relays = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        relays.push(listener.local_addr()?.to_string());
        tokio::spawn(relay(listener, address.clone(), delay));
    }
    Ok(relays)
}

async fn relay(listener: TcpListener, to: String, delay: Duration) {
    while let Ok((near, _)) = listener.accept().await {
        let to = to.clone();
        tokio::spawn(async move {
            // A node that does not listen is one whose connections end at once.
            let Ok(far) = TcpStream::connect(&to).await else { return };
            if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
                return;
            }
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::spawn(pass_on(from_near, to_far, delay));
            tokio::spawn(pass_on(from_far, to_near, delay));
        });
    }
}

/// One direction, until either end closes.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (chunks, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_UNDER_WAY);
    let reads = async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            if chunks.send((Instant::now() + delay, chunk[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let writes = async move {
        while let Some((due, chunk)) = under_way.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reads, writes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_sent_arrives_whole_and_no_earlier() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = echo.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = echo.accept().await.unwrap();
            let (mut from, mut to) = stream.split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
        let delay = Duration::from_millis(20);
        let relay = relays(&[at], delay).await.unwrap().remove(0);
        let mut stream = TcpStream::connect(relay).await.unwrap();
        let sent: Vec<u8> = (0..200_000u32).map(|at| at as u8).collect();
        let (began, mut back) = (Instant::now(), vec![0; sent.len()]);
        let (mut from, mut to) = stream.split();
        tokio::join!(async { to.write_all(&sent).await.unwrap() }, async {
            from.read_exact(&mut back).await.unwrap();
        });
        assert!(back == sent && began.elapsed() >= 2 * delay);
    }
}
