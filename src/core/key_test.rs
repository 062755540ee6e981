//! Encoded keys sort as keys do, read back, and never run into each other.

use crate::{
    key::{Key, KeyRange},
    strategies_test::{component, key, sort},
};
use alloc::string::ToString;
use proptest::{option, prelude::*};

fn range() -> impl Strategy<Value = KeyRange> {
    (component(), component(), sort(), option::of(sort()))
        .prop_map(|(collection, partition, from, to)| KeyRange { collection, partition, from, to })
}

proptest! {
    #[test]
    fn encoded_keys_sort_as_keys_do(a in key(), b in key()) {
        prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
    }

    #[test]
    fn encoded_key_reads_back(key in key()) {
        prop_assert_eq!(Key::decode(&key.encode()), Some(key));
    }

    #[test]
    fn no_encoded_key_is_a_prefix_of_another(a in key(), b in key()) {
        prop_assert!(a == b || !b.encode().starts_with(&a.encode()));
    }

    #[test]
    fn arbitrary_bytes_decode_to_what_encodes_to_them_or_not_at_all(
        bytes in proptest::collection::vec(0u8..4, 0..12)
    ) {
        if let Some(key) = Key::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes);
        }
    }

    #[test]
    fn text_of_a_valid_key_parses_back(key in key()) {
        if key.check().is_ok() {
            prop_assert_eq!(key.to_string().parse::<Key>(), Ok(key));
        }
    }

    #[test]
    fn range_contains_what_its_definition_says(
        mut range in range(), mut key in key(), same in any::<[bool; 2]>()
    ) {
        if same[0] { range.collection.clone_from(&key.collection); }
        if same[1] { key.partition.clone_from(&range.partition); }
        let inside = key.collection == range.collection
            && key.partition == range.partition
            && range.from <= key.sort
            && range.to.as_ref().is_none_or(|to| key.sort < *to);
        prop_assert_eq!(range.contains(&key.encode()), inside);
        let (from, to) = range.bounds();
        prop_assert_eq!(from <= key.encode() && key.encode() < to, inside);
    }
}
