//! From a strategy's name to the strategy. One line for each.

use super::committee::{Committee, Dispute};
use super::random::Random;
use super::uncertainty::{Measure, Uncertainty};
use super::{SelectorError, Strategy};
use crate::domain::strategy::{StrategySpec, catalogue};

/// Builds a strategy.
///
/// # Errors
/// [`SelectorError::Strategy`]: the first thing that [`catalogue::check`] finds wrong.
pub fn build(spec: &StrategySpec) -> Result<Box<dyn Strategy>, SelectorError> {
    let refuse = |problem| SelectorError::Strategy { strategy: spec.to_string(), problem };
    if let Some(problem) = catalogue::check(spec).into_iter().next() {
        return Err(refuse(problem));
    }
    let calibrated = spec.text("temperature") == Some("fit");
    let uncertainty = |measure| Box::new(Uncertainty { measure, calibrated });
    Ok(match spec.name.as_str() {
        "random" => Box::new(Random),
        "least_confidence" => uncertainty(Measure::LeastConfidence),
        "margin" => uncertainty(Measure::Margin),
        "entropy" => uncertainty(Measure::Entropy),
        "ratio" => uncertainty(Measure::Ratio),
        "variation_ratio" => Box::new(Committee(Dispute::VariationRatio)),
        "bald" => Box::new(Committee(Dispute::Bald)),
        "mean_std" => Box::new(Committee(Dispute::MeanStd)),
        "vote_entropy" => Box::new(Committee(Dispute::VoteEntropy)),
        "kl_to_mean" => Box::new(Committee(Dispute::KlToMean)),
        name => return Err(refuse(format!("{name} is not built yet"))),
    })
}
