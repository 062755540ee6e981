//! What users and areas have in common: a factor model of what the other features leave over.
//!
//! Each user and each area that was seen often enough has eight numbers; the residual log-odds of a
//! pair is their product, so that a pair that was never seen gets one too (Koren, Bell, Volinsky,
//! 2009). It is part of a model, fitted where the model is, and absent where it does not pay.

use alloc::collections::BTreeMap;
use serde::{Deserialize, Serialize};

/// Numbers of a user or an area.
pub const RANK: usize = 8;

/// The factors, in Q12.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Factors {
    /// Of users, by id.
    pub users: BTreeMap<u64, [i16; RANK]>,
    /// Of areas, by id.
    pub areas: BTreeMap<u64, [i16; RANK]>,
}

impl Factors {
    /// Mean residual log-odds of a user over the areas that are known, in Q16; 0 where none is.
    pub fn residual(&self, user: u64, areas: &[u64]) -> i32 {
        let Some(user) = self.users.get(&user) else { return 0 };
        let known = areas.iter().filter_map(|area| self.areas.get(area));
        let (sum, count) = known.fold((0i64, 0i64), |(sum, count), area| {
            let product = user.iter().zip(area).map(|(a, b)| i64::from(*a) * i64::from(*b));
            (sum + product.sum::<i64>(), count + 1)
        });
        // Q12 · Q12 is Q24.
        ((sum / count.max(1)) >> 8) as i32
    }
}
