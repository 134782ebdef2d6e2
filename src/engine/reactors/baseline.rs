//! What the randomly drawn labels alone would have given: one point of the curve that tells what selection saves.

use super::labels::bought;
use super::measured::{Criterion, Validation};
use super::train::{Samples, backbone, train_aside};
use crate::domain::definition::ColdStart;
use crate::domain::digest::Digest;
use crate::domain::event::{Arm, BaselineMeasured};
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::engine::reactor::{Step, StepError};
use crate::metrics;

/// Fewer labels than this teach nothing.
const LABELS_LEAST: usize = 2;

/// Trains on the labels that chance chose (the audit arm, and a first batch that was drawn at random), chooses among the
/// checkpoints as the model selector does, and measures the choice beside `challenger`, the best of the training on all labels.
///
/// Both are models of one training: what is in production is the best of many, which no single training can be held against.
pub(super) fn baseline(
    step: &Step,
    challenger: Digest,
    validation: &Validation<'_>,
) -> Result<Option<BaselineMeasured>, StepError> {
    let known = &validation.known;
    if !step.definition.kpi.savings || known.rows.is_empty() {
        return Ok(None);
    }
    let first_is_random = matches!(step.definition.selector.cold_start, ColdStart::Random(_));
    let is_random = |sample: &SampleId| {
        let arm = step.run.labels.get(sample).map(|known| known.arm);
        arm == Some(Arm::Audit) || (first_is_random && arm == Some(Arm::ColdStart))
    };
    let random = bought(step, is_random)?;
    if random.rows.len() < LABELS_LEAST {
        return Ok(None);
    }
    let labels = random.rows.len() as u64;
    let mut backbone = backbone(step)?;
    let random = Samples::of(step, random, backbone.as_mut())?;
    let held_out = Samples::of(step, known.clone(), backbone.as_mut())?;
    let trainer = &step.definition.trainer;
    let trained =
        train_aside(step, "comparison with random selection", trainer, &random, &held_out)?;
    let Some(trained) = trained else { return Ok(None) };
    let (task, classes) = (step.definition.run.task, step.pool.classes().len());
    let criterion = Criterion::of(&step.definition.model_selector.criterion)?;
    let mut best: Option<(f64, Matrix)> = None;
    for checkpoint in &trained {
        let answers = metrics::meaning(task, classes, &checkpoint.validation_answers);
        let value = criterion.value(step, &answers, known)?;
        let is_better =
            best.as_ref().is_none_or(|(known, _)| criterion.direction().gain(value, *known) > 0.0);
        if is_better {
            best = Some((value, answers));
        }
    }
    let Some((_, random)) = best else { return Ok(None) };
    let kpi = Criterion::by(step.definition.kpi.metric);
    Ok(Some(BaselineMeasured {
        random_labels: labels,
        all_labels: step.run.labelled(),
        metric: kpi.metric().to_string().into(),
        n: known.rows.len() as u64,
        random: kpi.value(step, &random, known)?,
        all: kpi.value(step, &*validation.answers(challenger)?, known)?,
    }))
}
