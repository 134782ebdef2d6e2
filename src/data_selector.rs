//! The data selector: stored scores in, picks out.
//!
//! Pure: a selection is a function of the candidates' probabilities, the parameters and the seed, and of nothing else, so
//! any past batch can be derived again, bit for bit, from its artifacts. The order in which candidates are given makes no
//! difference, and ties break by sample id. One file per family of strategies; where probabilities come from is not known here.

mod audit;
mod cold_start;
mod random;
mod uncertainty;

pub use audit::audit_size;
pub use cold_start::{ColdStartRequest, cold_start};

use crate::domain::definition::Strategy;
use crate::domain::event::{Arm, Pick};
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::matrix::Matrix;
use crate::metrics;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What to choose from, and how.
#[derive(Debug, Clone, Copy)]
pub struct SelectRequest<'a> {
    /// The rule that scores.
    pub strategy: Strategy,
    /// The samples without a label, each once, in any order.
    pub candidates: &'a [SampleId],
    /// The model's class probabilities; row i belongs to candidate i. Not needed by [`Strategy::Random`].
    pub probabilities: Option<&'a Matrix>,
    /// How many to pick, both arms together; fewer where there are fewer candidates.
    pub batch: usize,
    /// How many of them the audit arm picks, see [`audit_size`].
    pub audit: usize,
    /// The run's seed.
    pub seed: u64,
    /// The cycle that picks.
    pub cycle: CycleNumber,
}

/// What was chosen, with what an auditor needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The name of the strategy, for example `margin`.
    pub strategy: &'static str,
    /// The version of its definition; raised whenever the same inputs would give other picks.
    pub version: u32,
    /// Its parameters, as text.
    pub parameters: BTreeMap<String, String>,
    /// Strategy arm first, by rank; then the audit arm.
    pub picks: Vec<Pick>,
    /// The lowest score that the strategy arm still picked; `None` where it picked nothing.
    pub cutoff: Option<f64>,
    /// The strategy's score of each candidate, in the order of the request; empty for a cold start.
    pub scores: Vec<f64>,
}

/// The name of a strategy, as workflows and events write it.
#[must_use]
pub const fn name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Random => "random",
        Strategy::LeastConfidence => "least_confidence",
        Strategy::Margin => "margin",
        Strategy::Entropy => "entropy",
    }
}

/// Picks a batch.
///
/// The audit arm is drawn first, uniformly without replacement from all candidates, and those samples are out of the
/// strategy's reach: so its labels measure the production model without bias, whatever the strategy does. The strategy
/// then takes the highest scores among the rest. A batch larger than the pool takes every candidate.
///
/// # Errors
/// [`SelectorError`]: no candidates, an audit arm larger than the batch, or probabilities that are none.
pub fn select(request: &SelectRequest<'_>) -> Result<Selection, SelectorError> {
    let candidates = request.candidates;
    check_candidates(candidates, request.batch)?;
    if request.audit > request.batch {
        return Err(SelectorError::AuditTooLarge { audit: request.audit, batch: request.batch });
    }
    let scores = match request.strategy {
        Strategy::Random => random::scores(candidates, request.seed, request.cycle),
        strategy @ (Strategy::LeastConfidence | Strategy::Margin | Strategy::Entropy) => {
            let probabilities = request
                .probabilities
                .ok_or(SelectorError::NoProbabilities { strategy: name(strategy) })?;
            uncertainty::scores(strategy, candidates, probabilities)?
        }
    };
    let audit = audit::draw(candidates, request.audit, request.seed, request.cycle);
    let drawn: BTreeSet<&SampleId> = audit.iter().map(|pick| &pick.sample).collect();
    let mut rest: Vec<(f64, &SampleId)> = scores
        .iter()
        .copied()
        .zip(candidates)
        .filter(|(_, sample)| !drawn.contains(sample))
        .collect();
    // Scores are finite, so this order is total; ids differ, so it is the same for any order of candidates.
    rest.sort_unstable_by(|(a, first), (b, second)| b.total_cmp(a).then(first.cmp(second)));
    let seen = rest.len();
    rest.truncate(request.batch - request.audit);
    let probability = matches!(request.strategy, Strategy::Random).then(|| share(rest.len(), seen));
    let cutoff = rest.last().map(|&(score, _)| score);
    let mut picks: Vec<Pick> = (1..)
        .zip(rest)
        .map(|(rank, (score, sample))| Pick {
            sample: sample.clone(),
            arm: Arm::Strategy,
            score: Some(score),
            rank,
            probability,
        })
        .collect();
    picks.extend(audit);
    Ok(Selection {
        strategy: name(request.strategy),
        version: 1,
        parameters: BTreeMap::from([
            ("batch".to_owned(), request.batch.to_string()),
            ("audit".to_owned(), request.audit.to_string()),
        ]),
        picks,
        cutoff,
        scores,
    })
}

fn check_candidates(candidates: &[SampleId], batch: usize) -> Result<(), SelectorError> {
    if candidates.is_empty() {
        return Err(SelectorError::NoCandidates);
    }
    if batch == 0 {
        return Err(SelectorError::EmptyBatch);
    }
    // Only asked for membership, never walked: its order reaches nobody.
    let mut seen = HashSet::with_capacity(candidates.len());
    match candidates.iter().find(|sample| !seen.insert(*sample)) {
        Some(twice) => Err(SelectorError::DuplicateCandidate { sample: twice.clone() }),
        None => Ok(()),
    }
}

/// `part / whole` as a probability.
fn share(part: usize, whole: usize) -> f64 {
    metrics::share(part as u64, whole as u64)
}

/// Why nothing was picked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// Nothing to choose from.
    #[error("there are no candidates: every sample of the pool has a label")]
    NoCandidates,
    /// Nothing to choose.
    #[error("the batch size is 0; it must be at least 1")]
    EmptyBatch,
    /// One sample twice.
    #[error("the sample {sample} is twice among the candidates")]
    DuplicateCandidate {
        /// Which.
        sample: SampleId,
    },
    /// More audit picks than picks.
    #[error("the audit arm of {audit} samples is larger than the batch of {batch}")]
    AuditTooLarge {
        /// The audit arm.
        audit: usize,
        /// The batch.
        batch: usize,
    },
    /// The strategy needs a model.
    #[error(
        "the strategy {strategy} needs the probabilities of a model; only `random` does without"
    )]
    NoProbabilities {
        /// Its name.
        strategy: &'static str,
    },
    /// The matrix belongs to other candidates.
    #[error(
        "{candidates} candidates, but a probability matrix of {rows} rows and {columns} columns; one row for each \
         candidate and at least one column are expected"
    )]
    Shape {
        /// How many candidates.
        candidates: usize,
        /// How many rows.
        rows: usize,
        /// How many columns.
        columns: usize,
    },
    /// A value that is no probability.
    #[error(
        "the model gives sample {sample} the probability {value} for class number {class}; a number in [0, 1] is \
         expected. Check the model's training and its input"
    )]
    NotAProbability {
        /// Which sample.
        sample: SampleId,
        /// The column.
        class: usize,
        /// The value.
        value: f32,
    },
    /// A row that is no distribution.
    #[error(
        "the model's probabilities for sample {sample} sum to {sum}, not to 1 (within 0.001); are they logits?"
    )]
    NotADistribution {
        /// Which sample.
        sample: SampleId,
        /// The sum.
        sum: f64,
    },
    /// Labels of other candidates.
    #[error("{candidates} candidates, but {labels} labels")]
    Labels {
        /// How many candidates.
        candidates: usize,
        /// How many labels.
        labels: usize,
    },
    /// A per-class start without labels.
    #[error(
        "a start with {per_class} samples of each class needs candidates whose labels are known, and there are none; \
         use `selector.seed_batch` instead of `selector.seed_per_class`"
    )]
    NoKnownLabels {
        /// How many of each class were wanted.
        per_class: usize,
    },
}

#[cfg(test)]
#[path = "data_selector/tests.rs"]
mod tests;
