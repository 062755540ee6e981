//! Bytes from outside never do more than fail to parse.

use crate::{
    body::{Body, Part},
    codec::{DecodeError, FORMAT, decode, encode},
    command::{Command, Reply},
    delta::Delta,
    group::Group,
    id::GroupId,
    memory::MemoryState,
    receipt::Receipt,
    rules::Rules,
    strategies_test::delta,
};
use alloc::vec::Vec;
use proptest::{collection, prelude::*, sample::Index};

fn arbitrary_bytes() -> impl Strategy<Value = Vec<u8>> {
    let small = collection::vec(0u8..16, 0..200);
    let wild = collection::vec(any::<u8>(), 0..200);
    (prop_oneof![small, wild], any::<bool>()).prop_map(|(mut bytes, formatted)| {
        if formatted {
            bytes.insert(0, FORMAT);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_decode_or_fail_and_never_panic(bytes in arbitrary_bytes()) {
        let _ = decode::<Command>(&bytes);
        let _ = decode::<Reply>(&bytes);
        let _ = decode::<Receipt>(&bytes);
        let _ = decode::<Body>(&bytes);
        let _ = decode::<Part>(&bytes);
        let _ = decode::<Delta>(&bytes);
    }

    #[test]
    fn arbitrary_bytes_as_a_log_entry_are_answered(bytes in arbitrary_bytes()) {
        let mut state = MemoryState::default();
        let mut group = Group::open(GroupId(1), &state, Rules::default());
        let replies = group.apply_entry(&mut state, 1, [bytes.as_slice()]);
        let replies = replies.expect("nothing was voted, so nothing contradicts");
        prop_assert_eq!(replies.len(), 1);
    }

    #[test]
    fn delta_reads_back(delta in delta()) {
        prop_assert_eq!(decode::<Delta>(&encode(&delta)), Ok(delta));
    }

    #[test]
    fn cut_or_lengthened_bytes_do_not_parse(delta in delta(), cut in any::<Index>(), extra: u8) {
        let bytes = encode(&delta);
        prop_assert!(decode::<Delta>(&bytes[..cut.index(bytes.len())]).is_err());
        let longer = [bytes.as_slice(), &[extra]].concat();
        prop_assert_eq!(decode::<Delta>(&longer), Err(DecodeError::Malformed));
    }

    #[test]
    fn other_format_is_refused_by_its_number(delta in delta(), format: u8) {
        let mut bytes = encode(&delta);
        bytes[0] = format;
        match decode::<Delta>(&bytes) {
            Ok(read) => prop_assert!(format == FORMAT && read == delta),
            Err(error) => prop_assert_eq!(error, DecodeError::Format { found: format }),
        }
    }
}

#[test]
fn no_bytes_are_not_a_value() {
    assert_eq!(decode::<Delta>(&[]), Err(DecodeError::Empty));
}
