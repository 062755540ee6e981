//! Who does what, as the standard draws it.

use rand::Rng;
use rand::rngs::SmallRng;

use super::{DISTRICTS, LINES, LINES_MAX};

/// NewOrder has 45 of 100 transactions of the standard's mix, Payment 43.
const ORDERS: u32 = 45;
const PAYMENTS: u32 = 43;
/// Orders of 100 that end with an item that does not exist.
const INVALID_PERCENT: u32 = 1;
/// Lines of 100 that another warehouse supplies.
const REMOTE_LINE_PERCENT: u32 = 1;
/// Payments of 100 by a customer of another warehouse.
const REMOTE_PAYMENT_PERCENT: u32 = 15;
/// The constants of NURand, drawn once: the same for all runs.
const C_CUSTOMER: u32 = 259;
const C_ITEM: u32 = 7_911;

/// One line of an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) item: u32,
    pub(crate) supplier: u32,
    pub(crate) quantity: u32,
}

/// A new order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) warehouse: u32,
    pub(crate) district: u32,
    pub(crate) customer: u32,
    lines: [Line; LINES_MAX],
    count: usize,
    /// The last item does not exist: the client gives up after its reads.
    pub(crate) invalid: bool,
}

/// A payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) warehouse: u32,
    pub(crate) district: u32,
    /// Where the customer is at home.
    pub(crate) home: (u32, u32),
    pub(crate) customer: u32,
    pub(crate) cents: i64,
    /// Names its history record.
    pub(crate) nonce: u64,
}

/// What one client draws from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    pub(crate) warehouses: u32,
    pub(crate) items: u32,
    /// Where the client stands.
    pub(crate) home: u32,
}

impl Order {
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines[..self.count]
    }
}

impl Draw {
    /// Whether the next one is a new order.
    pub(crate) fn is_order(random: &mut SmallRng) -> bool {
        random.random_range(0..ORDERS + PAYMENTS) < ORDERS
    }

    pub(crate) fn order(self, random: &mut SmallRng) -> Order {
        let count = random.random_range(LINES);
        let mut lines = [Line::default(); LINES_MAX];
        for at in 0..count {
            let item = loop {
                let item = self.item(random);
                if lines[..at].iter().all(|line| line.item != item) {
                    break item;
                }
            };
            let remote = random.random_range(0..100) < REMOTE_LINE_PERCENT;
            let supplier = if remote { self.other(random) } else { self.home };
            lines[at] = Line { item, supplier, quantity: random.random_range(1..=10) };
        }
        Order {
            warehouse: self.home,
            district: random.random_range(1..=DISTRICTS),
            customer: self.customer(random),
            lines,
            count,
            invalid: random.random_range(0..100) < INVALID_PERCENT,
        }
    }

    pub(crate) fn payment(self, random: &mut SmallRng) -> Payment {
        let district = random.random_range(1..=DISTRICTS);
        let remote = random.random_range(0..100) < REMOTE_PAYMENT_PERCENT;
        let home = match remote {
            true => (self.other(random), random.random_range(1..=DISTRICTS)),
            false => (self.home, district),
        };
        Payment {
            warehouse: self.home,
            district,
            home,
            customer: self.customer(random),
            cents: random.random_range(100..=500_000),
            nonce: random.random(),
        }
    }

    /// Another warehouse, where there is one.
    fn other(self, random: &mut SmallRng) -> u32 {
        if self.warehouses == 1 {
            return self.home;
        }
        let other = random.random_range(1..self.warehouses);
        if other < self.home { other } else { other + 1 }
    }

    fn item(self, random: &mut SmallRng) -> u32 {
        // 8,191 of 100,000, and as many of fewer.
        skewed(random, (self.items / 16).next_power_of_two() - 1, C_ITEM, self.items)
    }

    fn customer(self, random: &mut SmallRng) -> u32 {
        let customers = super::customers(self.items);
        // 1,023 of 3,000.
        skewed(random, (customers / 3).next_power_of_two() - 1, C_CUSTOMER, customers)
    }
}

/// NURand(a, 1, to), clause 2.1.6.
fn skewed(random: &mut SmallRng, a: u32, c: u32, to: u32) -> u32 {
    let drawn = random.random_range(0..=a) | random.random_range(1..=to);
    (drawn + c) % to + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn orders_are_within_bounds_and_rarely_remote_or_invalid() {
        let draw = Draw { warehouses: 4, items: 1_000, home: 2 };
        let mut random = SmallRng::seed_from_u64(1);
        let orders: Vec<Order> = (0..4_000).map(|_| draw.order(&mut random)).collect();
        let mut remote = 0;
        for order in &orders {
            assert!(LINES.contains(&order.lines().len()) && order.warehouse == 2);
            let mut items: Vec<u32> = order.lines().iter().map(|line| line.item).collect();
            assert!(items.iter().all(|item| (1..=1_000).contains(item)));
            remote += order.lines().iter().filter(|line| line.supplier != 2).count();
            items.sort_unstable();
            items.dedup();
            assert_eq!(items.len(), order.lines().len(), "an item is ordered once");
        }
        assert!((250..550).contains(&remote), "{remote} of about 40,000");
        let invalid = orders.iter().filter(|order| order.invalid).count();
        assert!((15..70).contains(&invalid), "{invalid} of 4,000");
    }

    #[test]
    fn alone_every_payment_is_at_home() {
        let draw = Draw { warehouses: 1, items: 100, home: 1 };
        let mut random = SmallRng::seed_from_u64(2);
        let payments = (0..500).map(|_| draw.payment(&mut random));
        assert!(payments.into_iter().all(|payment| payment.home.0 == 1));
        let far = Draw { warehouses: 3, ..draw };
        let remote = (0..2_000).filter(|_| far.payment(&mut random).home.0 != 1).count();
        assert!((220..380).contains(&remote), "{remote} of 2,000");
    }

    #[test]
    fn some_items_are_drawn_far_more_often() {
        let draw = Draw { warehouses: 1, items: 10_000, home: 1 };
        let mut random = SmallRng::seed_from_u64(3);
        let mut counts = vec![0u32; 10_001];
        for _ in 0..50_000 {
            counts[draw.item(&mut random) as usize] += 1;
        }
        counts.sort_unstable();
        assert!(counts[10_000] > 25, "the hottest of 10,000 had {}", counts[10_000]);
    }
}
