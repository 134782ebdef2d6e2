//! Getting a batch labelled.

use super::labels;
use crate::annotation;
use crate::domain::command::Command;
use crate::domain::definition::AnnotatorSpec;
use crate::domain::ids::SampleId;
use crate::domain::state::Phase;
use crate::engine::reactor::{Reactor, Step, StepError};
use std::collections::BTreeMap;

pub(super) struct Annotate;

impl Reactor for Annotate {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let Phase::Annotating { missing } = &step.run.phase else {
            return Err(StepError::permanent("nothing waits for labels"));
        };
        let samples: Vec<SampleId> = missing.iter().cloned().collect();
        match step.definition.annotator {
            AnnotatorSpec::Oracle => {
                let mut known = BTreeMap::new();
                for sample in &samples {
                    known.extend(labels::of_pool(step, sample)?.map(|label| (sample, label)));
                }
                let says = |sample: &SampleId| known.get(sample).copied();
                annotation::oracle(&samples, says, step.clock.now())
                    .map(Command::RecordLabels)
                    .map_err(StepError::permanent)
            }
        }
    }
}
