//! Room is given back in time: as the connection takes what held it, and where it takes nothing.

use super::*;
use futures::{FutureExt, StreamExt};
use std::{mem::size_of, time::Duration};
use tonic::Code;
use vatic_core::value::Scalar;

const MAX: u64 = 100;

fn held(door: &Arc<Door>, bytes: u64) -> Option<Held> {
    Some(Held::enter(door, bytes, MAX).unwrap())
}

/// An answer of two pieces that wait and hold 10 each.
async fn of_two(door: &Arc<Door>) -> (Out<u32>, Handed<u32>) {
    let (out, handed) = channel(2);
    for piece in 0..2 {
        out.send(piece, held(door, 10)).await.unwrap();
    }
    (out, handed)
}

#[test]
fn room_is_taken_up_to_the_limit_and_given_back_when_dropped() {
    let door = Arc::new(Door::default());
    let mut first = Held::enter(&door, 60, MAX).unwrap();
    let refused = Held::enter(&door, 41, MAX).err();
    let limit = "reads_held_bytes_max";
    assert!(
        matches!(&refused, Some(ApiError::QueueFull { limit: name, max: MAX }) if *name == limit),
        "{refused:?}"
    );
    assert_eq!(door.inside(), 60, "who is refused holds nothing");
    let part = first.split(20);
    drop(first);
    assert_eq!(door.inside(), 20);
    let mut both = Held::enter(&door, 80, MAX).unwrap();
    both.join(part);
    assert_eq!(door.inside(), MAX);
    let mut all = both.split(MAX + 1);
    drop(both);
    assert_eq!(door.inside(), MAX, "no more is split off than there is");
    drop(all.split(0));
    drop(all);
    assert_eq!(door.inside(), 0);
}

#[test]
fn what_records_fields_and_elements_are_counted_as_covers_their_types() {
    assert!(size_of::<Record>() as u64 * 2 <= RECORD_BYTES);
    assert!((size_of::<String>() + size_of::<Value>()) as u64 * 2 <= FIELD_BYTES);
    assert!(size_of::<Scalar>() as u64 * 2 <= ELEMENT_BYTES);
}

#[tokio::test]
async fn piece_is_counted_until_the_connection_asks_for_the_next_one() {
    let door = Arc::new(Door::default());
    let (out, mut handed) = of_two(&door).await;
    assert!(out.waits());
    assert_eq!(door.inside(), 20);
    assert_eq!(handed.next().await.unwrap().unwrap(), 0);
    assert_eq!(door.inside(), 20, "it is in the connection's hands");
    assert_eq!(handed.next().await.unwrap().unwrap(), 1);
    assert_eq!(door.inside(), 10);
    assert!(!out.waits());
    assert!(handed.next().now_or_never().is_none(), "there may come more");
    assert_eq!(door.inside(), 0);
    drop(out);
    assert!(handed.next().await.is_none());
}

#[tokio::test]
async fn client_that_leaves_gives_everything_back() {
    let door = Arc::new(Door::default());
    let (out, mut handed) = of_two(&door).await;
    handed.next().await.unwrap().unwrap();
    out.send(2, held(&door, 10)).await.unwrap();
    let more = out.send(3, held(&door, 10));
    let (sent, ()) = tokio::join!(more, async { drop(handed) });
    assert!(sent.is_err());
    assert_eq!(door.inside(), 0);
    out.closed().await;
    assert!(out.end(Instant::now() + Duration::from_secs(1), None).await, "there is nobody");
}

#[tokio::test]
async fn error_comes_behind_what_waits() {
    let door = Arc::new(Door::default());
    let (out, handed) = of_two(&door).await;
    out.fail(ApiError::ShuttingDown);
    drop(out);
    let all: Vec<_> = handed.collect().await;
    let [Ok(0), Ok(1), Err(status)] = &all[..] else { panic!("{all:?}") };
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(door.inside(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_by_the_end_is_dropped_and_the_client_told() {
    let door = Arc::new(Door::default());
    let (out, mut handed) = of_two(&door).await;
    assert_eq!(handed.next().await.unwrap().unwrap(), 0);
    let late = ApiError::Deadline { deadline_ms: 7 };
    let ended = out.end(Instant::now() + Duration::from_secs(60), Some(late)).await;
    assert!(!ended);
    assert_eq!(door.inside(), 10, "the connection has one in hand");
    let status = handed.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(door.inside(), 0);
    assert!(handed.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_taken_in_time_is_whole() {
    let door = Arc::new(Door::default());
    let (out, mut handed) = of_two(&door).await;
    let taking = async move {
        tokio::time::sleep(Duration::from_secs(59)).await;
        let mut pieces = 0;
        while handed.next().await.transpose().unwrap().is_some() {
            pieces += 1;
        }
        pieces
    };
    let late = Some(ApiError::ShuttingDown);
    let ended = out.end(Instant::now() + Duration::from_secs(60), late);
    let (whole, pieces) = tokio::join!(ended, taking);
    assert_eq!((whole, pieces), (true, 2));
    assert_eq!(door.inside(), 0);
}
