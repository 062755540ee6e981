//! The targets by name.

use std::path::PathBuf;

use prost::Message;
use vatic_core::body::{Body, Part};
use vatic_core::codec;
use vatic_core::command::{Applied, Command};
use vatic_core::delta::Delta;
use vatic_core::diary::play;
use vatic_core::group::Group;
use vatic_core::id::{Tid, Timestamp};
use vatic_core::key::Key;
use vatic_core::limits::Limits;
use vatic_core::receipt::Receipt;
use vatic_core::ticket::{Entry, Resolved, Ticket, is_paused};
use vatic_core::value::Fields;
use vatic_proto::peer::v1 as peer;

use crate::sample;

/// One decoder, or several that share their inputs.
pub struct Target {
    pub name: &'static str,
    /// Whether the bytes were taken for something. Panics where the decoder is wrong.
    pub run: fn(&[u8]) -> bool,
    /// Valid inputs, which the corpus begins with.
    pub samples: fn() -> Vec<Vec<u8>>,
}

/// All of them.
const TARGETS: &[&[Target]] = &[
    PARTS,
    #[cfg(feature = "node")]
    NODE,
];

/// Log, store, core, what peers send to Raft, and what clients are answered.
const PARTS: &[Target] = &[
    Target { name: "log_frame", run: vatic_log::fuzz::frame, samples: vatic_log::fuzz::frames },
    Target {
        name: "log_segment",
        run: vatic_log::fuzz::segment,
        samples: vatic_log::fuzz::segments,
    },
    Target {
        name: "store_pointer",
        run: vatic_store::fuzz::pointer,
        samples: vatic_store::fuzz::pointers,
    },
    Target { name: "snapshot_file", run: snapshot, samples: snapshots },
    Target {
        name: "raft_message",
        run: vatic_consensus::fuzz::message,
        samples: vatic_consensus::fuzz::messages,
    },
    Target {
        name: "raft_answer",
        run: vatic_consensus::fuzz::answer,
        samples: vatic_consensus::fuzz::answers,
    },
    Target {
        name: "introduction",
        run: vatic_consensus::fuzz::introduction,
        samples: vatic_consensus::fuzz::introductions,
    },
    Target {
        name: "replica_notes",
        run: vatic_consensus::fuzz::notes,
        samples: vatic_consensus::fuzz::some_notes,
    },
    Target {
        name: "client_answer",
        run: vatic_client::fuzz::answer,
        samples: vatic_client::fuzz::answers,
    },
    Target {
        name: "client_told",
        run: vatic_client::fuzz::told,
        samples: vatic_client::fuzz::some_told,
    },
    Target {
        name: "client_refusal",
        run: vatic_client::fuzz::refusal,
        samples: vatic_client::fuzz::refusals,
    },
    Target { name: "envelope", run: envelope, samples: sample::envelopes },
    Target { name: "state_row", run: vatic_core::fuzz::row, samples: sample::rows },
    Target { name: "command", run: command, samples: sample::commands },
    Target { name: "body", run: body, samples: sample::bodies },
    Target { name: "delta", run: delta, samples: sample::deltas },
    Target { name: "receipt", run: receipt, samples: sample::receipts },
    Target { name: "diary", run: diary, samples: sample::diaries },
    Target { name: "key", run: key, samples: sample::keys },
    Target { name: "ticket", run: ticket, samples: sample::tickets },
];

/// What the server reads, and what people write.
#[cfg(feature = "node")]
const NODE: &[Target] = &[
    Target {
        name: "peer_request",
        run: vatic_server::fuzz::peer_request,
        samples: vatic_server::fuzz::peer_requests,
    },
    Target {
        name: "peer_reply",
        run: vatic_server::fuzz::peer_reply,
        samples: vatic_server::fuzz::peer_replies,
    },
    Target {
        name: "client_transition",
        run: vatic_server::fuzz::transition,
        samples: vatic_server::fuzz::transitions,
    },
    Target {
        name: "client_names",
        run: vatic_server::fuzz::names,
        samples: vatic_server::fuzz::some_names,
    },
    Target {
        name: "course",
        run: vatic_server::fuzz::course,
        samples: vatic_server::fuzz::courses,
    },
    Target { name: "script", run: vatic::fuzz::script, samples: sample::scripts },
    Target { name: "receipt_file", run: vatic::fuzz::receipt_file, samples: sample::receipt_files },
    Target { name: "keys_file", run: vatic::fuzz::keys_file, samples: sample::keys_files },
    Target { name: "config_file", run: vatic::fuzz::config_file, samples: sample::config_files },
];

/// One after the other.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    TARGETS.iter().copied().flatten()
}

/// Runs the target of that name: what the files of cargo-fuzz call.
pub fn run(name: &str, bytes: &[u8]) {
    let target = targets().find(|target| target.name == name);
    (target.expect("a target of that name").run)(bytes);
}

/// A command is read, and applied: whatever can be read must not end a replica, unless it
/// contradicts a decision.
fn command(bytes: &[u8]) -> bool {
    let applied = codec::decode::<Applied>(bytes).is_ok();
    let Ok(command) = codec::decode::<Command>(bytes) else { return applied };
    let again = codec::encode(&command);
    assert_eq!(codec::decode::<Command>(&again), Ok(command), "what was written is read");
    let (id, mut state) = sample::group();
    let mut group = Group::open(id, &state, Default::default());
    let index = group.chain().index + 1;
    if group.apply_entry(&mut state, index, [bytes]).is_ok() {
        vatic_core::invariant::check(&group, &state).expect("invariants hold");
        let _ = group.apply_entry(&mut state, index + 1, [bytes]);
    }
    true
}

fn body(bytes: &[u8]) -> bool {
    let part = codec::decode::<Part>(bytes).is_ok_and(|part| {
        let again = codec::decode::<Part>(&codec::encode(&part)).expect("it is read again");
        again.digest() == part.digest()
    });
    let Ok(body) = codec::decode::<Body>(bytes) else { return part };
    let again = codec::decode::<Body>(&codec::encode(&body)).expect("what was written is read");
    assert_eq!(again.digest(), body.digest(), "and has the same digest");
    let _ = (body.groups(), body.footprint());
    true
}

/// A delta is read and applied to what is not there, and to its own outcome.
fn delta(bytes: &[u8]) -> bool {
    let Ok(delta) = codec::decode::<Delta>(bytes) else { return false };
    let _ = (delta.key.check(), delta.op.name(), delta.op.fields(), delta.op.writes());
    let limits = Limits::simulation();
    if let Ok(image) = delta.op.apply(Timestamp(0), None, &limits) {
        let _ = delta.op.apply(Timestamp(1), image, &limits);
    }
    assert_eq!(codec::decode::<Delta>(&codec::encode(&delta)), Ok(delta));
    true
}

fn receipt(bytes: &[u8]) -> bool {
    let Ok(receipt) = Receipt::from_bytes(bytes) else { return false };
    let sent = sample::sent(receipt.body.seal.count);
    let _ = receipt.verify(sent.iter().map(Vec::as_slice));
    let _ = receipt.verify_signed(sent.iter().map(Vec::as_slice), &sample::trusted());
    let _ = receipt.positions();
    assert_eq!(Receipt::from_bytes(&codec::encode(&receipt)), Ok(receipt));
    true
}

/// What a node wrote down is played again; of a mutant the page that differs is named.
fn diary(bytes: &[u8]) -> bool {
    match play(bytes, Default::default()) {
        Ok(played) => played.pages > 0,
        Err(difference) => {
            assert!(difference.at < bytes.len(), "it lies in the diary");
            false
        }
    }
}

fn key(bytes: &[u8]) -> bool {
    let stored = Key::decode(bytes);
    if let Some(key) = stored.as_ref().filter(|key| key.check().is_ok()) {
        assert_eq!(Key::decode(&key.encode()).as_ref(), Some(key), "a stored key is itself");
    }
    let tid = Tid::from_bytes(bytes);
    assert!(tid.is_none_or(|tid| tid.to_bytes() == bytes), "an id is its bytes");
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let named = text.parse::<Key>();
    if let Ok(key) = &named {
        assert_eq!(key.to_string().parse::<Key>().as_ref(), Ok(key), "a name is itself");
        assert_eq!(Key::decode(&key.encode()).as_ref(), Some(key), "and so is its stored form");
    }
    let spelled = text.parse::<Tid>().is_ok();
    named.is_ok() || stored.is_some() || tid.is_some() || spelled
}

/// A record of a queue: what waits, what became of it, that nothing is begun; and a ticket's name.
fn ticket(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let named = text.parse::<Ticket>();
    if let Ok(ticket) = &named {
        assert_eq!(ticket.to_string(), text, "a name is itself");
        assert_eq!(&Ticket::at(&ticket.queued_key()), ticket, "and what lies under it");
        let _ = ticket.mint();
    }
    let Ok(fields) = codec::decode::<Fields>(bytes) else { return named.is_ok() };
    let entry = Entry::read(&fields);
    if let Some(entry) = &entry {
        assert_eq!(Entry::read(&entry.fields()).as_ref(), Some(entry), "what was written is read");
        let _ = entry.records();
    }
    let resolved = Resolved::read(&fields);
    if let Some(outcome) = &resolved {
        let again = Resolved::read(&sample::resolved_fields(outcome));
        assert_eq!(again.as_ref(), Some(outcome), "what was written is read");
    }
    entry.is_some() || resolved.is_some() || is_paused(Some(&fields))
}

fn envelope(bytes: &[u8]) -> bool {
    let exchange = peer::ExchangeRequest::decode(bytes);
    let response = peer::ExchangeResponse::decode(bytes);
    let ask = peer::AskRequest::decode(bytes);
    exchange.is_ok() || response.is_ok() || ask.is_ok()
}

fn snapshot(bytes: &[u8]) -> bool {
    thread_local! {
        static SCRATCH: tempfile::TempDir = scratch();
    }
    let path: PathBuf = SCRATCH.with(|dir| dir.path().join("snapshot"));
    vatic_store::fuzz::snapshot(bytes, &path)
}

fn snapshots() -> Vec<Vec<u8>> {
    vatic_store::fuzz::snapshots(scratch().path())
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}
