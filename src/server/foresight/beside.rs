//! What is sent beside the transitions that are judged: to what a ticket's owner sent, whoever has
//! it happen adds what resolves the ticket.
//!
//! Votes recompute a verdict from the footprint of all that they are sent, so the forecast has to
//! be of all of that too. Nobody has to foresee what is added: it is expected exactly as it is.
//! Distance, spread and so the score are what they would be without it.

use vatic_core::{
    delta::Delta,
    expected::{CELL_ONE, Expected},
    footprint::{BUCKETS, Footprint, ROWS},
    verdict::{Conditions, Forecast},
};

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Beside {
    footprint: Footprint,
    count: u64,
}

impl Beside {
    pub(super) fn add(&mut self, delta: &Delta) {
        self.footprint.add_delta(delta);
        self.count += 1;
    }

    /// A forecast of what this is beside, made one of both.
    pub(super) fn join(&self, own: Forecast) -> Forecast {
        if self.count == 0 {
            return own;
        }
        let mut cells = [0i32; ROWS * BUCKETS];
        own.footprint.cells().for_each(|(cell, sum)| cells[usize::from(cell)] = sum);
        for (cell, sum) in self.footprint.cells() {
            let cell = &mut cells[usize::from(cell)];
            *cell = cell.saturating_add(sum.saturating_mul(CELL_ONE));
        }
        let footprint = Expected::from_cells(&cells);
        let (count, prefix) = (own.count + self.count, own.prefix + self.count);
        let joined = Forecast { footprint, count, prefix, ..own };
        // A larger share of it was seen, which shall not have the rest judged more strictly.
        let spread = |forecast: &Forecast| Conditions::default().spread(forecast);
        let narrower = spread(&own).saturating_sub(spread(&joined));
        Forecast { spread: joined.spread.saturating_add(narrower), ..joined }
    }
}

#[cfg(test)]
mod tests {
    use super::Beside;
    use vatic_core::{
        chain::Seal,
        codec,
        delta::{Delta, Op},
        draft::Draft,
        expected::{Expected, STEP},
        footprint::Footprint,
        hash::Hash,
        id::{GroupId, Tid, Timestamp},
        key::Key,
        limits::Limits,
        ring::{Ring, RingSpec},
        rules::Rules,
        ticket::{Resolved, Ticket},
        value::Fields,
        verdict::{Conditions, Forecast, Judgement},
    };

    const CLASS: u64 = 7;
    const OWN: usize = 5;

    /// A put, then additions; `odd` of them of another field.
    fn deltas(odd: usize) -> Vec<Delta> {
        let key = Key::new("order", "p", "").unwrap();
        let put = Op::Put(Fields::from([("total".to_owned(), 0.into())]));
        let add = |nth: usize| {
            let field = if nth < odd { "odd" } else { "total" };
            Op::Add { field: field.into(), by: 1 }
        };
        let ops = std::iter::once(put).chain((0..OWN - 1).map(add));
        ops.map(|op| Delta { key: key.clone(), op }).collect()
    }

    fn footprint(deltas: &[Delta]) -> Footprint {
        let mut footprint = Footprint::default();
        deltas.iter().for_each(|delta| footprint.add_delta(delta));
        footprint
    }

    /// That a transaction ends as an ordinary one, after its first transition.
    fn forecast(count: u64) -> Forecast {
        let footprint = Expected::from(&footprint(&deltas(0)));
        Forecast { footprint, count, prefix: 1, spread: STEP / 3 }
    }

    /// What resolves a ticket of these, and what of that is added to them.
    fn resolving(own: &[Delta]) -> (Vec<Vec<u8>>, Beside) {
        let ticket = Ticket::new("q0".into(), Timestamp(3), 4);
        let tid = Tid { mint: Timestamp(3), home: GroupId(1), nonce: 5 };
        let outcome = Resolved::Committed(tid);
        let bytes: Vec<Vec<u8>> = own.iter().map(codec::encode).collect();
        let all = ticket.resolving(Timestamp(2), &bytes, &outcome, Rules::default());
        let mut beside = Beside::default();
        all[own.len()..].iter().for_each(|delta| beside.add(&codec::decode(delta).unwrap()));
        (all, beside)
    }

    #[test]
    fn ticket_is_judged_as_its_own_transitions_are_and_its_body_holds() {
        for odd in [0, 1, OWN - 1] {
            let own = deltas(odd);
            let (all, beside) = resolving(&own);
            let spec = RingSpec { epoch: 1, virtual_nodes: 4, groups: vec![GroupId(1)] };
            let mut draft =
                Draft::begin(Ring::new(spec), Limits::production(), Timestamp(3), 5, Hash::ZERO);
            let added = (all.len() - own.len()) as u64;
            for delta in all {
                draft.push(delta, None, None).unwrap();
            }
            let given = (Conditions { rtt_us: 9, rtt_mean_us: 2, ..Conditions::default() }, STEP);
            for count in [0, 1, OWN as u64, 1_000] {
                let judged = draft.judge(CLASS, beside.join(forecast(count)), given);
                // What a one-shot comes to that ends with the same digest.
                let seal = Seal { count: OWN as u64, ..draft.seal().clone() };
                let actual = footprint(&own);
                let alone = Judgement::of(CLASS, forecast(count), given, (&actual, &seal));
                assert_eq!(judged.verdict.distance, alone.verdict.distance);
                assert_eq!(judged.verdict.spread, alone.verdict.spread, "of {count}");
                assert_eq!(judged.verdict.score, alone.verdict.score, "of {count}");
                assert_eq!(judged.verdict.valid, alone.verdict.valid);
                assert_eq!(judged.forecast.count, count + added);
                assert_eq!(judged.count, OWN as u64 + added);
                assert_eq!(judged.verdict.distance == 0, odd == 0);
            }
            let (body, _) = draft.finish().unwrap();
            assert!(body.finding.holds(&body.footprint(), &body.seal), "as votes recompute it");
        }
    }

    #[test]
    fn forecast_with_nothing_beside_it_stays_as_it_is() {
        assert_eq!(Beside::default().join(forecast(9)), forecast(9));
    }
}
