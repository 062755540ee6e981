//! Receipts verify offline against the transitions that the client kept, and the positions that
//! they lead to are those of the replicas' chains. A receipt for something else does not verify.
//! Endorsed by what the replicas keep, a receipt is complete as soon as all participants give one.

use super::at;
use crate::{
    history::Attempt,
    probe::Probe,
    violation::{Check, Violation},
    world::World,
};
use vatic_core::{
    receipt::{Assurance, Receipt},
    sign::TrustedKeys,
};

/// One receipt in so many has its signatures verified: they cost more than all else together.
const SIGNED_SHARE: u64 = 4;

pub(super) fn check(world: &mut World) -> Vec<Violation> {
    let keys = world.trusted_keys();
    let mut found = Vec::new();
    let (mut forgeries, mut complete) = (0, 0);
    for attempt in world.history.attempts.values() {
        for receipt in &attempt.receipts {
            let verified = verify(world, attempt, receipt);
            let forged = attempt.kept.is_some();
            forgeries += u64::from(forged && verified.is_err());
            let detail = match (forged, verified) {
                (false, Err(fault)) => fault,
                (true, Ok(())) => "a receipt for replaced transitions verifies".into(),
                _ => continue,
            };
            found.push(at(Check::Receipts, format!("{:?}: {detail}", attempt.body.tid)));
        }
        if let Err(fault) = homes_receipt(world, attempt) {
            found.push(at(Check::Receipts, format!("{:?} at home: {fault}", attempt.body.tid)));
        }
        match completed(world, &keys, attempt) {
            Ok(done) => complete += u64::from(done),
            Err(fault) => {
                found.push(at(Check::Receipts, format!("{:?}: {fault}", attempt.body.tid)));
            }
        }
    }
    (0..complete).for_each(|_| world.probes.hit(Probe::CompleteReceipt));
    (0..forgeries).for_each(|_| world.probes.hit(Probe::Forged));
    found
}

fn verify(world: &World, attempt: &Attempt, receipt: &Receipt) -> Result<(), String> {
    let positions = receipt.verify(attempt.clients_deltas()).map_err(|fault| fault.to_string())?;
    if receipt.body.tid != attempt.body.tid {
        return Err("it is for another transaction".into());
    }
    for position in positions {
        let chain = world.chain_at(position.group, position.index);
        if chain != Some(position.digest) {
            return Err(format!("{position:?} is not in the chain: {chain:?}"));
        }
    }
    Ok(())
}

/// As long as the home group keeps the record of a commit, it gives a whole receipt.
fn homes_receipt(world: &World, attempt: &Attempt) -> Result<(), String> {
    if world.history.commit_of(attempt).is_none() || !world.keeps_outcome(attempt.body.tid) {
        return Ok(());
    }
    let Some(receipt) = world.final_outcome(attempt.body.tid).receipt else {
        return Err("the record gives no receipt".into());
    };
    if attempt.kept.is_some() {
        return Ok(());
    }
    verify(world, attempt, &receipt)
}

/// Whether a client's receipt is complete with what its participants' replicas say of it.
fn completed(world: &World, keys: &TrustedKeys, attempt: &Attempt) -> Result<bool, String> {
    let sampled = attempt.body.tid.nonce.is_multiple_of(SIGNED_SHARE) && attempt.kept.is_none();
    let Some(receipt) = attempt.receipts.first().filter(|_| sampled) else { return Ok(false) };
    let receipt = world.endorsed(receipt);
    let all = receipt.endorsements.len() == receipt.proofs.len();
    match receipt.verify_signed(attempt.clients_deltas(), keys) {
        Ok(Assurance::Complete) => Ok(true),
        Ok(Assurance::Incomplete(lacking)) if all => Err(format!("signed by too few: {lacking:?}")),
        Ok(Assurance::Incomplete(_)) => Ok(false),
        Err(fault) => Err(format!("endorsed by its replicas: {fault}")),
    }
}
