//! What a node wrote down of all that the tests before this one did to it, played again through the
//! core.

use std::fs;

use vatic_core::codec;
use vatic_core::diary::{Page, Played, Why, play};
use vatic_core::rules::Rules;
use vatic_tests::cluster::{Cluster, GROUPS, TRACED};
use vatic_tests::values::{int, key, put};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed};

/// Before each page: its length, twice.
const HEADER_BYTES: usize = 8;

pub(crate) async fn recorded_entries_are_played_again_and_an_altered_one_is_named(
    cluster: &Cluster,
) {
    let mut stream = Stream::begin(cluster.channel(0)).await;
    for group in 1..=GROUPS {
        let name = key("recorded", &cluster.partition(group, 0).await, "");
        stream.write(put(&name, int(1))).await;
    }
    committed(&stream.commit().await);
    cluster.wait_agreed().await;
    let at = TRACED as usize - 1;
    cluster.ask_to_stop(at);
    until("the node is gone", SOON, || async { cluster.stopped(at).then_some(()) }).await;

    let (mut sum, mut longest) = (Played::default(), Vec::new());
    for file in fs::read_dir(cluster.diaries(at)).expect("the node has diaries") {
        let path = file.expect("it can be listed").path();
        let diary = fs::read(&path).expect("it can be read");
        let played = play(&diary, Rules::default());
        let played = played.unwrap_or_else(|found| panic!("{}: {found}", path.display()));
        sum.entries += played.entries;
        sum.commands += played.commands;
        if diary.len() > longest.len() && played.entries > 0 && !played.cut {
            longest = diary;
        }
    }
    println!("  {} entries, {} commands", sum.entries, sum.commands);
    assert!(sum.entries > u64::from(GROUPS), "{sum:?}");

    let altered = with_another_command(&longest);
    let found = play(&altered, Rules::default()).expect_err("a command is another one");
    assert!(matches!(found.why, Why::Chain(_) | Why::Halt(_)), "{found}");
    let last = longest.len() - 1;
    longest[last] ^= 1;
    assert!(play(&longest, Rules::default()).is_err(), "a byte of the last page is altered");
    cluster.restart(at);
    cluster.wait_ready().await;
}

/// The diary with one byte altered in its first entry's first command, as if it had been so.
fn with_another_command(diary: &[u8]) -> Vec<u8> {
    let (mut pages, mut at) = (Vec::new(), 0);
    while at < diary.len() {
        let length = diary[at..at + 4].try_into().expect("four bytes");
        let body = at + HEADER_BYTES..at + HEADER_BYTES + u32::from_be_bytes(length) as usize;
        at = body.end;
        pages.push(codec::decode::<Page>(&diary[body]).expect("a page"));
    }
    let command = pages.iter_mut().find_map(|page| match page {
        Page::Entry { commands, .. } => commands.first_mut(),
        _ => None,
    });
    *command.expect("there is an entry").last_mut().expect("commands have bytes") ^= 1;
    pages.iter().flat_map(Page::to_bytes).collect()
}
