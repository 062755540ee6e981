//! Clients that begin a scan and take no more of it: whatever a scan held would be held for as long
//! as they like.

use std::collections::VecDeque;

use vatic_client::{Client, ClientError, Scan, ScanOptions};
use vatic_core::delta::{Delta, Op};
use vatic_core::key::{Key, KeyRange};
use vatic_core::value::{Fields, Value};

/// Many chunks. Most of them fit what lies between, so that nodes are done with such a scan before
/// its client is; what could not be sent a node gives up after the scan's deadline.
const RECORDS: usize = 256;
const VALUE_BYTES: usize = 8 << 10;
const RECORDS_A_TRANSACTION: usize = 32;
/// Scans at a time, the oldest of which is given up for each new one.
const SCANS: usize = 16;

/// Scans of one partition that have had their first chunk.
#[derive(Debug)]
pub struct Stalled {
    range: KeyRange,
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
        Ok(Stalled { range, scans: VecDeque::new() })
    }

    /// One more, unless nobody answers just now. It needs a client of its own: what is not taken
    /// of one stream keeps the others of its connection from sending.
    pub async fn begin_another(&mut self, client: &Client) {
        let Ok(mut scan) = client.scan(&self.range, ScanOptions::default()).await else { return };
        if let Ok(Some(_)) = scan.next_chunk().await {
            self.scans.push_back(scan);
        }
        if self.scans.len() > SCANS {
            self.scans.pop_front();
        }
    }

    /// Scans whose clients have taken their first chunk alone.
    pub fn waiting(&self) -> usize {
        self.scans.len()
    }
}
