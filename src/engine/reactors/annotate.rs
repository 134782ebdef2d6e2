//! Getting a batch labelled.

use super::{labels, voting};
use crate::annotation;
use crate::domain::command::Command;
use crate::domain::definition::AnnotatorSpec;
use crate::domain::ids::SampleId;
use crate::domain::state::Phase;
use crate::engine::reactor::{Reactor, Step, StepError};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Annotate;

impl Reactor for Annotate {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let Phase::Annotating { .. } = step.run.phase else {
            return Err(StepError::permanent("nothing waits for labels"));
        };
        if step.definition.votes() {
            return voting::ask(step);
        }
        let samples: Vec<SampleId> = step.run.missing().cloned().collect();
        match step.definition.annotator {
            AnnotatorSpec::Oracle => {
                let mut known = BTreeMap::new();
                for sample in &samples {
                    known.extend(labels::of_pool(step, sample)?.map(|label| (sample, label)));
                }
                let says = |sample: &SampleId| known.get(sample).copied();
                annotation::oracle(&samples, says, |sample| spent(step, sample), step.clock.now())
                    .map(Command::RecordLabels)
                    .map_err(StepError::permanent)
            }
        }
    }
}

/// What the annotation of a sample takes, where the pool has a column for it.
pub(super) fn spent(step: &Step, sample: &SampleId) -> Duration {
    let row = step.pool.index_of(sample);
    let seconds = row.zip(step.pool.seconds()).and_then(|(row, seconds)| seconds.get(row).copied());
    // A pool's seconds are finite and above 0.
    Duration::try_from_secs_f32(seconds.unwrap_or_default()).unwrap_or(Duration::MAX)
}
