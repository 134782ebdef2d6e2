//! What queries see: the pool's metadata and the run's own state, a row for each sample that may be trained on.

use crate::data_selector::{Database, QueryLimits, SampleIds, Samples, SelectorError};
use crate::domain::definition::Definition;
use crate::domain::event::Label;
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::domain::rows::Runs;
use crate::domain::table::{Column, Table};
use crate::engine::candidates::Candidates;
use crate::engine::reactor::Step;
use crate::engine::resolve;
use crate::pool::Pool;
use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

/// The samples of the training part and what is known of them.
pub(super) struct Queried<'a> {
    pool: &'a Pool,
    rows: &'a Runs,
    /// The places of the candidates among the rows.
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
        let pool = &*step.pool;
        let rows = &pool.split().train;
        let places: Runs = candidates.rows().iter().filter_map(|row| rows.place_of(row)).collect();
        let mut labelled = vec![Some(0); rows.len()];
        let mut label: Vec<Option<Box<str>>> = vec![None; rows.len()];
        let mut cycle = vec![None; rows.len()];
        for (sample, known) in &step.run.labels {
            let Some(place) = pool.index_of(sample).and_then(|row| rows.place_of(row)) else {
                continue;
            };
            let Label::Class(class) = known.label;
            set(&mut labelled, place, Some(1));
            set(&mut label, place, class_name(pool, class));
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
        let [predicted, confidence, score] = predictions(pool, rows.len(), &places, probabilities);
        add("predicted", predicted);
        add("confidence", confidence);
        add("score", score);
        Self { pool, rows, candidates: places, columns }
    }

    /// The database of all this, and of the file that the workflow names.
    pub(super) fn open(&'a self, step: &Step) -> Result<Database<'a>, SelectorError> {
        let selector = &step.definition.selector;
        let samples = Samples { ids: self, candidates: &self.candidates, columns: &self.columns };
        let file = selector.database.as_deref().map(|file| resolve(&step.folder, file));
        let limits = match selector.query_seconds {
            Some(seconds) => {
                QueryLimits { time: Duration::from_secs(seconds), ..QueryLimits::default() }
            }
            None => QueryLimits::default(),
        };
        Database::open(samples, &[], file.as_deref(), limits)
    }
}

/// Refuses a query that could never be answered: it is held against the columns alone.
pub(in crate::engine) fn check_queries(
    definition: &Definition,
    folder: &Path,
    pool: &Pool,
) -> Result<(), SelectorError> {
    let queries = definition.selector.strategy.walk();
    let queries: Vec<&str> = queries.into_iter().filter_map(|part| part.text("sql")).collect();
    if queries.is_empty() {
        return Ok(());
    }
    let nothing = Runs::default();
    let mut columns = Table { rows: 0, columns: kept(pool.metadata(), &nothing) };
    let mut add = |name: &str, column| {
        if columns.column(name).is_none() {
            columns.columns.push((name.to_owned(), column));
        }
    };
    for name in ["labelled", "cycle"] {
        add(name, Column::Whole(Vec::new()));
    }
    for name in ["label", "predicted"] {
        add(name, Column::Text(Vec::new()));
    }
    for name in ["confidence", "score"] {
        add(name, Column::Number(Vec::new()));
    }
    let ids: &[SampleId] = &[];
    let samples = Samples { ids: &ids, candidates: &nothing, columns: &columns };
    let file = definition.selector.database.as_deref().map(|file| resolve(folder, file));
    let database = Database::open(samples, &[], file.as_deref(), QueryLimits::default())?;
    queries.into_iter().try_for_each(|sql| database.check(sql))
}

impl SampleIds for Queried<'_> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn get(&self, index: usize) -> Cow<'_, str> {
        self.rows.get(index).map_or(Cow::Borrowed(""), |row| self.pool.id(row))
    }

    fn find(&self, id: &str) -> Option<usize> {
        self.rows.place_of(self.pool.index_of(&SampleId::from(id))?)
    }

    fn first_out_of_order(&self) -> Option<usize> {
        None
    }
}

fn set<T>(values: &mut [T], place: usize, value: T) {
    if let Some(old) = values.get_mut(place) {
        *old = value;
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
