//! A diary is played again to the same end, and no byte of it can be altered unnoticed.

use crate::{
    codec,
    command::{Command, Vote},
    diary::{Difference, Page, Why, play},
    fixture_test::{Groups, put},
    group::Group,
    id::{GroupId, Timestamp},
    memory::MemoryState,
    rules::Rules,
};
use alloc::{vec, vec::Vec};

const ONE: GroupId = GroupId(1);

fn vote(groups: &Groups, nonce: u64) -> Vec<u8> {
    let mut draft = groups.draft(nonce);
    draft.push(put(&groups.key_in(ONE), nonce as i64), None, None).expect("a plain put");
    let (body, mut parts) = draft.finish().expect("it touches a record");
    let (part, hint) = (parts.remove(0), Timestamp(nonce));
    codec::encode(&Command::Vote(alloc::boxed::Box::new(Vote { body, part, hint })))
}

/// A group's first entry, then the state as a restart finds it, then two more entries.
fn pages() -> Vec<Page> {
    let groups = Groups::new(1);
    let commands: Vec<Vec<u8>> = (1..=3).map(|nonce| vote(&groups, nonce)).collect();
    let mut state = MemoryState::default();
    let mut group = Group::open(ONE, &state, Rules::default());
    let mut pages = vec![Page::opened(ONE, [])];
    for (index, command) in (1..).zip(&commands) {
        let replies = group.apply_entry(&mut state, index, [command.as_slice()]);
        let replies: Vec<Vec<u8>> =
            replies.expect("no contradiction").iter().map(codec::encode).collect();
        let heard = (index != 2).then_some(replies.as_slice());
        pages.push(Page::entry(index, core::slice::from_ref(command), group.chain(), heard));
        if index == 1 {
            pages.push(Page::opened(ONE, state.0.clone()));
            group = Group::open(ONE, &state, Rules::default());
        }
    }
    pages
}

fn bytes(pages: &[Page]) -> Vec<u8> {
    pages.iter().flat_map(Page::to_bytes).collect()
}

fn played(pages: &[Page]) -> Result<(u64, u64), Difference> {
    play(&bytes(pages), Rules::default()).map(|played| (played.pages, played.entries))
}

#[test]
fn diary_is_played_again_across_a_restart() {
    assert_eq!(played(&pages()), Ok((5, 3)));
}

#[test]
fn any_altered_byte_is_found_on_its_page() {
    let pages = pages();
    let (diary, mut at, mut tried) = (bytes(&pages), 0, 0);
    for (number, page) in (1..).zip(&pages) {
        for place in at..at + page.to_bytes().len() {
            let mut altered = diary.clone();
            altered[place] ^= 1 << (place % 8);
            let found = play(&altered, Rules::default()).expect_err("it differs");
            assert_eq!((found.page, found.at), (number, at), "byte {place}: {found}");
            tried += 1;
        }
        at += page.to_bytes().len();
    }
    assert_eq!(tried, diary.len());
}

#[test]
fn last_page_that_is_cut_off_is_let_pass_and_told() {
    let diary = bytes(&pages());
    let shorter = play(&diary[..diary.len() - 1], Rules::default()).expect("the rest is sound");
    assert!(shorter.cut && shorter.pages == 4, "{shorter:?}");
    let all = play(&diary, Rules::default()).expect("it is sound");
    assert!(!all.cut && all.pages == 5, "{all:?}");
}

#[test]
fn entries_that_are_missing_swapped_or_come_before_a_state_differ() {
    let whole = pages();
    let mut missing = whole.clone();
    missing.remove(3);
    assert_eq!(played(&missing).expect_err("an entry is missing").why, Why::Chain(3));
    let mut swapped = whole.clone();
    swapped.swap(3, 4);
    assert_eq!(played(&swapped).expect_err("an entry comes too early").why, Why::Chain(3));
    let mut repeated = whole.clone();
    repeated.insert(4, whole[3].clone());
    assert_eq!(played(&repeated).expect_err("an entry comes twice").why, Why::Order(2));
    assert_eq!(played(&whole[1..]).expect_err("no state").why, Why::Unopened(1));
}
