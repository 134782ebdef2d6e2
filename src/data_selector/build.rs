//! From a strategy's name to the strategy. One line for each.

use super::autopilot::Autopilot;
use super::class_balanced::ClassBalanced;
use super::combined::Combined;
use super::command::Command;
use super::cost_aware::CostAware;
use super::model_output::ModelOutput;
use super::prefilter::Prefilter;
use super::query::{Query, Where};
use super::random::Random;
use super::seals::Seals;
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
