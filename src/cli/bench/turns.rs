//! What is compared takes turns, so that what else the machine does meets all of it.

use anyhow::Result;
use serde_json::Value as Json;

use crate::args::Output;
use crate::output;

/// Takes each kind's turn in each round: what came of them, by kind. The seed is the same for all
/// turns of a round.
pub(crate) async fn in_turns<K: Copy, T>(
    kinds: &[K],
    rounds: u32,
    seed: u64,
    mut turn: impl AsyncFnMut(K, u64) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut turns: Vec<Vec<T>> = kinds.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (kind, own) in kinds.iter().zip(&mut turns) {
            own.push(turn(*kind, seed.wrapping_add(u64::from(round))).await?);
        }
    }
    Ok(turns)
}

/// The median of what is asked of each turn.
pub(crate) fn over<T>(turns: &[T], each: impl Fn(&T) -> f64) -> f64 {
    median(turns.iter().map(each).collect())
}

/// The median of the ratios to another kind's turns, each taken within its round.
pub(crate) fn ratio<T>(own: &[T], first: &[T], each: impl Fn(&T) -> f64) -> f64 {
    median(own.iter().zip(first).map(|(own, first)| each(own) / each(first)).collect())
}

/// Prints the rows under `name`, one by one for people, and all of it as one JSON object.
pub(crate) fn print(all: &Json, name: &str, form: Output) -> std::io::Result<()> {
    if form == Output::Table {
        for row in all[name].as_array().into_iter().flatten() {
            output::object(form, row)?;
        }
    }
    output::line(&all.to_string())
}

/// The middle one; of an even number the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_of_odd_and_between_the_middles_of_even() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[tokio::test]
    async fn all_kinds_have_a_round_s_seed_and_a_turn_in_each() {
        let turns = in_turns(&['a', 'b'], 2, 7, async |kind, seed| Ok((kind, seed))).await.unwrap();
        assert_eq!(turns, [[('a', 7), ('a', 8)], [('b', 7), ('b', 8)]]);
        let factor = |(_, seed): &(char, u64)| *seed as f64;
        assert_eq!((over(&turns[0], factor), ratio(&turns[0], &turns[1], factor)), (7.5, 1.0));
    }
}
