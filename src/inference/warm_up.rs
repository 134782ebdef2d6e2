//! How many rows to run at once, found by trying.
//!
//! Only the speed depends on what is found: rows come out the same whatever the batch.

use super::Predictor;
use crate::domain::rows::Rows;
use std::time::{Duration, Instant};

/// What is tried. More than the last gains nothing on a processor, and a device is kept busy by it.
const SIZES: [usize; 5] = [1, 8, 32, 128, 512];

/// How long trying may take; a size that was begun is finished.
const BUDGET: Duration = Duration::from_secs(1);

/// How long a size is measured, so that the clock's grain and one interruption do not decide.
const MEASURED: Duration = Duration::from_millis(20);

/// Runs of one size at most.
const RUNS: u32 = 32;

/// A larger batch must be this much faster: it takes more memory and hears later that it should stop.
const WORTH_IT: f64 = 1.05;

/// The batch size with which `predictor` gets through the first rows of `source` fastest. A size that fails, for want of
/// memory for example, ends the search and is not taken; what is wrong with rows, the work itself will tell.
pub(super) fn fastest_batch(predictor: &mut dyn Predictor, source: &dyn Rows) -> usize {
    let most = SIZES.into_iter().filter(|&size| size <= source.rows()).max().unwrap_or(1);
    let Ok(values) = source.read(0..most) else { return 1 };
    let width = source.cols();
    let begun = now();
    choose(source.rows(), |size| {
        let values = values.get(..size.checked_mul(width)?)?;
        if begun.elapsed() >= BUDGET {
            return None;
        }
        // The first run takes memory and, on a device, compiles: it is not what the others will take.
        predictor.predict_values(size, values, size).ok()?;
        let (started, mut runs) = (now(), 0);
        while runs == 0 || (runs < RUNS && started.elapsed() < MEASURED) {
            predictor.predict_values(size, values, size).ok()?;
            runs += 1;
        }
        Some(started.elapsed().div_f64(f64::from(runs)))
    })
}

/// The size with the most rows in a second, of those that `rows` rows fill and `measure` gives a time for.
fn choose(rows: usize, mut measure: impl FnMut(usize) -> Option<Duration>) -> usize {
    let (mut best, mut best_rate) = (1, 0.0);
    for size in SIZES.into_iter().filter(|&size| size <= rows) {
        let Some(took) = measure(size) else { break };
        #[expect(clippy::cast_precision_loss, reason = "a batch has few rows")]
        let rate = size as f64 / took.as_secs_f64().max(1e-9);
        if rate > best_rate * WORTH_IT {
            (best, best_rate) = (size, rate);
        }
    }
    best
}

#[expect(clippy::disallowed_methods, reason = "how long a run takes in truth is what is asked")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_with_the_most_rows_in_a_second_wins_and_a_larger_one_only_by_a_margin() {
        let micros = |micros: [u64; 5]| {
            move |size| {
                let place = SIZES.iter().position(|&known| known == size)?;
                Some(Duration::from_micros(micros[place]))
            }
        };
        assert_eq!(choose(1000, micros([10, 20, 40, 200, 900])), 32);
        assert_eq!(choose(1000, micros([10, 80, 320, 1280, 5120])), 1, "nothing is gained");
        assert_eq!(choose(1000, micros([10, 40, 160, 620, 2480])), 8, "3 % are not worth it");
        assert_eq!(choose(1000, micros([10, 20, 40, 80, 160])), 512);
    }

    #[test]
    fn a_size_that_fails_or_that_there_are_not_rows_for_is_not_taken() {
        let linear = |_| Some(Duration::from_micros(10));
        assert_eq!(choose(100, linear), 32);
        assert_eq!(choose(0, linear), 1);
        assert_eq!(choose(1000, |size| (size <= 8).then(|| Duration::from_micros(10))), 8);
        assert_eq!(choose(1000, |_| None), 1);
    }
}
