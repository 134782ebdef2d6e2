//! From a strategy's name to the strategy. One line for each.

use super::badge::Badge;
use super::committee::{Committee, Dispute};
use super::kcenter::KCenter;
use super::kmeans::KMeans;
use super::random::Random;
use super::typiclust::TypiClust;
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
    let output = || spec.text("output").unwrap_or("embedding").to_owned();
    let cosine = spec.text("metric") == Some("cosine");
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
        "kcenter" => Box::new(KCenter { output: output(), cosine }),
        "badge" => Box::new(Badge { output: output() }),
        "kmeans" => Box::new(KMeans { output: output() }),
        "typiclust" => Box::new(TypiClust {
            output: output(),
            neighbours: spec.whole("neighbours").unwrap_or(20),
            clusters_max: spec.whole("clusters_max").unwrap_or(500),
        }),
        name => return Err(refuse(format!("{name} is not built yet"))),
    })
}
