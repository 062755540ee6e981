//! Names of tickets, and what lies in them, read as they were written.

use crate::{
    id::{GroupId, Tid, Timestamp},
    ticket::{Entry, Resolved, Ticket},
    value::Fields,
};
use alloc::{borrow::ToOwned, string::ToString, vec};

#[test]
fn ticket_is_read_as_it_is_written_and_nothing_else_is() {
    let one = Ticket::new("q3".to_owned(), Timestamp(77), 5);
    assert_eq!(one.to_string().parse(), Ok(one.clone()));
    assert_eq!((Ticket::at(&one.queued_key()), one.mint()), (one.clone(), Some(Timestamp(77))));
    for text in ["", "q3", "q3-1-2", "x3-000000000000004d-0000000000000005", "q3-4d-zz"] {
        assert!(text.parse::<Ticket>().is_err(), "{text}");
    }
}

#[test]
fn what_lies_in_a_ticket_is_read_as_it_was_written() {
    let entry = Entry { deltas: vec![vec![1, 2], vec![]], priority: 9, principal: "me".into() };
    assert_eq!(Entry::read(&entry.fields()), Some(entry));
    assert_eq!(Entry::read(&Fields::new()), None);
    let tid = Tid { mint: Timestamp(4), home: GroupId(2), nonce: 8 };
    let all = [Resolved::Committed(tid), Resolved::RolledBack("no".into()), Resolved::Cancelled];
    for resolved in all {
        assert_eq!(Resolved::read(&resolved.fields()), Some(resolved));
    }
}
