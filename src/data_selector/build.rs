//! From a strategy's name to the strategy. One line for each.

use super::autopilot::Autopilot;
use super::badge::Badge;
use super::class_balanced::ClassBalanced;
use super::combined::Combined;
use super::command::Command;
use super::committee::{Committee, Dispute};
use super::cost_aware::CostAware;
use super::detection::{Boxes, DetectionEntropy};
use super::kcenter::KCenter;
use super::kmeans::KMeans;
use super::model_output::ModelOutput;
use super::multilabel::{Cvirs, MultilabelEntropy, Pooled};
use super::prefilter::Prefilter;
use super::query::{Query, Where};
use super::random::Random;
use super::regression::{EnsembleVariance, GreedyX, Lcmd};
use super::seals::Seals;
use super::segmentation::{Pixels, SegmentationEntropy};
use super::stochastic::{Law, Stochastic};
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
    let cosine = spec.text("metric") == Some("cosine");
    let max = spec.text("pool") == Some("max");
    let output = |usual: &str| spec.text("output").unwrap_or(usual).to_owned();
    let stochastic = |law| -> Result<_, SelectorError> {
        let inner = spec.of.first().map_or_else(|| build(&StrategySpec::named("margin")), build)?;
        let beta = spec.number("beta").unwrap_or(1.0);
        Ok(Box::new(Stochastic { law, beta, inner, name: spec.to_string() }))
    };
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
        "kcenter" => Box::new(KCenter { output: output("embedding"), cosine }),
        "badge" => Box::new(Badge { output: output("embedding") }),
        "kmeans" => Box::new(KMeans { output: output("embedding") }),
        "typiclust" => Box::new(TypiClust {
            output: output("embedding"),
            neighbours: spec.whole("neighbours").unwrap_or(20),
            clusters_max: spec.whole("clusters_max").unwrap_or(500),
        }),
        "multilabel_entropy" => {
            Box::new(MultilabelEntropy(if max { Pooled::Max } else { Pooled::Mean }))
        }
        "cvirs" => Box::new(Cvirs),
        "ensemble_variance" => Box::new(EnsembleVariance),
        "greedy_x" => Box::new(GreedyX { output: output("embedding") }),
        "lcmd" => Box::new(Lcmd { output: output("embedding") }),
        "segmentation_entropy" => Box::new(SegmentationEntropy(match spec.text("pool") {
            Some("boundary") => Pixels::Boundary,
            Some("top") => Pixels::Top(spec.number("top").unwrap_or(0.1)),
            Some("stratified") => Pixels::Stratified,
            _ => Pixels::Mean,
        })),
        "detection_entropy" => {
            let boxes = match spec.text("pool") {
                Some("mean") => Boxes::Mean,
                Some("max") => Boxes::Max,
                _ => Boxes::Sum,
            };
            Box::new(DetectionEntropy { boxes, output: output("probabilities") })
        }
        "power" => stochastic(Law::Power)?,
        "softmax" => stochastic(Law::Softmax)?,
        "softrank" => stochastic(Law::SoftRank)?,
        // Strategies made of strategies, and those that ask elsewhere.
        "prefilter" => Box::new(Prefilter::new(spec)?),
        "seals" => Box::new(Seals::new(spec)?),
        "class_balanced" => Box::new(ClassBalanced::new(spec)?),
        "cost_aware" => Box::new(CostAware::new(spec)?),
        "product" => Box::new(Combined::product(spec)?),
        "sum" => Box::new(Combined::sum(spec)?),
        "autopilot" => Box::new(Autopilot::new(spec)?),
        "query" => Box::new(Query::new(spec)),
        "where" => Box::new(Where::new(spec)?),
        "output" => Box::new(ModelOutput::new(spec)),
        "command" => Box::new(Command::new(spec)?),
        name => return Err(refuse(format!("{name} is not built yet"))),
    })
}
