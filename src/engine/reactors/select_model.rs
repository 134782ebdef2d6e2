//! Choosing what goes to production, and measuring it.

use super::baseline::baseline;
use super::labels::held_out;
use super::measured::{ALWAYS, Criterion, Validation, answers, kpi, settings};
use super::scoring::load;
use crate::domain::chance::Chance;
use crate::domain::command::Command;
use crate::domain::digest::Digest;
use crate::domain::event::ModelsCompared;
use crate::domain::ids::Name;
use crate::domain::metric::Metric;
use crate::domain::state::Phase;
use crate::domain::task::Task;
use crate::engine::candidates::{Candidates, drawn};
use crate::engine::reactor::{Reactor, Step, StepError};
use crate::metrics::agreement::kappa;
use crate::metrics::{self, argmax, paired};
use crate::model_selector::{Circumstances, Contender, best, choose};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Samples without a label for which two models' predictions are compared.
const STOP_SET: usize = 1_000;

/// Runs of a single sample of which the fastest counts as a model's latency: whatever else the machine does only adds.
const LATENCY_RUNS: usize = 30;

pub(super) struct SelectModel;

impl Reactor for SelectModel {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let Phase::SelectingModel { checkpoints } = &step.run.phase else {
            return Err(StepError::permanent("there are no checkpoints to choose from"));
        };
        let spec = &step.definition.model_selector;
        let validation = Validation::of(step)?;
        let challengers: Vec<Contender> = checkpoints
            .iter()
            .map(|saved| contender(step, saved.model, &saved.metrics, &validation))
            .collect::<Result<_, _>>()?;
        // Measured now, on the same samples, whatever was said of it when it was trained.
        let champion = match step.run.production {
            Some(model) => Some(contender(step, model, &BTreeMap::new(), &validation)?),
            None => None,
        };
        let champion = champion.as_ref();
        let challenger = best(spec, champion.map(|champion| champion.model), &challengers);
        let compared = match (champion, challenger) {
            (Some(champion), Some(challenger)) => {
                Some(compare(step, champion.model, challenger.model, &validation)?)
            }
            (None, _) | (_, None) => None,
        };
        let circumstances = Circumstances {
            pinned: step.run.pinned,
            p: compared.as_ref().map(|compared| compared.p),
        };
        let selected =
            choose(spec, champion, &challengers, circumstances).map_err(StepError::permanent)?;
        let production = if selected.promoted { Some(selected.winner) } else { selected.incumbent };
        let model = production.unwrap_or(selected.winner);
        let split = step.pool.split();
        let acceptance = if split.test.is_empty() {
            validation.kpi(model)?
        } else {
            kpi(step, model, "test", &held_out(step, &split.test)?)?
        };
        let challenger = challenger.or(challengers.last());
        let baseline = match challenger {
            Some(challenger) => baseline(step, challenger.model, &validation)?,
            None => None,
        };
        Ok(Command::SelectModel { compared, selected, acceptance, baseline })
    }
}

/// A model with its values on the validation split: those of `saved`, or measured now.
fn contender(
    step: &Step,
    model: Digest,
    saved: &BTreeMap<Name, f64>,
    validation: &Validation<'_>,
) -> Result<Contender, StepError> {
    let spec = &step.definition.model_selector;
    let value = |name: &str| match saved.get(name) {
        Some(value) => Ok(*value),
        None => Criterion::of(name)?.value(step, &*validation.answers(model)?, &validation.known),
    };
    let by_criterion = value(&spec.criterion)?;
    let tie_break = match &spec.tie_break {
        Some(name) => Criterion::of(name)?.direction().gain(value(name)?, 0.0),
        None => 0.0,
    };
    let barred = barred(step, model, validation)?;
    Ok(Contender { model, value: by_criterion, tie_break, barred })
}

/// Which of the workflow's limits a model does not keep to.
fn barred(
    step: &Step,
    model: Digest,
    validation: &Validation<'_>,
) -> Result<Option<String>, StepError> {
    let spec = &step.definition.model_selector;
    if let Some(most) = spec.max_bytes {
        let bytes = step.artifacts.get(&model)?.len() as u64;
        if bytes > most {
            let why = format!("has {bytes} bytes, and model_selector.max_bytes is {most}");
            return Ok(Some(why));
        }
    }
    if let Some(most) = spec.max_latency_ms {
        let found = latency(step, model)?.as_secs_f64() * 1e3;
        if found > most {
            let why = format!(
                "takes {found:.3} ms for a sample, and model_selector.max_latency_ms is {most}"
            );
            return Ok(Some(why));
        }
    }
    if let Some(least) = spec.class_floor {
        let (task, classes) = (step.definition.run.task, step.pool.classes().len());
        let (answers, labels) = (validation.answers(model)?, &validation.known.numbers);
        let recall = Metric::Recall(0.5);
        let metric = if task == Task::MultiLabel { recall } else { Metric::BalancedAccuracy };
        let recalls = metrics::by_class(metric, task, classes, &answers, labels)
            .map_err(StepError::permanent)?;
        let lowest =
            recalls.iter().enumerate().filter_map(|(class, found)| Some((class, (*found)?)));
        if let Some((class, found)) = lowest.min_by(|(_, a), (_, b)| a.total_cmp(b))
            && found < least
        {
            let name = step.pool.classes().get(class).map_or("", String::as_str);
            let why = format!(
                "finds {found:.3} of class {name:?}, and model_selector.class_floor is {least}"
            );
            return Ok(Some(why));
        }
    }
    Ok(None)
}

/// How long a model takes for one sample by itself.
fn latency(step: &Step, model: Digest) -> Result<Duration, StepError> {
    let path = step.artifacts.path(&model);
    let mut predictor =
        load(&path, &step.definition, &step.pool, step.install).map_err(StepError::permanent)?;
    let row = step.pool.split().validation.first().copied().unwrap_or_default();
    let sample = step.pool.gather(&[row]).map_err(StepError::permanent)?;
    let mut fastest = Duration::MAX;
    for _ in 0..LATENCY_RUNS {
        let begun = now();
        predictor.predict(&sample).map_err(StepError::permanent)?;
        fastest = fastest.min(begun.elapsed());
    }
    Ok(fastest)
}

#[expect(clippy::disallowed_methods, reason = "how long a model takes in truth is what is asked")]
fn now() -> Instant {
    Instant::now()
}

/// The best challenger beside the model in production, on the same samples.
fn compare(
    step: &Step,
    champion: Digest,
    challenger: Digest,
    validation: &Validation<'_>,
) -> Result<ModelsCompared, StepError> {
    let spec = &step.definition.model_selector;
    let (task, classes) = (step.definition.run.task, step.pool.classes().len());
    let criterion = Criterion::of(&spec.criterion)?;
    let found = paired::compare(
        criterion.metric(),
        task,
        classes,
        &*validation.answers(challenger)?,
        &*validation.answers(champion)?,
        &validation.known.numbers,
        settings(step, spec.confidence, "comparison of models"),
    )
    .map_err(StepError::permanent)?;
    Ok(ModelsCompared {
        champion,
        challenger,
        n: found.n,
        test: found.test.to_string().into(),
        wins: found.wins,
        losses: found.losses,
        difference: found.difference,
        interval: found.interval,
        p: found.p,
        agreement: agreement(step, champion, challenger)?,
    })
}

/// How much two models agree on samples that nobody has labelled; in classification only.
fn agreement(step: &Step, champion: Digest, challenger: Digest) -> Result<Option<f64>, StepError> {
    if step.definition.run.task != Task::Classification || step.definition.stop.stable.is_none() {
        return Ok(None);
    }
    let seed = step.definition.run.seed;
    // The same samples in every cycle, as far as they are still without a label.
    let chance = Chance { seed, cycle: ALWAYS, purpose: "stop set" };
    let candidates = Candidates::new(&step.pool, &step.run.labels);
    let rows = drawn(&step.pool, &chance, candidates.rows().iter(), STOP_SET);
    let predicted = |model: Digest| -> Result<Vec<u32>, StepError> {
        let answers = answers(step, model, &rows)?;
        Ok(answers.iter_rows().filter_map(argmax).collect())
    };
    Ok(kappa(&predicted(champion)?, &predicted(challenger)?))
}
