//! What queries see: the pool's metadata and the run's own state, a row for each sample that may be trained on.

use crate::data_selector::{Database, QueryLimits, SampleIds, Samples, SelectorError};
use crate::domain::definition::{Definition, SelectorSpec};
use crate::domain::ids::SampleId;
use crate::domain::label::Label;
use crate::domain::matrix::Matrix;
use crate::domain::rows::Runs;
use crate::domain::state::Known;
use crate::domain::table::{Column, Table};
use crate::engine::candidates::Candidates;
use crate::engine::reactor::Step;
use crate::engine::resolve;
use crate::pool::Pool;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The samples of the training part and what is known of them.
pub(super) struct Queried<'a> {
    samples: Candidates<'a>,
    /// The places of the candidates among the samples.
    candidates: Runs,
    columns: Table,
}

impl<'a> Queried<'a> {
    /// The columns are those of `pool.metadata`, and
    ///
    /// | column | what it holds |
    /// |---|---|
    /// | `labelled` | 1 for a sample with a label, else 0 |
    /// | `label`, `cycle` | its label, and the cycle that bought it |
    /// | `predicted`, `confidence`, `score` | the model's likeliest class, its probability, and the margin score, where a model has run |
    pub(super) fn new(
        step: &'a Step,
        candidates: &Candidates<'_>,
        probabilities: Option<&Matrix>,
    ) -> Self {
        let samples = Candidates::and_labelled(&step.pool);
        let of_samples = |row| samples.rows().place_of(row);
        let places = candidates.rows().iter().filter_map(of_samples).collect();
        Self::of(&step.pool, samples, places, &step.run.labels, probabilities)
    }

    fn of(
        pool: &'a Pool,
        samples: Candidates<'a>,
        candidates: Runs,
        labels: &BTreeMap<SampleId, Known>,
        probabilities: Option<&Matrix>,
    ) -> Self {
        let rows = samples.rows();
        let mut labelled = vec![Some(0); rows.len()];
        let mut label: Vec<Option<Box<str>>> = vec![None; rows.len()];
        let mut cycle = vec![None; rows.len()];
        for (sample, known) in labels {
            let Some(place) = samples.find(sample.as_str()) else { continue };
            set(&mut labelled, place, Some(1));
            set(&mut label, place, named(pool, known.label));
            set(&mut cycle, place, Some(i64::from(known.cycle.0)));
        }
        let mut columns = Table { rows: rows.len(), columns: kept(pool.metadata(), rows) };
        let mut add = |name: &str, column| {
            // A column of the pool's own name stays.
            if columns.column(name).is_none() {
                columns.columns.push((name.to_owned(), column));
            }
        };
        add("labelled", Column::Whole(labelled));
        add("label", Column::Text(label));
        add("cycle", Column::Whole(cycle));
        let [predicted, confidence, score] =
            predictions(pool, rows.len(), &candidates, probabilities);
        add("predicted", predicted);
        add("confidence", confidence);
        add("score", score);
        Self { samples, candidates, columns }
    }

    /// The database of all this, and of the file that the workflow names.
    pub(super) fn open(
        &'a self,
        selector: &SelectorSpec,
        folder: &Path,
    ) -> Result<Database<'a>, SelectorError> {
        let samples =
            Samples { ids: &self.samples, candidates: &self.candidates, columns: &self.columns };
        let file = selector.database.as_deref().map(|file| resolve(folder, file));
        let usual = QueryLimits::default();
        let time = selector.query_seconds.map_or(usual.time, Duration::from_secs);
        Database::open(samples, &[], file.as_deref(), QueryLimits { time, ..usual })
    }
}

/// Refuses a query that could never be answered: it is held against the columns alone.
pub(in crate::engine) fn check_queries(
    definition: &Definition,
    folder: &Path,
    pool: &Pool,
) -> Result<(), SelectorError> {
    let selector = &definition.selector;
    let queries = selector.strategy.walk();
    let queries: Vec<&str> = queries.into_iter().filter_map(|part| part.text("sql")).collect();
    if queries.is_empty() {
        return Ok(());
    }
    let (nobody, unlabelled) = (Candidates::none(pool), BTreeMap::new());
    let queried = Queried::of(pool, nobody, Runs::default(), &unlabelled, None);
    let database = queried.open(selector, folder)?;
    queries.into_iter().try_for_each(|sql| database.check(sql))
}

fn set<T>(values: &mut [T], place: usize, value: T) {
    if let Some(old) = values.get_mut(place) {
        *old = value;
    }
}

/// A label as queries see it: a class by its name, several with blanks between them, a value as a number. A mask is none.
fn named(pool: &Pool, label: Label) -> Option<Box<str>> {
    match label {
        Label::Class(class) => class_name(pool, class),
        Label::Classes(set) => {
            let names = pool.classes().iter().enumerate().filter(|(class, _)| set.holds(*class));
            let names: Vec<&str> = names.map(|(_, name)| name.as_str()).collect();
            Some(names.join(" ").into())
        }
        Label::Value(value) => Some(value.get().to_string().into()),
        Label::Mask(_) | Label::Erased(_) => None,
    }
}

fn class_name(pool: &Pool, class: u32) -> Option<Box<str>> {
    let class = usize::try_from(class).ok()?;
    pool.classes().get(class).map(|name| name.as_str().into())
}

/// The table's values for some of its rows.
fn kept(table: &Table, rows: &Runs) -> Vec<(String, Column)> {
    fn some<T: Clone>(values: &[Option<T>], rows: &Runs) -> Vec<Option<T>> {
        rows.iter().map(|row| values.get(row).cloned().flatten()).collect()
    }
    let columns = table.columns.iter().map(|(name, column)| {
        let column = match column {
            Column::Text(values) => Column::Text(some(values, rows)),
            Column::Number(values) => Column::Number(some(values, rows)),
            Column::Whole(values) => Column::Whole(some(values, rows)),
        };
        (name.clone(), column)
    });
    columns.collect()
}

/// The columns `predicted`, `confidence` and `score`.
fn predictions(
    pool: &Pool,
    len: usize,
    places: &Runs,
    probabilities: Option<&Matrix>,
) -> [Column; 3] {
    let mut predicted = vec![None; len];
    let (mut confidence, mut score) = (vec![None; len], vec![None; len]);
    let rows = probabilities.into_iter().flat_map(Matrix::iter_rows);
    for (place, row) in places.iter().zip(rows) {
        let (mut best, mut first, mut second) = (0, 0.0_f32, 0.0_f32);
        for (class, &p) in (0_u32..).zip(row) {
            if p > first {
                (best, first, second) = (class, p, first);
            } else if p > second {
                second = p;
            }
        }
        set(&mut predicted, place, class_name(pool, best));
        set(&mut confidence, place, Some(f64::from(first)));
        set(&mut score, place, Some(1.0 - (f64::from(first) - f64::from(second))));
    }
    [Column::Text(predicted), Column::Number(confidence), Column::Number(score)]
}
