//! Labels that rest on several answers: who is asked, and what the answers come to.

use super::annotate::spent;
use crate::annotation::consensus::consensus;
use crate::annotation::played;
use crate::annotation::votes::{Votes, of_answers};
use crate::domain::command::Command;
use crate::domain::definition::GateEstimator;
use crate::domain::event::{Annotation, Relabel};
use crate::domain::ids::SampleId;
use crate::domain::label::Label;
use crate::engine::reactor::{Step, StepError};
use std::time::Duration;

/// How many more annotators are asked about a label that is in doubt: enough to outvote one.
const ASKED_AGAIN: usize = 2;

/// Asks for answers about the picks whose labels are missing, and settles what every label is by all answers so far.
pub(super) fn ask(step: &Step) -> Result<Command, StepError> {
    let (answers, now) = (&step.definition.answers, step.clock.now());
    let mut votes = Vec::new();
    for sample in step.run.missing() {
        let is_known = step.run.labels.contains_key(sample);
        let wanted = if is_known { ASKED_AGAIN } else { answers.votes };
        let said: Vec<_> = unasked(step, sample)?.into_iter().take(wanted).collect();
        if said.is_empty() && !is_known {
            return Err(StepError::permanent(format!(
                "none of the annotators' columns {:?} says anything of sample {sample}; fill one in, then `gleaner resume`",
                step.definition.pool.answers
            )));
        }
        votes.extend(said.into_iter().map(|(annotator, class)| Annotation {
            sample: sample.clone(),
            label: Label::Class(class),
            annotator: annotator.into(),
            at: now,
            spent: spent(step, sample),
        }));
    }
    let (agreed, relabelled) = settle(step, &votes)?;
    Ok(Command::RecordVotes { votes, agreed, relabelled })
}

/// Whether the gate still reads a sample's label. It then stays as it is: a gate would flatter the model if those labels
/// alone were corrected that the model denies.
pub(super) fn measures(step: &Step, sample: &SampleId) -> bool {
    let drawn = || step.run.fresh_draws.iter().flat_map(|draws| &draws.drawn);
    step.run.fresh_audit.contains(sample)
        || (step.definition.kpi.estimator == GateEstimator::Lure
            && drawn().any(|(drawn, _)| drawn == sample))
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
    if !step.definition.pool.answers.is_empty() {
        let said = step.pool.answers(row).map_err(StepError::permanent)?;
        let said = said.into_iter().filter(|(name, _)| is_new(name));
        return Ok(said.map(|(name, class)| (name.to_owned(), class)).collect());
    }
    let truth = step.pool.label(row).ok_or_else(|| {
        StepError::permanent(format!(
            "the oracle does not know the label of {sample}: its label cell in the pool is empty; fill it in, or name the \
             annotators' columns in annotator.columns"
        ))
    })?;
    let classes = u32::try_from(step.pool.classes().len()).unwrap_or(u32::MAX);
    let seed = step.definition.run.seed;
    let names = (1..).map(played::name).filter(|name| is_new(name));
    let says = |name: String| {
        let class = played::answer(truth, classes, answers.noise, seed, &name, sample);
        (name, class)
    };
    Ok(names.take(answers.votes.max(ASKED_AGAIN)).map(says).collect())
}

/// What all answers come to: labels for samples that had none, and what became of those that had one.
fn settle(step: &Step, votes: &[Annotation]) -> Result<(Vec<Annotation>, Vec<Relabel>), StepError> {
    let class = |label: Label| match label {
        Label::Class(class) => class,
        Label::Classes(_) | Label::Value(_) | Label::Mask(_) | Label::Erased(_) => 0, // workflows are checked for that
    };
    let now = votes.iter().map(|vote| (&vote.sample, vote.annotator.as_str(), vote.label));
    let all = of_answers(step.run.ballots().chain(now));
    let all = Votes::new(all, step.pool.classes().len());
    let all = all.map_err(StepError::permanent)?;
    let known = |sample: &SampleId| step.run.labels.get(sample).map(|known| known.label);
    let settled =
        consensus(&all, step.definition.answers.consensus, |sample| known(sample).map(class))
            .map_err(StepError::permanent)?;
    let (mut agreed, mut relabelled) = (Vec::new(), Vec::new());
    for (sample, class) in settled {
        let after = Label::Class(class);
        match known(sample) {
            Some(before)
                if step.run.is_missing(sample) || (before != after && !measures(step, sample)) =>
            {
                relabelled.push(Relabel { sample: sample.clone(), before, after });
            }
            Some(_) => {}
            None => {
                let of = || votes.iter().filter(|vote| vote.sample == *sample);
                let annotator = match of().next() {
                    Some(only) if of().nth(1).is_none() => only.annotator.clone(),
                    Some(_) | None => "consensus".into(),
                };
                let (at, spent) = (step.clock.now(), Duration::ZERO);
                let sample = sample.clone();
                agreed.push(Annotation { sample, label: after, annotator, at, spent });
            }
        }
    }
    Ok((agreed, relabelled))
}
