//! The KPI gate: is the production model still good enough, judged by labels it has never seen?

use super::labels::{Known, bought};
use super::scoring::{correct, score};
use crate::domain::command::{Command, Measurement};
use crate::domain::definition::{Definition, GateEstimator, KpiMetric};
use crate::domain::digest::Digest;
use crate::engine::reactor::{Reactor, Step, StepError};
use crate::metrics;

pub(super) struct Gate;

impl Reactor for Gate {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let Some(model) = step.run.production else {
            return Err(StepError::permanent("there is no production model to measure"));
        };
        let (estimator, known) = match step.definition.kpi.estimator {
            GateEstimator::Audit => {
                let fresh = &step.run.fresh_audit;
                ("audit", bought(step, |sample| fresh.contains(sample))?)
            }
            GateEstimator::Batch => {
                let picks = &step.run.picks;
                ("batch", bought(step, |sample| picks.contains_key(sample))?)
            }
        };
        measure(step, model, estimator, &known).map(Command::CheckGate)
    }
}

/// Measures the workflow's KPI of `model` on samples with known labels.
pub(super) fn measure(
    step: &Step,
    model: Digest,
    estimator: &str,
    known: &Known,
) -> Result<Measurement, StepError> {
    let predictions = score(step, model, &known.rows)?;
    let Definition { kpi, .. } = &*step.definition;
    match kpi.metric {
        KpiMetric::Accuracy => {
            let (correct, n) = correct(&predictions, &known.classes(step.definition.run.task));
            Ok(Measurement {
                metric: "accuracy".to_owned(),
                estimator: estimator.to_owned(),
                model,
                n,
                at: step.clock.now(),
                value: metrics::share(correct, n),
                interval: metrics::wilson(correct, n, kpi.confidence),
            })
        }
    }
}
