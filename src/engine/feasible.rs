//! Whether a workflow can run on its pool, with its models and its strategy: asked before anything is recorded, so that nothing
//! is lost when it cannot.

use super::reactors::{check_backbone, check_model};
use super::{EngineError, resolve};
use crate::data_selector::{self, Needs, Strategy};
use crate::domain::definition::{ColdStart, Committee, Definition, EmbeddingSource, SelectorModel};
use crate::domain::strategy::StrategySpec;
use crate::inference::InstallPolicy;
use crate::pool::Pool;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What every model of a classification has.
const OF_EVERY_MODEL: [&str; 2] = ["probabilities", "logits"];
const EMBEDDING: &str = "embedding";

/// Refuses a workflow that cannot run as it stands.
pub(super) fn check(
    definition: &Definition,
    folder: &Path,
    pool: &Pool,
    own: &BTreeMap<String, Arc<dyn Strategy>>,
    install: InstallPolicy,
) -> Result<(), EngineError> {
    check_against_pool(definition, pool)?;
    check_answers(definition, pool)?;
    let selector = &definition.selector;
    let needs = needs_of(&selector.strategy, own)?;
    check_needs(&selector.strategy, &needs, definition, pool)?;
    #[cfg(feature = "sql")]
    super::reactors::check_queries(definition, folder, pool)
        .map_err(|error| refuse(error.to_string()))?;
    if let ColdStart::Strategy(strategy, _) = &selector.cold_start {
        check_cold_start(strategy, &needs_of(strategy, own)?)?;
    }
    let from_the_model = selector.embedding == EmbeddingSource::Model;
    let outputs: Vec<&str> = needs
        .outputs
        .union(&needs.labelled)
        .map(String::as_str)
        .filter(|name| !OF_EVERY_MODEL.contains(name) && (from_the_model || *name != EMBEDDING))
        .collect();
    if let SelectorModel::File(file) = &selector.model {
        check_model(&resolve(folder, file), definition, pool, install, &outputs)?;
    }
    if let Committee::Files(files) = &selector.committee {
        for file in files {
            check_model(&resolve(folder, file), definition, pool, install, &[])?;
        }
    }
    if let Some(file) = &definition.trainer.backbone {
        check_backbone(&resolve(folder, file), definition, pool, install)?;
    }
    if let EmbeddingSource::File(file) = &selector.embedding {
        check_backbone(&resolve(folder, file), definition, pool, install)?;
    }
    Ok(())
}

fn refuse(problem: String) -> EngineError {
    EngineError::Contradiction { problem }
}

/// Whether the strategy asks the checkpoints of the last training.
pub(super) fn asks_checkpoints(
    definition: &Definition,
    own: &BTreeMap<String, Arc<dyn Strategy>>,
) -> Result<bool, EngineError> {
    let selector = &definition.selector;
    Ok(selector.committee == Committee::Checkpoints && needs_of(&selector.strategy, own)?.members)
}

fn needs_of(
    spec: &StrategySpec,
    own: &BTreeMap<String, Arc<dyn Strategy>>,
) -> Result<Needs, EngineError> {
    let name = spec.text("name").filter(|_| spec.name == "custom");
    match name.and_then(|name| own.get(name)) {
        Some(strategy) => Ok(strategy.needs()),
        None => {
            let built = data_selector::build(spec).map_err(|error| refuse(error.to_string()))?;
            Ok(built.needs())
        }
    }
}

/// Whether somebody gives what the strategy needs.
fn check_needs(
    strategy: &StrategySpec,
    needs: &Needs,
    definition: &Definition,
    pool: &Pool,
) -> Result<(), EngineError> {
    let selector = &definition.selector;
    let wanted = || needs.outputs.union(&needs.labelled).map(String::as_str);
    let beyond = |known: &[&str]| wanted().find(|name| !known.contains(name)).map(str::to_owned);
    let lacking = match &selector.model {
        SelectorModel::Production => beyond(&["probabilities", "logits", EMBEDDING])
            .map(|name| (name, "the models that are trained here have logits and an embedding; name one of yours in selector.model")),
        SelectorModel::Pool => beyond(&["probabilities", EMBEDDING])
            .map(|name| (name, "a pool's own predictions are probabilities; name a model in selector.model")),
        SelectorModel::File(_) => None, // its file tells
    };
    let problem = if let Some((output, way_out)) = lacking {
        format!("the strategy {strategy} needs output `{output}`, but {way_out}")
    } else if selector.model == SelectorModel::Pool && pool.predictions().is_none() {
        "selector.model is \"pool\", but the pool has no predictions: name their file in pool.predictions"
            .to_owned()
    } else if needs.members && selector.committee == Committee::Nobody && selector.passes == 0 {
        format!(
            "the strategy {strategy} needs a committee: set selector.committee = \"checkpoints\" or to a list of .onnx files, or \
             selector.passes for a model with dropout"
        )
    } else if needs.members
        && selector.committee == Committee::Checkpoints
        && definition.trainer.checkpoints < 2
    {
        "selector.committee is \"checkpoints\", but a training keeps one: raise trainer.checkpoints"
            .to_owned()
    } else if needs.seconds && pool.seconds().is_none() {
        format!(
            "the strategy {strategy} needs the seconds that an annotation takes: name their column in pool.seconds_column"
        )
    } else if needs.queries && !cfg!(feature = "sql") {
        format!(
            "the strategy {strategy} asks SQL, but this program was built without: build it with `--features sql`"
        )
    } else {
        return Ok(());
    };
    Err(refuse(problem))
}

/// Before the first training there is no model: only features stand in for an embedding.
fn check_cold_start(strategy: &StrategySpec, needs: &Needs) -> Result<(), EngineError> {
    let mut wanted = needs.outputs.union(&needs.labelled);
    let output = wanted.find(|name| *name != EMBEDDING);
    match (output, needs.members) {
        (None, false) => Ok(()),
        (output, _) => Err(refuse(format!(
            "selector.cold_start is {strategy}, which needs {}, but before the first training there is no model; choose one that \
             needs none (random, kcenter, kmeans, typiclust, probcover, max_herding)",
            output.map_or_else(|| "a committee".to_owned(), |name| format!("output `{name}`"))
        ))),
    }
}

/// Whether somebody answers for every sample that may be picked, and with a class: otherwise a run would stand still at each
/// that nobody answers for.
fn check_answers(definition: &Definition, pool: &Pool) -> Result<(), EngineError> {
    if definition.pool.answers.is_empty() {
        return Ok(());
    }
    let (mut unanswered, mut first) = (0_usize, None);
    for row in pool.split().train.iter() {
        if pool.answers(row)?.is_empty() {
            unanswered += 1;
            first = first.or(Some(row));
        }
    }
    first.map_or(Ok(()), |row| {
        Err(refuse(format!(
            "none of the annotators' columns {:?} says anything of {unanswered} samples, sample {} for example; fill one in for \
             each, or take these samples out",
            definition.pool.answers,
            pool.id(row)
        )))
    })
}

/// Whether the workflow can be run on this pool at all: what only the two together show.
fn check_against_pool(definition: &Definition, pool: &Pool) -> Result<(), EngineError> {
    let (split, classes) = (pool.split(), pool.classes().len());
    let candidates = split.train.len();
    let cold = match &definition.selector.cold_start {
        ColdStart::PerClass(count) => count.saturating_mul(classes),
        ColdStart::Random(count) | ColdStart::Strategy(_, count) => *count,
    };
    let problem = if candidates == 0 {
        "the pool has no samples to choose from: lower pool.validation and pool.test".to_owned()
    } else if definition.selector.batch > candidates {
        let batch = definition.selector.batch;
        format!(
            "selector.batch is {batch}, but the pool has only {candidates} samples to choose from"
        )
    } else if cold > candidates {
        format!(
            "the first batch needs {cold} samples, but the pool has only {candidates} to choose from"
        )
    } else if let Some(most) = definition.stop.max_labels.filter(|most| cold > *most) {
        format!("the first batch needs {cold} labels, but stop.max_labels is {most}")
    } else if split.validation.is_empty() {
        "the pool has no validation samples, which choose the production model: raise pool.validation"
            .to_owned()
    } else if classes < definition.run.task.least_classes() {
        let (task, least) = (definition.run.task, definition.run.task.least_classes());
        format!("the class list has {classes} entries, {task} needs at least {least}")
    } else {
        return Ok(());
    };
    Err(EngineError::Contradiction { problem })
}
