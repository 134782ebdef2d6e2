//! Labels that are probably wrong, and which of them to ask again.
//!
//! Each known label is held against a model that learnt the others (cross-validation), and against the answers it rests on.
//! What both find most probably wrong goes into the batch as an arm of its own.

use super::labels::{Known, bought};
use super::train::{Samples, backbone, train_aside};
use super::voting::{is_anybody_left, measures};
use crate::annotation::dawid_skene::{self, dawid_skene};
use crate::annotation::majority::majority;
use crate::annotation::relabel::{Doubt, disputed, relabel, suspected, unsure};
use crate::annotation::suspicious::{LabelNoise, confident};
use crate::annotation::votes::{Votes, of_answers};
use crate::domain::chance::Chance;
use crate::domain::definition::{Consensus, TrainerSpec};
use crate::domain::event::{Arm, LabelsDoubted, Pick};
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::domain::npy;
use crate::engine::reactor::{Step, StepError};
use crate::metrics;

/// Into how many parts labels are split; each is judged by a model that learnt the others.
const FOLDS: u32 = 5;

/// A consensus that is less sure than this is worth another answer.
const SURE: f64 = 0.9;

/// What was found.
#[derive(Default)]
pub(super) struct Doubts {
    /// How labels look to models that had not seen them.
    pub(super) doubted: Option<LabelsDoubted>,
    /// What to ask again, the most probably wrong first.
    pub(super) picks: Vec<Pick>,
}

/// What to ask again of what is known, in a batch of which `audit` samples are drawn at random.
///
/// A label is asked again once at most, and not while a gate reads it.
pub(super) fn doubts(step: &Step, audit: usize) -> Result<Doubts, StepError> {
    let selector = &step.definition.selector;
    let budget = budget(selector.batch, audit, selector.relabel_fraction);
    if budget == 0 {
        return Ok(Doubts::default());
    }
    let known = bought(step, |_| true)?;
    let samples: Vec<SampleId> = known.rows.iter().map(|&row| step.pool.sample(row)).collect();
    let classes = known.classes(step.definition.run.task);
    let labels: Vec<(&SampleId, u32)> = samples.iter().zip(classes).collect();
    let probabilities = out_of_fold(step, known, &samples)?;
    let noise = match &probabilities {
        Some(rows) => Some(confident(&labels, rows).map_err(StepError::permanent)?),
        None => None,
    };
    let doubted = match (&probabilities, &noise) {
        (Some(rows), Some(noise)) => Some(told(step, rows, noise)?),
        (None, _) | (_, None) => None,
    };
    let votes = Votes::new(of_answers(step.run.ballots()), step.pool.classes().len())
        .map_err(StepError::permanent)?;
    let of_model = noise.iter().flat_map(suspected);
    let suggested = match step.definition.answers.consensus {
        Consensus::Majority => {
            let settled = majority(&votes);
            suggest(step, of_model.chain(disputed(&settled)), budget)?
        }
        Consensus::DawidSkene => {
            let settled = dawid_skene(&votes, dawid_skene::Settings::default());
            let settled = settled.map_err(StepError::permanent)?;
            suggest(step, of_model.chain(unsure(&settled, SURE)), budget)?
        }
    };
    Ok(Doubts { doubted, picks: suggested })
}

/// How many of a batch may be asked again: the share of it, at least one, and one is left to the strategy.
fn budget(batch: usize, audit: usize, fraction: f64) -> usize {
    if fraction <= 0.0 {
        return 0;
    }
    crate::data_selector::audit_size(batch, fraction).min(batch.saturating_sub(audit + 1))
}

fn suggest<'a>(
    step: &Step,
    doubts: impl Iterator<Item = Doubt<'a>>,
    budget: usize,
) -> Result<Vec<Pick>, StepError> {
    let mut open = Vec::new();
    for doubt in doubts {
        let ballots = step.run.votes.get(doubt.sample).map_or(0, Vec::len);
        let was_asked_again = ballots > step.definition.answers.votes;
        let open_question = !was_asked_again && !measures(step, doubt.sample);
        if open_question && is_anybody_left(step, doubt.sample)? {
            open.push(doubt);
        }
    }
    let suggested = relabel(open, budget).map_err(StepError::permanent)?;
    let picks = (1..).zip(suggested).map(|(rank, suggestion)| Pick {
        sample: suggestion.sample.clone(),
        arm: Arm::Relabel,
        score: Some(suggestion.wrong),
        rank,
        probability: None,
    });
    Ok(picks.collect())
}

/// For each known label the probabilities of a model that learnt four fifths of the labels and not this one; `None` where
/// there are too few labels, or a training came to nothing.
fn out_of_fold(
    step: &Step,
    known: Known,
    samples: &[SampleId],
) -> Result<Option<Matrix>, StepError> {
    let classes = step.pool.classes().len();
    if known.rows.len() < 2 * FOLDS as usize {
        return Ok(None);
    }
    let mut backbone = backbone(step)?;
    let all = Samples::of(step, known, backbone.as_mut())?;
    // The last model of a training of full length: stopping where the part that is judged looks best would be a peep at it.
    let spec = TrainerSpec { patience: None, checkpoints: 1, ..step.definition.trainer.clone() };
    let mut probabilities = vec![0.0; samples.len() * classes];
    for fold in folds(step, samples) {
        let others: Vec<usize> =
            (0..samples.len()).filter(|place| fold.binary_search(place).is_err()).collect();
        let (train, judged) = (all.only(&others), all.only(&fold));
        let Some(saved) = train_aside(step, "doubt about labels", &spec, &train, &judged)? else {
            return Ok(None);
        };
        let Some(last) = saved.last() else { return Ok(None) };
        let task = step.definition.run.task;
        let answers = metrics::meaning(task, classes, &last.validation_answers);
        for (&place, row) in fold.iter().zip(answers.iter_rows()) {
            let of = probabilities.get_mut(place * classes..(place + 1) * classes);
            if let Some(of) = of.filter(|of| of.len() == row.len()) {
                of.copy_from_slice(row);
            }
        }
    }
    Ok(Matrix::new(samples.len(), classes, probabilities))
}

/// The places of each part, in order. Which label is in which derives from the run's seed and the cycle.
fn folds(step: &Step, samples: &[SampleId]) -> Vec<Vec<usize>> {
    let (seed, cycle) = (step.definition.run.seed, step.cycle().cycle);
    let chance = Chance { seed, cycle, purpose: "parts of the labels" };
    let mut drawn: Vec<(u64, usize)> = samples
        .iter()
        .enumerate()
        .map(|(place, sample)| (chance.draw(sample.as_str()), place))
        .collect();
    drawn.sort_unstable();
    let mut folds = vec![Vec::new(); FOLDS as usize];
    for (turn, (_, place)) in drawn.into_iter().enumerate() {
        if let Some(fold) = folds.get_mut(turn % FOLDS as usize) {
            fold.push(place);
        }
    }
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

fn told(step: &Step, rows: &Matrix, noise: &LabelNoise<'_>) -> Result<LabelsDoubted, StepError> {
    let mut file = npy::encode("<f4", &[rows.rows(), rows.cols()]);
    file.extend(rows.data().iter().flat_map(|value| value.to_le_bytes()));
    Ok(LabelsDoubted {
        labels: noise.samples,
        folds: FOLDS,
        suspects: noise.suspects.len() as u64,
        error_rate: noise.error_rate(),
        evidence: step.artifacts.put(&file)?,
    })
}
