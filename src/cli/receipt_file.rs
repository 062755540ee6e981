//! The file of `txn --receipt-out`: a receipt together with what was sent.
//!
//! JSON, since people look into it: `format` (1), `transaction_id`, `commit_version`, `deltas` and
//! `receipt` in hexadecimal. The first two repeat what the receipt says and are checked against it,
//! so that nobody is misled by the readable part of a file whose proof is another's.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use vatic_client::{Committed, Evidence};
use vatic_core::receipt::{Assurance, Lacking, Position, Receipt};
use vatic_core::sign::TrustedKeys;

use crate::exit::Failed;

const FORMAT: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ReceiptFile {
    format: u32,
    transaction_id: String,
    commit_version: u64,
    deltas: Vec<String>,
    receipt: String,
}

/// Whether there can be a file: usage where there cannot. What is there stays as it is.
pub(crate) fn touch(path: &Path) -> anyhow::Result<()> {
    let opened = std::fs::File::options().append(true).create(true).open(path);
    let wrong = |error| Failed::usage(format!("{}: {error}", path.display()));
    Ok(opened.map(drop).map_err(wrong)?)
}

/// Writes it. An existing file is replaced.
pub(crate) fn write(path: &Path, committed: &Committed) -> anyhow::Result<()> {
    let text = render(committed)?;
    std::fs::write(path, text).with_context(|| format!("receipt to {}", path.display()))
}

/// Reads and verifies it, the signatures too where keys are pinned. Errors: usage where there is no
/// file, verification for anything in it.
pub(crate) fn verify(
    path: &Path,
    pinned: Option<&TrustedKeys>,
) -> anyhow::Result<(Receipt, Vec<Position>)> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failed::usage(format!("{}: {error}", path.display())))?;
    verify_text(&text, pinned).map_err(|what| {
        Failed::verification(format!("{} does not verify: {what}", path.display())).into()
    })
}

fn render(committed: &Committed) -> anyhow::Result<String> {
    let file = ReceiptFile {
        format: FORMAT,
        transaction_id: committed.tid.to_string(),
        commit_version: committed.version.0,
        deltas: committed.evidence.deltas.iter().map(hex::encode).collect(),
        receipt: hex::encode(&committed.evidence.receipt),
    };
    Ok(serde_json::to_string_pretty(&file)? + "\n")
}

pub(crate) fn verify_text(
    text: &str,
    pinned: Option<&TrustedKeys>,
) -> Result<(Receipt, Vec<Position>), String> {
    let file: ReceiptFile =
        serde_json::from_str(text).map_err(|error| format!("it is no receipt file ({error})"))?;
    if file.format != FORMAT {
        return Err(format!("format {} where {FORMAT} was expected", file.format));
    }
    let bytes = |text: &String| hex::decode(text).map_err(|error| error.to_string());
    let evidence = Evidence {
        deltas: file.deltas.iter().map(bytes).collect::<Result<_, _>>()?,
        receipt: bytes(&file.receipt)?,
    };
    let positions = evidence.verify().map_err(|fault| fault.to_string())?;
    let receipt = evidence.read().map_err(|fault| fault.to_string())?;
    if receipt.body.tid.to_string() != file.transaction_id {
        return Err(format!("the receipt is that of transaction {}", receipt.body.tid));
    }
    if receipt.ts.0 != file.commit_version {
        return Err(format!("the receipt says commit version {}", receipt.ts));
    }
    if let Some(keys) = pinned {
        let assurance = evidence.verify_signed(keys).map_err(|fault| fault.to_string())?;
        if let Assurance::Incomplete(lacking) = assurance {
            return Err(incomplete(&lacking));
        }
    }
    Ok((receipt, positions))
}

fn incomplete(lacking: &[Lacking]) -> String {
    let each = lacking.iter().map(|Lacking { group, signed, needed }| {
        format!("group {group} has {signed} of {needed} signatures")
    });
    let each = each.collect::<Vec<_>>().join(", ");
    format!("too few replicas signed ({each}); `vatic txn outcome` fetches the rest")
}

#[cfg(test)]
#[path = "receipt_file_test.rs"]
pub(crate) mod receipt_file_test;
