//! Labels that rest on several answers: who is asked, and what the answers come to.

use super::annotate::spent;
use crate::annotation::consensus::consensus;
use crate::annotation::played;
use crate::annotation::votes::{Vote, Votes};
use crate::domain::command::Command;
use crate::domain::event::{Annotation, Relabel};
use crate::domain::ids::SampleId;
use crate::domain::label::Label;
use crate::domain::table::Column;
use crate::engine::reactor::{Step, StepError};
use std::collections::BTreeSet;
use std::time::Duration;

/// How many more annotators are asked about a label that is in doubt: enough to outvote one.
const ASKED_AGAIN: usize = 2;

/// Asks for answers about `missing`, and settles what every label is by all answers so far.
pub(super) fn ask(step: &Step, missing: &BTreeSet<SampleId>) -> Result<Command, StepError> {
    let (answers, now) = (&step.definition.answers, step.clock.now());
    let mut votes = Vec::new();
    for sample in missing {
        let is_known = step.run.labels.contains_key(sample);
        let wanted = if is_known { ASKED_AGAIN } else { answers.votes };
        let said: Vec<_> = unasked(step, sample)?.into_iter().take(wanted).collect();
        if said.is_empty() && !is_known {
            return Err(StepError::permanent(format!(
                "none of the annotators' columns {:?} says anything of sample {sample}; fill one in, or take the sample out of the pool",
                step.definition.pool.answers
            )));
        }
        votes.extend(said.into_iter().map(|(annotator, class)| Annotation {
            sample: sample.clone(),
            label: Label::Class(class),
            annotator,
            at: now,
            spent: spent(step, sample),
        }));
    }
    let (agreed, relabelled) = settle(step, missing, &votes)?;
    Ok(Command::RecordVotes { votes, agreed, relabelled })
}

/// Whether somebody is left who was not asked about a sample.
pub(super) fn is_anybody_left(step: &Step, sample: &SampleId) -> Result<bool, StepError> {
    Ok(!unasked(step, sample)?.is_empty())
}

/// What those say of a sample who were not asked yet, in the order in which they are asked.
fn unasked(step: &Step, sample: &SampleId) -> Result<Vec<(String, u32)>, StepError> {
    let answers = &step.definition.answers;
    let known = step.run.votes.get(sample).map(Vec::as_slice).unwrap_or_default();
    let is_new = |name: &str| known.iter().all(|ballot| ballot.annotator != name);
    let row = step.pool.index_of(sample).ok_or_else(|| {
        StepError::permanent(format!("picked sample {sample} is no longer in the pool"))
    })?;
    if step.definition.pool.answers.is_empty() {
        let truth = step.pool.label(row).ok_or_else(|| {
            StepError::permanent(format!(
                "the oracle does not know the label of {sample}: its label cell in the pool is empty; fill it in, or name \
                 the annotators' columns in annotator.columns"
            ))
        })?;
        let classes = u32::try_from(step.pool.classes().len()).unwrap_or(u32::MAX);
        let seed = step.definition.run.seed;
        let names = (1..).map(played::name).filter(|name| is_new(name));
        let says = |name: String| {
            let class = played::answer(truth, classes, answers.noise, seed, &name, sample);
            (name, class)
        };
        return Ok(names.take(answers.votes.max(ASKED_AGAIN)).map(says).collect());
    }
    let mut said = Vec::new();
    for (name, column) in step.pool.answers().columns.iter().filter(|(name, _)| is_new(name)) {
        if let Some(class) = class_in(step, column, row, name, sample)? {
            said.push((name.clone(), class));
        }
    }
    Ok(said)
}

/// The class that a cell names; `None` where it is empty.
fn class_in(
    step: &Step,
    column: &Column,
    row: usize,
    annotator: &str,
    sample: &SampleId,
) -> Result<Option<u32>, StepError> {
    let classes = step.pool.classes();
    // A column of numbers was read as such: 7 is the class "7", and "07".
    let (said, place) = match column {
        Column::Text(cells) => {
            let Some(cell) = cells.get(row).and_then(Option::as_deref) else { return Ok(None) };
            (cell.to_owned(), classes.iter().position(|class| class == cell))
        }
        Column::Whole(cells) => {
            let Some(cell) = cells.get(row).copied().flatten() else { return Ok(None) };
            let is_it = |class: &String| class.parse() == Ok(cell);
            (cell.to_string(), classes.iter().position(is_it))
        }
        Column::Number(cells) => {
            let Some(cell) = cells.get(row).copied().flatten() else { return Ok(None) };
            let is_it = |class: &String| {
                class.parse::<f64>().is_ok_and(|class| class.total_cmp(&cell).is_eq())
            };
            (cell.to_string(), classes.iter().position(is_it))
        }
    };
    let class = place.and_then(|place| u32::try_from(place).ok());
    class.map(Some).ok_or_else(|| {
        StepError::permanent(format!(
            "{annotator} says {said:?} of sample {sample}, which is none of the classes {classes:?}; correct the cell, or list \
             the class in pool.classes"
        ))
    })
}

/// What all answers come to: labels for samples that had none, and what became of those that had one.
fn settle(
    step: &Step,
    missing: &BTreeSet<SampleId>,
    votes: &[Annotation],
) -> Result<(Vec<Annotation>, Vec<Relabel>), StepError> {
    let class = |label: Label| match label {
        Label::Class(class) => class,
        Label::Classes(_) | Label::Value(_) | Label::Mask(_) => 0, // workflows are checked for that
    };
    let before = step.run.votes.iter().flat_map(|(sample, ballots)| {
        ballots.iter().map(move |ballot| Vote {
            sample,
            annotator: &ballot.annotator,
            class: class(ballot.label),
        })
    });
    let now = votes.iter().map(|vote| Vote {
        sample: &vote.sample,
        annotator: &vote.annotator,
        class: class(vote.label),
    });
    let all = Votes::new(before.chain(now), step.pool.classes().len());
    let all = all.map_err(StepError::permanent)?;
    let known = |sample: &SampleId| step.run.labels.get(sample).map(|known| known.label);
    let settled =
        consensus(&all, step.definition.answers.consensus, |sample| known(sample).map(class))
            .map_err(StepError::permanent)?;
    let (mut agreed, mut relabelled) = (Vec::new(), Vec::new());
    for (sample, class) in settled {
        let after = Label::Class(class);
        match known(sample) {
            Some(before) if before != after || missing.contains(sample) => {
                relabelled.push(Relabel { sample: sample.clone(), before, after });
            }
            Some(_) => {}
            None => {
                let of = || votes.iter().filter(|vote| vote.sample == *sample);
                let annotator = match of().next() {
                    Some(only) if of().nth(1).is_none() => only.annotator.clone(),
                    Some(_) | None => "consensus".to_owned(),
                };
                let (at, spent) = (step.clock.now(), Duration::ZERO);
                let sample = sample.clone();
                agreed.push(Annotation { sample, label: after, annotator, at, spent });
            }
        }
    }
    Ok((agreed, relabelled))
}
