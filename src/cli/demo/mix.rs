//! Which transaction comes next: weights, parties and amounts, all from one seed.
//!
//! 65 of a hundred have two customers, so that with four groups about half of all transactions span
//! two of them; a small set of hot customers makes them meet.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::bank::Deal;
use super::limits::AMOUNT_CENTS_MAX;

/// The customers that are drawn more often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hot {
    /// How many they are.
    pub(crate) customers: u32,
    /// How many of a hundred picks fall on them.
    pub(crate) percent: u32,
}

#[derive(Debug)]
pub(crate) struct Mix {
    random: SmallRng,
    customers: u32,
    hot: Hot,
}

impl Mix {
    /// The stream of one client task.
    pub(crate) fn new(seed: u64, task: u32, customers: u32, hot: Hot) -> Self {
        let own = seed ^ u64::from(task).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Mix { random: SmallRng::seed_from_u64(own), customers, hot }
    }

    pub(crate) fn next(&mut self) -> Deal {
        let cents = self.random.random_range(1..=AMOUNT_CENTS_MAX);
        match self.random.random_range(0..100) {
            0..10 => Deal::Balance { of: self.customer() },
            10..20 => Deal::DepositChecking { to: self.customer(), cents },
            20..28 => {
                let cents = if self.random.random() { cents } else { -cents };
                Deal::TransactSavings { of: self.customer(), cents }
            }
            28..35 => Deal::WriteCheck { of: self.customer(), cents },
            35..40 => {
                let (from, to) = self.pair();
                Deal::Amalgamate { from, to }
            }
            _ => {
                let (from, to) = self.pair();
                Deal::SendPayment { from, to, cents }
            }
        }
    }

    fn customer(&mut self) -> u32 {
        let hot = self.random.random_range(0..100) < self.hot.percent;
        let among = if hot { self.hot.customers.min(self.customers) } else { self.customers };
        self.random.random_range(0..among)
    }

    fn pair(&mut self) -> (u32, u32) {
        let from = self.customer();
        loop {
            let to = self.customer();
            if to != from {
                return (from, to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOT: Hot = Hot { customers: 20, percent: 30 };

    fn deals(seed: u64, count: usize) -> Vec<Deal> {
        let mut mix = Mix::new(seed, 3, 50, HOT);
        (0..count).map(|_| mix.next()).collect()
    }

    #[test]
    fn one_seed_gives_one_stream() {
        assert_eq!(deals(7, 100), deals(7, 100));
        assert_ne!(deals(7, 100), deals(8, 100));
    }

    #[test]
    fn parties_differ_and_exist_even_in_the_smallest_bank() {
        let mut mix = Mix::new(1, 0, 2, HOT);
        for _ in 0..500 {
            if let Deal::SendPayment { from, to, .. } | Deal::Amalgamate { from, to } = mix.next() {
                assert!(from != to && from < 2 && to < 2);
            }
        }
    }

    #[test]
    fn every_kind_occurs_and_most_have_two_customers() {
        let deals = deals(1, 2_000);
        let pairs = deals
            .iter()
            .filter(|deal| matches!(deal, Deal::SendPayment { .. } | Deal::Amalgamate { .. }))
            .count();
        assert!((1_200..1_400).contains(&pairs), "{pairs}");
        assert!(deals.iter().any(|deal| matches!(deal, Deal::Balance { .. })));
        assert!(deals.iter().any(|deal| matches!(deal, Deal::WriteCheck { .. })));
        assert!(deals.iter().any(|deal| matches!(deal, Deal::DepositChecking { .. })));
        assert!(deals.iter().any(|deal| matches!(deal, Deal::TransactSavings { .. })));
    }
}
