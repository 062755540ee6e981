//! The parsers of the command line, for fuzzing: bytes in, and whether they were taken for
//! something.

use crate::{keys, receipt_file, script, start};

/// A transaction script.
pub fn script(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| match script::parse(text) {
        Ok(_) => true,
        Err(fault) => {
            assert!(!fault.to_string().is_empty(), "a fault says what is wrong");
            false
        }
    })
}

/// A receipt file, verified without keys.
pub fn receipt_file(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| receipt_file::verify_text(text, None).is_ok())
}

/// A node's configuration file. What holds together is written and read again.
pub fn config_file(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(table) = text.parse::<toml::Table>() else { return false };
    let Ok(config) = start::checked(table) else { return false };
    let again = toml::Table::try_from(&config).expect("what was read is written");
    assert!(start::checked(again).is_ok(), "and holds together still");
    true
}

/// A file of a cluster's keys. What is read is written and read again as the same.
pub fn keys_file(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(read) = keys::parse(text) else { return false };
    let again = keys::parse(&keys::text_of(&read)).expect("what was written is read");
    assert_eq!(again, read, "and is the same");
    true
}
