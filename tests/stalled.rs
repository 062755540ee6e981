//! Clients that begin a scan and take no more of it: whatever a scan held would be held for as long
//! as they like.

use std::collections::VecDeque;

use vatic_client::{Client, ClientError, Scan, ScanOptions};
use vatic_core::delta::{Delta, Op};
use vatic_core::key::{Key, KeyRange};
use vatic_core::value::{Fields, Value};

/// Three times what lies between: the client's window for one stream (2 MiB), what a node's HTTP/2
/// keeps to send of one (400 KiB), and five chunks (192 KiB each in the soak): two that wait, two
/// on their way into it, one in hand.
const RECORDS: usize = 256;
const VALUE_BYTES: usize = 48 << 10;
const RECORDS_A_TRANSACTION: usize = 8;
/// Scans at a time.
const SCANS: usize = 16;
/// Of these so many are the first of all; of the others the oldest is given up for each new one.
const SCANS_FOR_EVER: usize = 4;

/// Scans of one partition that have had their first chunk.
#[derive(Debug)]
pub struct Stalled {
    range: KeyRange,
    for_ever: Vec<Scan>,
    scans: VecDeque<Scan>,
}

impl Stalled {
    /// Writes what is scanned.
    pub async fn start(client: &Client) -> Result<Stalled, ClientError> {
        let range = KeyRange::partition("stalled", "scans");
        let numbers: Vec<usize> = (0..RECORDS).collect();
        for numbers in numbers.chunks(RECORDS_A_TRANSACTION) {
            let done = client.run(|txn| async move {
                for number in numbers {
                    let key = Key::new("stalled", "scans", &format!("{number:04}"))?;
                    let value = Value::from("x".repeat(VALUE_BYTES).as_str());
                    let op = Op::Put(Fields::from([("value".to_owned(), value)]));
                    txn.apply(&Delta { key, op }).await?;
                }
                Ok(())
            });
            done.await?;
        }
        Ok(Stalled { range, for_ever: Vec::new(), scans: VecDeque::new() })
    }

    /// One more, unless nobody answers just now. It needs a client of its own: what is not taken
    /// of one stream keeps the others of its connection from sending.
    pub async fn begin_another(&mut self, client: &Client) {
        let Ok(mut scan) = client.scan(&self.range, ScanOptions::default()).await else { return };
        if !matches!(scan.next_chunk().await, Ok(Some(_))) {
            return;
        }
        if self.for_ever.len() < SCANS_FOR_EVER {
            self.for_ever.push(scan);
            return;
        }
        self.scans.push_back(scan);
        if self.scans.len() > SCANS - SCANS_FOR_EVER {
            self.scans.pop_front();
        }
    }
}
