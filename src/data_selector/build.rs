//! From a strategy's name to the strategy. One line for each.

use super::batchbald::{self, BatchBald};
use super::cluster_margin::{self, ClusterMargin};
use super::contrastive::{self, Contrastive};
use super::density::DensityWeighted;
use super::diverse_mini_batch::{self, DiverseMiniBatch};
use super::herding::Herding;
use super::probcover::ProbCover;
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
    let output = || spec.text("output").unwrap_or("embedding").to_owned();
    Ok(match spec.name.as_str() {
        "random" => Box::new(Random),
        "least_confidence" => uncertainty(Measure::LeastConfidence),
        "margin" => uncertainty(Measure::Margin),
        "entropy" => uncertainty(Measure::Entropy),
        "ratio" => uncertainty(Measure::Ratio),
        "batchbald" => Box::new(BatchBald {
            keep: spec.whole("keep"),
            samples: spec.whole("samples").unwrap_or(batchbald::SAMPLES),
        }),
        "density_weighted" => {
            let named = spec.of.first().cloned().unwrap_or_else(|| StrategySpec::named("entropy"));
            Box::new(DensityWeighted {
                inner: build(&named)?,
                inner_name: named.to_string(),
                output: output(),
                beta: spec.number("beta").unwrap_or(1.0),
            })
        }
        "cluster_margin" => Box::new(ClusterMargin {
            output: output(),
            keep: spec.number("keep").unwrap_or(cluster_margin::KEEP),
            radius: spec.number("radius"),
            uncertainty: uncertainty(Measure::Margin),
        }),
        "diverse_mini_batch" => Box::new(DiverseMiniBatch {
            output: output(),
            keep: spec.number("keep").unwrap_or(diverse_mini_batch::KEEP),
            uncertainty: uncertainty(Measure::Margin),
        }),
        "contrastive" => Box::new(Contrastive {
            output: output(),
            neighbours: spec.whole("neighbours").unwrap_or(contrastive::NEIGHBOURS),
        }),
        "probcover" => Box::new(ProbCover {
            output: output(),
            radius: spec.number("radius"),
            cosine: spec.text("metric") == Some("cosine"),
        }),
        "max_herding" => Box::new(Herding {
            output: output(),
            bandwidth: spec.number("bandwidth"),
            uncertainty: None,
        }),
        "uncertainty_herding" => Box::new(Herding {
            output: output(),
            bandwidth: spec.number("bandwidth"),
            uncertainty: Some(uncertainty(Measure::Margin)),
        }),
        name => return Err(refuse(format!("{name} is not built yet"))),
    })
}
