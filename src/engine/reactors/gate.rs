//! The KPI gate: is the production model still good enough, judged by labels it has never seen?

use super::drift::drift;
use super::labels::bought;
use super::measured::{kpi, kpi_of_draws, name};
use crate::domain::command::Command;
use crate::domain::definition::GateEstimator;
use crate::domain::ids::SampleId;
use crate::engine::reactor::{Reactor, Step, StepError};
use std::collections::BTreeSet;

pub(super) struct Gate;

impl Reactor for Gate {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let Some(model) = step.run.production else {
            return Err(StepError::permanent("there is no production model to measure"));
        };
        let estimator = step.definition.kpi.estimator;
        let measured = match estimator {
            GateEstimator::Audit => {
                let fresh = &step.run.fresh_audit;
                let known = bought(step, |sample| fresh.contains(sample))?;
                kpi(step, model, name(estimator), &known)
            }
            GateEstimator::Batch => {
                let picks = &step.run.picks;
                let known = bought(step, |sample| picks.contains_key(sample))?;
                kpi(step, model, name(estimator), &known)
            }
            GateEstimator::Lure => {
                let draws = &step.run.fresh_draws;
                let drawn: BTreeSet<&SampleId> =
                    draws.iter().flat_map(|draws| &draws.drawn).map(|(sample, _)| sample).collect();
                let known = bought(step, |sample| drawn.contains(sample))?;
                kpi_of_draws(step, model, &known, draws)
            }
        };
        Ok(Command::CheckGate { measured: measured?, drift: drift(step, model)? })
    }
}
