//! Tickets while their leaders die. `VATIC_TEST_TICKET_KILLS=40` makes it so many.

use vatic_client::{Request, TicketState};
use vatic_core::delta::{Delta, Op};
use vatic_tests::cluster::Cluster;
use vatic_tests::values::{core_key, key, number};
use vatic_tests::wait::{SOON, until};

const KILLS: usize = 3;
const TICKETS_A_KILL: usize = 8;

fn kills() -> usize {
    let asked = std::env::var("VATIC_TEST_TICKET_KILLS");
    asked.map_or(KILLS, |kills| kills.parse().expect("VATIC_TEST_TICKET_KILLS is a number"))
}

/// Each adds one to a counter of group 1 and to one of group 2: more than once would be seen.
pub(crate) async fn tickets_happen_once_each_though_their_leader_dies(cluster: &Cluster) {
    let at = [
        core_key(&key("tickets", &cluster.partition(1, 0).await, "")),
        core_key(&key("tickets", &cluster.partition(2, 0).await, "")),
    ];
    let add = |key| Delta { key, op: Op::Add { field: "value".to_owned(), by: 1 } };
    let deltas = at.clone().map(add);
    let client = cluster.client();
    let mut tickets = Vec::new();
    for _ in 0..kills() {
        for nth in 0..TICKETS_A_KILL {
            let request = Request::mint();
            // Asked again under its id until it is answered.
            let ticket = until("a ticket is taken", SOON, || async {
                client.enqueue(Some(&request), 0, &deltas).await.ok()
            });
            tickets.push(ticket.await);
            if nth == TICKETS_A_KILL / 2 {
                let victim = cluster.leader(1).await;
                cluster.kill(victim);
                cluster.restart(victim);
            }
        }
    }
    cluster.wait_ready().await;
    for ticket in &tickets {
        let state = until("it is resolved", SOON, || async {
            let state = client.ticket(ticket, 1_000).await.ok()?;
            (state != TicketState::Queued).then_some(state)
        });
        let state = state.await;
        assert!(matches!(state, TicketState::Committed { .. }), "{ticket}: {state:?}");
    }
    for key in &at {
        let found = client.get(key).await.unwrap();
        assert_eq!(number(found.as_ref()), tickets.len() as i64, "{key}");
    }
    println!("  {} tickets, {} kills", tickets.len(), kills());
    cluster.wait_agreed().await;
}
