//! What a strategy is shown: models are run over candidates and labelled samples, as far as the strategy needs it.

use super::backbone::Backbone;
use super::labels;
use super::scoring::{Asked, answers, score_rows};
use crate::data_selector::{
    Labelled, Needs, Output, Rounded, View, at_temperature, fit_temperature, logits_of,
};
use crate::domain::definition::{Committee, EmbeddingSource, Keep, SelectorModel};
use crate::domain::digest::Digest;
use crate::domain::matrix::Matrix;
use crate::domain::rows::{Rows, Runs, Subset};
use crate::domain::task::Task;
use crate::engine::candidates::Candidates;
use crate::engine::reactor::{Step, StepError};
use crate::engine::resolve;
use crate::engine::spool::Spool;
use crate::inference::{OutputKind, Predictions};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The outputs that every model's answer has names for.
const PROBABILITIES: &str = "probabilities";
const EMBEDDING: &str = "embedding";
const LOGITS: &str = "logits";

/// What is known about the candidates and the labelled samples.
pub(super) struct Shown<'a> {
    outputs: BTreeMap<String, Seen<'a>>,
    members: Vec<Seen<'a>>,
    labelled: BTreeMap<String, Matrix>,
    classes: Vec<u32>,
    label_sets: Vec<Vec<bool>>,
    seconds: Option<Vec<f64>>,
    /// The model that ran.
    pub(super) model: Option<Digest>,
    /// What ran it, as events name it.
    pub(super) provider: Option<String>,
    /// What an auditor should know.
    pub(super) remarks: BTreeMap<String, String>,
}

/// An output, a row for each candidate.
struct Seen<'a> {
    rows: Box<dyn Rows + 'a>,
    shape: Vec<usize>,
}

impl<'a> Seen<'a> {
    fn flat(rows: impl Rows + 'a) -> Self {
        Self { shape: vec![rows.cols()], rows: Box::new(rows) }
    }
}

impl<'a> Shown<'a> {
    /// Runs what must be run.
    pub(super) fn gather(
        step: &'a Step,
        needs: &Needs,
        candidates: &'a Candidates<'_>,
    ) -> Result<Self, StepError> {
        let Labelling { rows: labelled_rows, classes, label_sets } = labelling(step)?;
        let mut shown = Self {
            outputs: BTreeMap::new(),
            members: Vec::new(),
            labelled: BTreeMap::new(),
            classes,
            label_sets,
            seconds: needs.seconds.then(|| seconds(step, candidates)).flatten(),
            model: None,
            provider: None,
            remarks: BTreeMap::new(),
        };
        let model = model(step)?;
        let rows = candidates.rows();
        let mut wanted: BTreeSet<&str> =
            needs.outputs.iter().chain(&needs.labelled).map(String::as_str).collect();
        // Queries may ask what the model predicts, and do without where there is none.
        let from_pool = matches!(step.definition.selector.model, SelectorModel::Pool)
            && step.pool.predictions().is_some();
        if needs.queries && (model.is_some() || from_pool) {
            wanted.insert(PROBABILITIES);
        }
        if wanted.contains(EMBEDDING) && features_are_the_embedding(step, model) {
            wanted.remove(EMBEDDING);
            let features = Subset::new(step.pool.features(), rows);
            shown.outputs.insert(EMBEDDING.to_owned(), Seen::flat(features));
            if needs.labelled.contains(EMBEDDING) {
                let known = whole(&Subset::new(step.pool.features(), &labelled_rows))?;
                shown.labelled.insert(EMBEDDING.to_owned(), known);
            }
        }
        if let Some(predictions) = step.pool.predictions()
            && from_pool
            && wanted.remove(PROBABILITIES)
        {
            let some = Subset::new(predictions, rows);
            shown.outputs.insert(PROBABILITIES.to_owned(), Seen::flat(some));
            if needs.labelled.contains(PROBABILITIES) {
                let known = whole(&Subset::new(predictions, &labelled_rows))?;
                shown.labelled.insert(PROBABILITIES.to_owned(), known);
            }
        }
        if wanted.contains(EMBEDDING)
            && let EmbeddingSource::File(file) = &step.definition.selector.embedding
        {
            wanted.remove(EMBEDDING);
            shown.frozen(step, file, needs, rows, &labelled_rows)?;
        }
        if !wanted.is_empty() {
            let model = model.ok_or_else(|| nobody_answers(step, &wanted))?;
            let temperature =
                if needs.calibrated { Some(calibrate(step, model, &mut shown)?) } else { None };
            shown.model = Some(model);
            let outputs = shown.run(step, model, rows, &wanted, temperature)?;
            shown.outputs.extend(outputs);
            let wanted: BTreeSet<&str> =
                wanted.into_iter().filter(|name| needs.labelled.contains(*name)).collect();
            if !wanted.is_empty() {
                let known = shown.run(step, model, &labelled_rows, &wanted, temperature)?;
                for (name, seen) in known {
                    shown.labelled.insert(name, whole(&*seen.rows)?);
                }
            }
        }
        if needs.members {
            shown.committee(step, model, rows)?;
        }
        Ok(shown)
    }

    /// Adds all this to a view.
    pub(super) fn show<'v>(&'v self, mut view: View<'v>, keep: Keep) -> View<'v> {
        let output = |seen: &'v Seen<'a>| Output {
            rows: if keep == Keep::F16 {
                Box::new(Rounded(&*seen.rows))
            } else {
                Box::new(&*seen.rows)
            },
            shape: seen.shape.clone(),
        };
        for (name, seen) in &self.outputs {
            view = view.with(name, output(seen));
        }
        view.members = self.members.iter().map(output).collect();
        view.seconds = self.seconds.as_deref().map(Cow::Borrowed);
        view.labelled = Labelled {
            classes: Cow::Borrowed(&self.classes),
            label_sets: Cow::Borrowed(&self.label_sets),
            outputs: self
                .labelled
                .iter()
                .map(|(name, matrix)| {
                    let matrix = match keep {
                        Keep::F16 => Cow::Owned(Rounded(matrix).whole()),
                        Keep::F32 | Keep::Scores | Keep::Nothing => Cow::Borrowed(matrix),
                    };
                    (name.as_str(), matrix)
                })
                .collect(),
        };
        view
    }

    /// The probabilities of the candidates, in memory.
    #[cfg(feature = "sql")]
    pub(super) fn probabilities(&self) -> Result<Option<Matrix>, StepError> {
        self.outputs.get(PROBABILITIES).map(|seen| whole(&*seen.rows)).transpose()
    }

    /// What `model` says about `rows` of the pool, by output.
    fn run(
        &mut self,
        step: &Step,
        model: Digest,
        rows: &Runs,
        wanted: &BTreeSet<&str>,
        temperature: Option<f64>,
    ) -> Result<BTreeMap<String, Seen<'a>>, StepError> {
        let mut spools: BTreeMap<String, (Spool, Vec<usize>)> = BTreeMap::new();
        let folder = step.artifacts.root();
        let outputs: Vec<&str> =
            wanted.iter().copied().filter(|name| ![PROBABILITIES, LOGITS].contains(name)).collect();
        let scores = answers(&step.definition, &step.pool);
        let asked = Asked { model, scores, outputs: &outputs, shape: None };
        let ran = score_rows(step, &asked, rows, &mut |predictions: Predictions| {
            for &name in wanted {
                let (answer, shape) = answer(step, &predictions, name, temperature)?;
                spools
                    .entry(name.to_owned())
                    .or_insert_with(|| (Spool::new(answer.cols()), shape))
                    .0
                    .push(&answer, folder)
                    .map_err(|error| StepError::Retryable(Box::new(error)))?;
            }
            Ok(())
        })?;
        if self.provider.is_none() {
            step.remark(format!("models run on {}", ran.why));
            self.provider = Some(ran.provider);
        }
        let seen = |(rows, shape): (Spool, _)| Seen { rows: Box::new(rows), shape };
        Ok(spools.into_iter().map(|(name, spool)| (name, seen(spool))).collect())
    }

    /// Has a frozen backbone give the embeddings.
    fn frozen(
        &mut self,
        step: &'a Step,
        file: &str,
        needs: &Needs,
        rows: &Runs,
        labelled_rows: &Runs,
    ) -> Result<(), StepError> {
        let mut backbone = Backbone::new(step, file)?;
        let seen = Seen::flat(backbone.embeddings(rows)?);
        self.outputs.insert(EMBEDDING.to_owned(), seen);
        if needs.labelled.contains(EMBEDDING) {
            let known = whole(&backbone.embeddings(labelled_rows)?)?;
            self.labelled.insert(EMBEDDING.to_owned(), known);
        }
        self.remarks.insert("backbone".to_owned(), backbone.model.short());
        if let Some(ran) = backbone.ran {
            step.remark(format!("the backbone runs on {}", ran.why));
            self.provider.get_or_insert(ran.provider);
        }
        Ok(())
    }

    /// Has each member of the committee score the candidates.
    fn committee(
        &mut self,
        step: &Step,
        model: Option<Digest>,
        rows: &Runs,
    ) -> Result<(), StepError> {
        let selector = &step.definition.selector;
        let mut members = match &selector.committee {
            Committee::Nobody => Vec::new(),
            Committee::Checkpoints => step.run.checkpoints.clone(),
            Committee::Files(files) => files
                .iter()
                .map(|file| model_file(step, file))
                .collect::<Result<Vec<Digest>, StepError>>()?,
        };
        if let Some(model) = model {
            members.extend(std::iter::repeat_n(model, selector.passes));
        }
        for &member in &members {
            let wanted = BTreeSet::from([PROBABILITIES]);
            let outputs = self.run(step, member, rows, &wanted, None)?;
            self.members.extend(outputs.into_values());
        }
        let members: Vec<String> = members.iter().map(Digest::short).collect();
        self.remarks.insert("committee".to_owned(), members.join(" "));
        Ok(())
    }
}

fn seconds(step: &Step, candidates: &Candidates<'_>) -> Option<Vec<f64>> {
    let seconds = step.pool.seconds()?;
    let of = |row: usize| seconds.get(row).copied().map_or(f64::NAN, f64::from);
    Some(candidates.rows().iter().map(of).collect())
}

/// What is labelled: the pool's rows, ascending, and in the same order what they are.
struct Labelling {
    rows: Runs,
    classes: Vec<u32>,
    /// In multi-label tasks.
    label_sets: Vec<Vec<bool>>,
}

fn labelling(step: &Step) -> Result<Labelling, StepError> {
    let task = step.definition.run.task;
    if matches!(task, Task::Regression | Task::Segmentation) {
        // Strategies ask which samples they are, not what: masks stay where they are.
        let rows = step.run.labels.keys().filter_map(|sample| step.pool.index_of(sample));
        let mut rows: Vec<usize> = rows.collect();
        rows.sort_unstable();
        let classes = vec![0; rows.len()];
        return Ok(Labelling { rows: rows.into_iter().collect(), classes, label_sets: Vec::new() });
    }
    let known = labels::bought(step, |_| true)?;
    let classes = known.classes(task);
    let mut order: Vec<usize> = (0..known.rows.len()).collect();
    order.sort_unstable_by_key(|&place| known.rows.get(place));
    let set = |&place: &usize| known.numbers.row(place).iter().map(|&flag| flag > 0.5).collect();
    Ok(Labelling {
        rows: order.iter().filter_map(|&place| known.rows.get(place).copied()).collect(),
        classes: order.iter().filter_map(|&place| classes.get(place).copied()).collect(),
        label_sets: match task {
            Task::MultiLabel => order.iter().map(set).collect(),
            Task::Classification | Task::Regression | Task::Segmentation => Vec::new(),
        },
    })
}

/// The model that scores candidates in this cycle.
fn model(step: &Step) -> Result<Option<Digest>, StepError> {
    match &step.definition.selector.model {
        SelectorModel::Production => Ok(step.run.selector_model),
        SelectorModel::File(_) => step.run.selector_model.map(Some).ok_or_else(|| {
            StepError::permanent("the cycle was started without the workflow's selector model")
        }),
        SelectorModel::Pool => Ok(None),
    }
}

fn features_are_the_embedding(step: &Step, model: Option<Digest>) -> bool {
    match &step.definition.selector.embedding {
        EmbeddingSource::Features => true,
        EmbeddingSource::Model => model.is_none(),
        EmbeddingSource::File(_) => false,
    }
}

fn nobody_answers(step: &Step, wanted: &BTreeSet<&str>) -> StepError {
    let wanted: Vec<&str> = wanted.iter().copied().collect();
    let strategy = &step.definition.selector.strategy;
    StepError::permanent(format!(
        "the strategy {strategy} needs output `{}`, and there is no model yet to give it; name one in `selector.model`, \
         or choose a `selector.cold_start` that needs none (random, kcenter, kmeans, typiclust)",
        wanted.join("`, `")
    ))
}

/// The output of this name, and the shape of a row.
fn answer<'p>(
    step: &Step,
    predictions: &'p Predictions,
    name: &str,
    temperature: Option<f64>,
) -> Result<(Cow<'p, Matrix>, Vec<usize>), StepError> {
    let scored = |scores| Some((scores, predictions.score_shape.clone()));
    let found = match (name, temperature) {
        (PROBABILITIES, None) => {
            let (task, classes) = (step.definition.run.task, step.pool.classes().len());
            scored(Cow::Owned(predictions.meaning(task, classes)))
        }
        (PROBABILITIES, Some(temperature)) => {
            scored(Cow::Owned(at_temperature(&logits(predictions), temperature)))
        }
        (LOGITS, _) => scored(logits(predictions)),
        (EMBEDDING, _) => predictions
            .embedding
            .as_ref()
            .map(|embedding| (Cow::Borrowed(embedding), vec![embedding.cols()])),
        _ => predictions.extra.get(name).map(|extra| {
            let shape = if extra.shape.is_empty() { vec![1] } else { extra.shape.clone() };
            (Cow::Borrowed(&extra.values), shape)
        }),
    };
    found.ok_or_else(|| {
        StepError::permanent(format!(
            "the strategy needs output `{name}`, and the model does not give it"
        ))
    })
}

fn logits(predictions: &Predictions) -> Cow<'_, Matrix> {
    match predictions.kind {
        OutputKind::Logits => Cow::Borrowed(&predictions.logits),
        OutputKind::Probabilities => Cow::Owned(logits_of(&predictions.logits)),
    }
}

/// The temperature at which the model is calibrated on the validation split.
fn calibrate(step: &Step, model: Digest, shown: &mut Shown<'_>) -> Result<f64, StepError> {
    let held_out = &step.pool.split().validation;
    let mut rows = held_out.clone();
    rows.sort_unstable();
    let labels = labels::held_out(step, &rows)?.classes(step.definition.run.task);
    let rows: Runs = rows.into_iter().collect();
    let logits = shown.run(step, model, &rows, &BTreeSet::from([LOGITS]), None)?;
    let logits = match logits.into_values().next() {
        Some(seen) => whole(&*seen.rows)?,
        None => Matrix::default(),
    };
    let temperature = fit_temperature(&logits, &labels).map_err(StepError::permanent)?;
    shown.remarks.insert("temperature".to_owned(), temperature.to_string());
    Ok(temperature)
}

/// Rows in memory.
pub(super) fn whole(rows: &dyn Rows) -> Result<Matrix, StepError> {
    let values =
        rows.read(0..rows.rows()).map_err(|error| StepError::Retryable(Box::new(error)))?;
    Ok(Matrix::new(rows.rows(), rows.cols(), values.into_owned()).unwrap_or_default())
}

/// A model file of the user's, as an artifact.
pub(super) fn model_file(step: &Step, file: &str) -> Result<Digest, StepError> {
    let path = resolve(&step.folder, file);
    let bytes = std::fs::read(&path).map_err(|error| {
        StepError::permanent(format!("cannot read the model {}: {error}", path.display()))
    })?;
    Ok(step.artifacts.put(&bytes)?)
}
