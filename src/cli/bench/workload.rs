//! What the clients do: one stream of jobs for each, all from one seed.

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::limits::{HOT_CUSTOMERS, HOT_KEYS, HOT_PERCENT};
use super::tpcc::{Draw, Order, Payment};
use super::zipf::Zipf;
use crate::demo::{Deal, Mix};

/// The mixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// Replace records of 256 bytes, drawn uniformly
    Put,
    /// Linearizable reads, drawn uniformly
    Get,
    /// Half reads, half updates of one field, drawn by Zipf
    YcsbA,
    /// Half reads, half transactions that read and update one record, drawn by Zipf
    YcsbF,
    /// Bank transactions over one or two customers; 90 of 100 picks fall on a hundred of them
    Smallbank,
    /// Transactions that read two records and write both; 90 of 100 on the same ten
    Hotspot,
    /// The same over all records
    Uniform,
    /// NewOrder and Payment of TPC-C, half and half, over `--warehouses`
    Tpcc,
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Put(u32),
    Get(u32),
    /// One field of a YCSB record.
    Update {
        record: u32,
        field: usize,
    },
    /// The same after reading the record, in one transaction.
    ReadUpdate {
        record: u32,
        field: usize,
    },
    /// Reads both and writes both.
    Pair(u32, u32),
    Bank(Deal),
    Order(Order),
    Pay(Payment),
}

/// What there is to draw from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// At least 2.
    pub(crate) records: u32,
    pub(crate) theta: f64,
    pub(crate) warehouses: u32,
}

/// One client's jobs.
#[derive(Debug)]
pub(crate) struct Jobs {
    workload: Workload,
    random: SmallRng,
    records: u32,
    zipf: Option<Zipf>,
    mix: Mix,
    trade: Draw,
}

impl Workload {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl Jobs {
    /// The stream of one client.
    pub(crate) fn new(workload: Workload, seed: u64, client: u32, extent: Extent) -> Jobs {
        let Extent { records, theta, warehouses } = extent;
        let own = seed ^ u64::from(client).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let skewed = matches!(workload, Workload::YcsbA | Workload::YcsbF);
        Jobs {
            workload,
            random: SmallRng::seed_from_u64(own),
            records,
            zipf: skewed.then(|| Zipf::new(records, theta)),
            mix: Mix::new(seed, client, records, HOT_CUSTOMERS),
            trade: Draw { warehouses, items: records, home: client % warehouses + 1 },
        }
    }

    pub(crate) fn next(&mut self) -> Job {
        match self.workload {
            Workload::Put => Job::Put(self.record()),
            Workload::Get => Job::Get(self.record()),
            Workload::YcsbA | Workload::YcsbF => self.next_ycsb(),
            Workload::Smallbank => Job::Bank(self.mix.next()),
            Workload::Hotspot if self.random.random_range(0..100) < HOT_PERCENT => {
                self.pair(HOT_KEYS.min(self.records))
            }
            Workload::Hotspot | Workload::Uniform => self.pair(self.records),
            Workload::Tpcc if Draw::is_order(&mut self.random) => {
                Job::Order(self.trade.order(&mut self.random))
            }
            Workload::Tpcc => Job::Pay(self.trade.payment(&mut self.random)),
        }
    }

    fn next_ycsb(&mut self) -> Job {
        let record = self.record();
        let field = self.random.random_range(0..super::limits::YCSB_FIELDS);
        match (self.random.random::<bool>(), self.workload) {
            (true, _) => Job::Get(record),
            (false, Workload::YcsbA) => Job::Update { record, field },
            (false, _) => Job::ReadUpdate { record, field },
        }
    }

    fn record(&mut self) -> u32 {
        match &self.zipf {
            Some(zipf) => spread(zipf.rank(&mut self.random), self.records),
            None => self.random.random_range(0..self.records),
        }
    }

    fn pair(&mut self, among: u32) -> Job {
        let first = self.random.random_range(0..among);
        loop {
            let second = self.random.random_range(0..among);
            if second != first {
                return Job::Pair(first, second);
            }
        }
    }
}

/// Frequent ranks must not be neighbours: YCSB scrambles them.
fn spread(rank: u32, records: u32) -> u32 {
    let hash = u64::from(rank).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((hash >> 32) % u64::from(records)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(workload: Workload, seed: u64) -> Vec<Job> {
        let extent = Extent { records: 1_000, theta: 0.99, warehouses: 2 };
        let mut jobs = Jobs::new(workload, seed, 3, extent);
        (0..4_000).map(|_| jobs.next()).collect()
    }

    #[test]
    fn one_seed_gives_one_stream() {
        for workload in Workload::value_variants() {
            assert_eq!(jobs(*workload, 7), jobs(*workload, 7), "{workload:?}");
            assert_ne!(jobs(*workload, 7), jobs(*workload, 8), "{workload:?}");
        }
    }

    #[test]
    fn hotspot_draws_nine_of_ten_pairs_from_the_hot_records() {
        let hot = |job: &&Job| matches!(job, Job::Pair(a, b) if *a < HOT_KEYS && *b < HOT_KEYS);
        let count = jobs(Workload::Hotspot, 1).iter().filter(hot).count();
        assert!((3_500..3_700).contains(&count), "{count}");
        assert!(jobs(Workload::Uniform, 1).iter().filter(hot).count() < 10);
    }

    #[test]
    fn smallbank_draws_nine_of_ten_customers_from_the_hot_ones() {
        let jobs = jobs(Workload::Smallbank, 1);
        let payers = jobs.iter().filter_map(|job| match job {
            Job::Bank(Deal::SendPayment { from, .. }) => Some(*from),
            _ => None,
        });
        let (hot, cold): (Vec<u32>, Vec<u32>) =
            payers.partition(|customer| *customer < HOT_CUSTOMERS.customers);
        let share = hot.len() as f64 / (hot.len() + cold.len()) as f64;
        assert!((0.89..0.93).contains(&share), "{share}");
    }

    #[test]
    fn pairs_are_two_records_even_among_two() {
        let extent = Extent { records: 2, theta: 0.0, warehouses: 1 };
        let mut jobs = Jobs::new(Workload::Hotspot, 1, 0, extent);
        for _ in 0..500 {
            assert!(matches!(jobs.next(), Job::Pair(a, b) if a != b && a < 2 && b < 2));
        }
    }

    #[test]
    fn ycsb_halves_are_what_they_say() {
        for (workload, updates) in [(Workload::YcsbA, true), (Workload::YcsbF, false)] {
            let jobs = jobs(workload, 1);
            let reads = jobs.iter().filter(|job| matches!(job, Job::Get(_))).count();
            assert!((1_850..2_150).contains(&reads), "{reads}");
            let update = |job: &Job| matches!(job, Job::Update { .. });
            assert_eq!(jobs.iter().any(update), updates);
        }
    }
}
