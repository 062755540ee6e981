//! Zipfian ranks: rank r with a probability proportional to 1 / r^theta.
//!
//! Source: Gray et al., "Quickly Generating Billion-Record Synthetic Databases", SIGMOD 1994, as
//! YCSB uses it. `theta` 0 is uniform; it must stay below 1.

use rand::Rng;

#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    count: f64,
    theta: f64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    pub(crate) fn new(count: u32, theta: f64) -> Zipf {
        let count = f64::from(count.max(1));
        let zeta = (1..=count as u64).map(|rank| (rank as f64).powf(-theta)).sum::<f64>();
        let zeta_two = 1.0 + 0.5f64.powf(theta);
        let eta = (1.0 - (2.0 / count).powf(1.0 - theta)) / (1.0 - zeta_two / zeta);
        Zipf { count, theta, alpha: 1.0 / (1.0 - theta), zeta, eta }
    }

    /// A rank from 0, the most frequent first.
    pub(crate) fn rank(&self, random: &mut impl Rng) -> u32 {
        let drawn: f64 = random.random();
        let scaled = drawn * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(self.theta) {
            return 1;
        }
        let rank = self.count * (self.eta * drawn - self.eta + 1.0).powf(self.alpha);
        rank.min(self.count - 1.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn counts(count: u32, theta: f64) -> Vec<u32> {
        let (zipf, mut random) = (Zipf::new(count, theta), SmallRng::seed_from_u64(1));
        let mut counts = vec![0; count as usize];
        (0..100_000).for_each(|_| counts[zipf.rank(&mut random) as usize] += 1);
        counts
    }

    #[test]
    fn first_rank_has_the_share_that_the_law_gives_it() {
        let share = 100_000.0 / (1..=1_000).map(|rank| f64::from(rank).powf(-0.99)).sum::<f64>();
        let first = f64::from(counts(1_000, 0.99)[0]);
        assert!((first / share - 1.0).abs() < 0.05, "{first} of {share}");
    }

    #[test]
    fn theta_zero_is_uniform_and_every_rank_exists() {
        let counts = counts(100, 0.0);
        assert!(counts.iter().all(|&count| (800..1_200).contains(&count)), "{counts:?}");
    }
}
