//! The audit arm: a uniformly random slice of each batch, so that the KPI does not lie.
//!
//! Accuracy on an actively chosen batch says how hard that batch is, not how good the model is.

use super::View;
use rayon::prelude::*;

/// Candidates that one thread draws for at a time.
const PIECE: usize = 32 * 1024;

/// How many of a batch of `batch` the audit arm picks: `batch * fraction`, rounded to the nearest (halves up).
///
/// 0 where `fraction` is 0 (or no positive number). Otherwise at least one, because an arm that never picks measures
/// nothing; and never the whole batch, because a strategy that never picks learns nothing. A batch of one cannot be both,
/// and goes to the audit.
#[must_use]
pub fn audit_size(batch: usize, fraction: f64) -> usize {
    if batch == 0 || fraction.is_nan() || fraction <= 0.0 {
        return 0;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count of samples; clamped"
    )]
    let wanted = (batch as f64 * fraction).round() as usize;
    wanted.clamp(1, batch.saturating_sub(1).max(1))
}

/// Draws `size` of the candidates that `is_in` uniformly without replacement, or all where there are fewer: those with the
/// lowest draws of a purpose, lowest first; equal draws in the order of ids. Takes memory for the batch.
pub(super) fn lowest_draws(
    view: &View<'_>,
    purpose: &str,
    size: usize,
    is_in: impl Fn(usize) -> bool + Sync,
) -> Vec<usize> {
    if size == 0 {
        return Vec::new(); // drawing takes a hash of every id
    }
    let chance = view.chance(purpose);
    let pieces: Vec<usize> = (0..view.len()).step_by(PIECE).collect();
    let lowest = |mut draws: Vec<(u64, usize)>| {
        draws.sort_unstable();
        draws.truncate(size);
        draws
    };
    let draws = pieces
        .into_par_iter()
        .map(|first| {
            let piece = (first..(first + PIECE).min(view.len())).filter(|&index| is_in(index));
            lowest(piece.map(|index| (chance.draw(&view.id(index)), index)).collect())
        })
        .reduce(Vec::new, |mut all, more| {
            all.extend(more);
            lowest(all)
        });
    draws.into_iter().map(|(_, index)| index).collect()
}
