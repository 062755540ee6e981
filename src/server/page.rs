//! A page of records that a scan read, handed on in chunks.

use crate::{
    cluster::Cluster,
    held::{Held, record_bytes},
    status::ApiError,
};
use std::{iter::Peekable, vec};
use vatic_core::read::Record;

/// Chunks are cut at so many bytes, or hold one record that is larger. gRPC clients take messages
/// of 4 MiB by default; and one chunk is what HTTP/2 keeps of each stream beyond what is counted,
/// which a thousand slow readers shall not make more than all that is.
const CHUNK_BYTES: u64 = 256 << 10;

/// Records, with the room that those hold which were not handed on yet.
pub(crate) struct Page {
    records: Peekable<vec::IntoIter<Record>>,
    chunk_records: usize,
    held: Held,
}

impl Page {
    /// Counts what was read, where there is room for it.
    pub(crate) fn of(cluster: &Cluster, records: Vec<Record>) -> Result<Page, ApiError> {
        let held = Held::take(cluster, records.iter().map(record_bytes).sum())?;
        let chunk_records = cluster.config.limits.scan_chunk_records.max(1) as usize;
        Ok(Page::new(records, chunk_records, held))
    }

    fn new(mut records: Vec<Record>, chunk_records: usize, held: Held) -> Page {
        records.retain(|record| record.fields.is_some());
        Page { records: records.into_iter().peekable(), chunk_records, held }
    }

    /// The next records, with the room that they hold; none where the page has none.
    pub(crate) fn chunk(&mut self) -> (Vec<Record>, Held) {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while chunk.len() < self.chunk_records {
            let fits = |next: &Record| bytes == 0 || bytes + record_bytes(next) <= CHUNK_BYTES;
            let Some(record) = self.records.next_if(fits) else { break };
            bytes += record_bytes(&record);
            chunk.push(record);
        }
        (chunk, self.held.split(bytes))
    }

    /// Whether all was handed on.
    pub(crate) fn is_over(&mut self) -> bool {
        self.records.peek().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert;
    use prost::Message;
    use std::sync::Arc;
    use vatic_core::{
        id::Timestamp,
        key::Key,
        value::{Fields, Scalar, Value},
    };
    use vatic_sync::Door;

    /// The longest message that gRPC clients take by default.
    const MESSAGE_BYTES_MAX: usize = 4 << 20;

    fn record(number: usize, fields: Fields) -> Record {
        let key = Key::new("pages", "p", &format!("{number:06}")).unwrap();
        Record { key, version: Timestamp(1), fields: Some(fields) }
    }

    fn text(bytes: usize) -> Fields {
        Fields::from([("text".into(), Value::from("x".repeat(bytes).as_str()))])
    }

    /// The sizes of all chunks' messages, in records and in bytes.
    fn cut(records: Vec<Record>, chunk_records: usize) -> Vec<(usize, usize)> {
        let (door, count) = (Arc::new(Door::default()), records.len());
        let bytes = records.iter().map(record_bytes).sum();
        let held = Held::enter(&door, bytes, bytes).unwrap();
        let mut page = Page::new(records, chunk_records, held);
        let (mut sizes, mut waiting, mut next) = (Vec::new(), Vec::new(), 0);
        while !page.is_over() {
            let (records, held) = page.chunk();
            assert_eq!(door.inside(), bytes, "a chunk is counted like the page that it was of");
            waiting.push(held);
            for record in &records {
                assert_eq!(record.key.sort, format!("{next:06}"), "all in order");
                next += 1;
            }
            let messages: Vec<_> = records.into_iter().filter_map(convert::to_record).collect();
            sizes.push((messages.len(), messages.iter().map(Message::encoded_len).sum()));
        }
        assert_eq!(next, count);
        drop(page);
        assert_eq!(door.inside(), bytes, "the chunks have all of it");
        drop(waiting);
        assert_eq!(door.inside(), 0);
        sizes
    }

    #[test]
    fn chunks_of_a_page_are_bounded_by_records_and_by_bytes() {
        let small = cut((0..600).map(|number| record(number, text(10))).collect(), 256);
        assert_eq!(small.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [256, 256, 88]);
        // As many as a page has of these, which were one chunk of 4 MiB.
        let middling = cut((0..255).map(|number| record(number, text(16 << 10))).collect(), 256);
        assert!(middling.len() >= 16, "{middling:?}");
        assert!(middling.iter().all(|(_, bytes)| *bytes as u64 <= CHUNK_BYTES), "{middling:?}");
        let fewest = middling[..middling.len() - 1].iter().map(|(count, _)| *count).min();
        assert!(fewest >= Some(14), "chunks are filled: {middling:?}");
        let large = cut((0..3).map(|number| record(number, text(1 << 20))).collect(), 256);
        assert_eq!(large.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [1, 1, 1]);
        assert!(large.iter().all(|(_, bytes)| *bytes < MESSAGE_BYTES_MAX), "{large:?}");
    }

    #[test]
    fn page_without_records_is_one_chunk_without_any() {
        let held = Held::enter(&Arc::new(Door::default()), 7, 7).unwrap();
        let absent = Record { fields: None, ..record(0, Fields::new()) };
        let mut page = Page::new(vec![absent], 256, held);
        assert!(page.chunk().0.is_empty() && page.is_over());
    }

    #[test]
    fn what_a_record_is_counted_as_covers_its_message() {
        let many = (0..100).map(|field| (format!("f{field}"), Value::from(i64::MIN)));
        let list = Value::List(vec![Scalar::F64(u64::MAX); 1_000]);
        for fields in
            [Fields::new(), text(0), text(100), many.collect(), [("l".into(), list)].into()]
        {
            let record = record(1, fields);
            let counted = record_bytes(&record);
            let message = convert::to_record(record).unwrap().encoded_len() as u64;
            assert!(message <= counted, "{message} of {counted}");
        }
    }
}
