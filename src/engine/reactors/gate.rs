//! The KPI gate: is the production model still good enough, judged by labels it has never seen?

use super::scoring::{bought_labels, correct, score};
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
        let (estimator, (rows, labels)) = match step.definition.kpi.estimator {
            GateEstimator::Audit => {
                let fresh = &step.run.fresh_audit;
                ("audit", bought_labels(step, |sample| fresh.contains(sample))?)
            }
            GateEstimator::Batch => {
                let picks = &step.run.picks;
                ("batch", bought_labels(step, |sample| picks.contains_key(sample))?)
            }
        };
        measure(step, model, estimator, &rows, &labels).map(Command::CheckGate)
    }
}

/// Measures the workflow's KPI of `model` on the samples at `rows`.
pub(super) fn measure(
    step: &Step,
    model: Digest,
    estimator: &str,
    rows: &[usize],
    labels: &[u32],
) -> Result<Measurement, StepError> {
    let predictions = score(step, model, rows)?;
    let Definition { kpi, .. } = &*step.definition;
    match kpi.metric {
        KpiMetric::Accuracy => {
            let (correct, n) = correct(&predictions, labels);
            Ok(Measurement {
                metric: "accuracy".to_owned(),
                estimator: estimator.to_owned(),
                model,
                n,
                value: metrics::share(correct, n),
                interval: metrics::wilson(correct, n, kpi.confidence),
            })
        }
    }
}
