//! The audit arm: a uniformly random slice of each batch, so that the KPI does not lie.
//!
//! Accuracy on an actively chosen batch says how hard that batch is, not how good the model is.

use super::share;
use crate::domain::chance::Chance;
use crate::domain::event::{Arm, Pick};
use crate::domain::ids::{CycleNumber, SampleId};

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

/// Draws `size` candidates uniformly without replacement, or all where there are fewer: those with the lowest draws of
/// the purpose "audit". The recorded probability is that of any candidate to be drawn.
pub(super) fn draw(
    candidates: &[SampleId],
    size: usize,
    seed: u64,
    cycle: CycleNumber,
) -> Vec<Pick> {
    let chance = Chance { seed, cycle, purpose: "audit" };
    let mut order: Vec<(u64, &SampleId)> =
        candidates.iter().map(|sample| (chance.draw(sample.as_str()), sample)).collect();
    order.sort_unstable();
    order.truncate(size);
    let probability = Some(share(order.len(), candidates.len()));
    (1..)
        .zip(order)
        .map(|(rank, (_, sample))| Pick {
            sample: sample.clone(),
            arm: Arm::Audit,
            score: None,
            rank,
            probability,
        })
        .collect()
}
