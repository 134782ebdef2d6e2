//! Getting a batch labelled.

use crate::annotation;
use crate::domain::command::Command;
use crate::domain::definition::AnnotatorSpec;
use crate::domain::ids::SampleId;
use crate::domain::state::Phase;
use crate::engine::reactor::{Reactor, Step, StepError};

pub(super) struct Annotate;

impl Reactor for Annotate {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let Phase::Annotating { missing } = &step.run.phase else {
            return Err(StepError::permanent("nothing waits for labels"));
        };
        let samples: Vec<SampleId> = missing.iter().cloned().collect();
        let known =
            |sample: &SampleId| step.pool.index_of(sample).and_then(|row| step.pool.label(row));
        match step.definition.annotator {
            AnnotatorSpec::Oracle => annotation::oracle(&samples, known, step.clock.now())
                .map(Command::RecordLabels)
                .map_err(StepError::permanent),
        }
    }
}
