//! The decoders of the client, for fuzzing: bytes in, and whether they were taken for something.

use prost::Message;
use vatic_proto::v1;

use crate::convert;

/// What a node answers: an outcome, or a record.
pub fn answer(bytes: &[u8]) -> bool {
    let outcome = v1::Outcome::decode(bytes);
    let outcome = outcome.is_ok_and(|it| match convert::outcome_in(it, vec![vec![1]]) {
        Ok(crate::Outcome::Committed(committed)) => {
            // A receipt that a node made up must not verify, and must not end the client.
            let _ = committed.evidence.verify();
            true
        }
        Ok(outcome) => {
            let _ = format!("{outcome:?}");
            true
        }
        Err(_) => false,
    });
    let record = v1::Record::decode(bytes).is_ok_and(|it| convert::record_in(it).is_ok());
    outcome || record
}

/// A rollback, a commit without a receipt that could be read, and a record.
pub fn answers() -> Vec<Vec<u8>> {
    let key = v1::Key {
        collection: "account".to_owned(),
        partition: "ada".to_owned(),
        sort: String::new(),
    };
    let committed = v1::Outcome {
        state: v1::outcome::State::Committed.into(),
        transaction_id: vec![7; 20].into(),
        commit_version: 9,
        receipt: Some(v1::Receipt { encoded: vec![1, 2, 3].into(), ..Default::default() }),
        ..Default::default()
    };
    let rolled_back = v1::Outcome {
        state: v1::outcome::State::RolledBack.into(),
        rollback: Some(v1::Rollback { key: Some(key.clone()), ..Default::default() }),
        ..Default::default()
    };
    let number = v1::Value { kind: Some(v1::value::Kind::IntValue(5)) };
    let fields = [("balance".to_owned(), number)].into();
    let record = v1::Record { key: Some(key), fields, version: 3 };
    vec![committed.encode_to_vec(), rolled_back.encode_to_vec(), record.encode_to_vec()]
}
