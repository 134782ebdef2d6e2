//! What a strategy may look at: the candidates, what models say about them, and what is labelled already.

use super::SelectorError;
use crate::domain::chance::Chance;
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::matrix::Matrix;
use crate::domain::rows::{Rows, Runs, Subset};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// The ids of candidates, which need not lie in memory one by one.
pub trait SampleIds: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// The id of candidate `index`; empty past the end.
    fn get(&self, index: usize) -> Cow<'_, str>;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of an id, where there is such a one; ids ascend.
    fn find(&self, id: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if *self.get(middle) < *id {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low < self.len() && self.get(low) == id).then_some(low)
    }

    /// The first id that does not come after the one before it; `None` where all ascend, as they must.
    fn first_out_of_order(&self) -> Option<usize> {
        (1..self.len()).find(|&index| self.get(index) <= self.get(index - 1))
    }
}

impl SampleIds for [SampleId] {
    fn len(&self) -> usize {
        self.len()
    }

    fn get(&self, index: usize) -> Cow<'_, str> {
        Cow::Borrowed(<[SampleId]>::get(self, index).map_or("", SampleId::as_str))
    }
}

impl<T: SampleIds + ?Sized> SampleIds for &T {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn get(&self, index: usize) -> Cow<'_, str> {
        (**self).get(index)
    }

    fn first_out_of_order(&self) -> Option<usize> {
        (**self).first_out_of_order()
    }
}

struct SomeIds<'a> {
    source: &'a dyn SampleIds,
    kept: &'a Runs,
}

impl SampleIds for SomeIds<'_> {
    fn len(&self) -> usize {
        self.kept.len()
    }

    fn get(&self, index: usize) -> Cow<'_, str> {
        self.kept.get(index).map_or(Cow::Borrowed(""), |index| self.source.get(index))
    }
}

/// One output of a model, a row for each candidate.
pub struct Output<'a> {
    /// The numbers.
    pub rows: Box<dyn Rows + 'a>,
    /// The shape of a row, for instance `[classes, height, width]`; its product is the width.
    pub shape: Vec<usize>,
}

impl<'a> Output<'a> {
    /// Rows without a shape of their own.
    pub fn flat(rows: impl Rows + 'a) -> Self {
        Self { shape: vec![rows.cols()], rows: Box::new(rows) }
    }
}

/// The samples that have a label.
#[derive(Debug, Clone, Default)]
pub struct Labelled<'a> {
    /// The class of each.
    pub classes: Cow<'a, [u32]>,
    /// The labels that each has, one flag for every label; only in multi-label tasks.
    pub label_sets: Cow<'a, [Vec<bool>]>,
    /// Outputs of the same model for them, by name; one row each.
    pub outputs: BTreeMap<&'a str, Cow<'a, Matrix>>,
}

impl Labelled<'_> {
    fn borrowed(&self) -> Labelled<'_> {
        Labelled {
            classes: Cow::Borrowed(&self.classes),
            label_sets: Cow::Borrowed(&self.label_sets),
            outputs: self
                .outputs
                .iter()
                .map(|(&name, matrix)| (name, Cow::Borrowed(&**matrix)))
                .collect(),
        }
    }
}

/// Everything a strategy may look at.
///
/// Candidates are in the pool's order of ids, each once: index order is id order, so a tie goes to the lower index, and the
/// order in which somebody listed them reaches no result.
pub struct View<'a> {
    ids: Box<dyn SampleIds + 'a>,
    outputs: BTreeMap<&'a str, Output<'a>>,
    /// What each member of a committee, or each pass with dropout, says: probabilities, or values in regression.
    pub members: Vec<Output<'a>>,
    /// How many classes there are; 0 where there are none.
    pub classes: usize,
    /// The samples that have a label.
    pub labelled: Labelled<'a>,
    /// Seconds that the annotation of each candidate takes.
    pub seconds: Option<Cow<'a, [f64]>>,
    /// Answers queries about candidates.
    pub queries: Option<&'a dyn Queries>,
    /// Where these candidates stand among those that `queries` know; `None`: at their own places.
    places: Option<Cow<'a, Runs>>,
    /// The run's seed.
    pub seed: u64,
    /// The cycle that picks.
    pub cycle: CycleNumber,
}

/// Answers queries about the pool and the engine's own state.
pub trait Queries: Sync {
    /// What `sql` answers.
    ///
    /// # Errors
    /// [`SelectorError::Query`] says what is wrong with it.
    fn answer(&self, sql: &str) -> Result<Answer, SelectorError>;
}

/// What a query answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Candidates by their index among all of them, each once, in the order of the query.
    pub candidates: Vec<usize>,
    /// How many samples of the pool it answers that are no candidates, because they have a label already.
    pub labelled: usize,
}

impl<'a> View<'a> {
    /// Candidates of whom nothing is known but their ids.
    #[must_use]
    pub fn new(ids: impl SampleIds + 'a, seed: u64, cycle: CycleNumber) -> Self {
        Self {
            ids: Box::new(ids),
            outputs: BTreeMap::new(),
            members: Vec::new(),
            classes: 0,
            labelled: Labelled::default(),
            seconds: None,
            queries: None,
            places: None,
            seed,
            cycle,
        }
    }

    /// Adds an output of the model.
    #[must_use]
    pub fn with(mut self, name: &'a str, output: Output<'a>) -> Self {
        self.outputs.insert(name, output);
        self
    }

    /// How many candidates there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of candidate `index`.
    #[must_use]
    pub fn id(&self, index: usize) -> Cow<'_, str> {
        self.ids.get(index)
    }

    /// The index of the candidate with this id, where there is one.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<usize> {
        self.ids.find(id)
    }

    /// Whether a batch of this size can be picked: there are candidates, each once and in the order of ids.
    pub(super) fn check(&self, batch: usize) -> Result<(), SelectorError> {
        if self.is_empty() {
            return Err(SelectorError::NoCandidates);
        }
        if batch == 0 {
            return Err(SelectorError::EmptyBatch);
        }
        let Some(index) = self.ids.first_out_of_order() else { return Ok(()) };
        let sample = self.sample(index);
        let twice = index > 0 && self.id(index) == self.id(index - 1);
        Err(if twice {
            SelectorError::DuplicateCandidate { sample }
        } else {
            SelectorError::Order { sample }
        })
    }

    /// The names of the outputs there are.
    pub fn output_names(&self) -> impl Iterator<Item = &str> {
        self.outputs.keys().copied()
    }

    /// The output of this name.
    ///
    /// # Errors
    /// [`SelectorError::NoOutput`].
    pub fn output(&self, name: &str) -> Result<&Output<'a>, SelectorError> {
        self.outputs.get(name).ok_or_else(|| SelectorError::NoOutput {
            output: name.to_owned(),
            there_are: self.output_names().map(str::to_owned).collect(),
        })
    }

    /// The rows `range` of an output.
    ///
    /// # Errors
    /// [`SelectorError::NoOutput`], [`SelectorError::Rows`].
    pub fn read(&self, output: &str, range: Range<usize>) -> Result<Cow<'_, [f32]>, SelectorError> {
        Ok(self.output(output)?.rows.read(range)?)
    }

    /// A whole output in memory: borrowed where it lies there already. Every number is finite, or it is an error.
    ///
    /// # Errors
    /// [`SelectorError::NoOutput`], [`SelectorError::Rows`], [`SelectorError::NotFinite`] naming the first sample.
    pub fn matrix(&self, output: &str) -> Result<(Cow<'_, [f32]>, usize), SelectorError> {
        let rows = &self.output(output)?.rows;
        let values = rows.read(0..self.len())?;
        self.check_finite(output, 0, rows.cols(), &values)?;
        Ok((values, rows.cols()))
    }

    /// Refuses values that are not finite; the first row belongs to candidate `first`.
    ///
    /// # Errors
    /// [`SelectorError::NotFinite`].
    pub fn check_finite(
        &self,
        output: &str,
        first: usize,
        cols: usize,
        values: &[f32],
    ) -> Result<(), SelectorError> {
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(place) => Err(SelectorError::NotFinite {
                output: output.to_owned(),
                sample: self.sample(first + place / cols.max(1)),
                value: values.get(place).copied().unwrap_or(f32::NAN),
            }),
        }
    }

    /// An output of the labelled samples.
    ///
    /// # Errors
    /// [`SelectorError::NoOutput`], [`SelectorError::Widths`] if it is not as wide as that of the candidates.
    pub fn labelled(&self, output: &str) -> Result<&Matrix, SelectorError> {
        let cols = self.output(output)?.rows.cols();
        let found = self.labelled.outputs.get(output).ok_or_else(|| SelectorError::NoOutput {
            output: format!("{output} of the labelled samples"),
            there_are: self.labelled.outputs.keys().map(|&name| name.to_owned()).collect(),
        })?;
        if found.rows() > 0 && found.cols() != cols {
            let (output, labelled) = (output.to_owned(), found.cols());
            return Err(SelectorError::Widths { output, candidates: cols, labelled });
        }
        Ok(found)
    }

    /// The chance of a purpose in this cycle.
    #[must_use]
    pub const fn chance<'p>(&self, purpose: &'p str) -> Chance<'p> {
        Chance { seed: self.seed, cycle: self.cycle, purpose }
    }

    /// The candidate as events name it.
    #[must_use]
    pub fn sample(&self, index: usize) -> SampleId {
        SampleId::from(&*self.id(index))
    }

    /// Where candidate `index` of this view stands among all candidates that queries know.
    #[must_use]
    pub fn place(&self, index: usize) -> Option<usize> {
        self.places.as_ref().map_or(Some(index), |places| places.get(index))
    }

    /// The same, with another who answers queries.
    #[must_use]
    pub(super) fn asking<'s>(&'s self, queries: &'s dyn Queries) -> View<'s> {
        let same = |output: &'s Output<'a>| Output {
            rows: Box::new(&*output.rows),
            shape: output.shape.clone(),
        };
        View {
            ids: Box::new(&*self.ids),
            outputs: self.outputs.iter().map(|(&name, output)| (name, same(output))).collect(),
            members: self.members.iter().map(same).collect(),
            classes: self.classes,
            labelled: self.labelled.borrowed(),
            seconds: self.seconds.as_deref().map(Cow::Borrowed),
            queries: Some(queries),
            places: self.places.as_deref().map(Cow::Borrowed),
            seed: self.seed,
            cycle: self.cycle,
        }
    }

    /// The candidate of this view that stands at `place` among all that queries know; the inverse of [`View::place`].
    #[must_use]
    pub fn at_place(&self, place: usize) -> Option<usize> {
        match &self.places {
            None => (place < self.len()).then_some(place),
            Some(places) => places.place_of(place),
        }
    }

    /// The same for some of the candidates only. `kept` must outlive the answer, and hold indexes of this view.
    #[must_use]
    pub fn only<'s>(&'s self, kept: &'s Runs) -> View<'s> {
        let some = |output: &'s Output<'a>| Output {
            rows: Box::new(Subset::new(&*output.rows, kept)),
            shape: output.shape.clone(),
        };
        let seconds = self.seconds.as_ref().map(|seconds| {
            kept.iter().filter_map(|index| seconds.get(index).copied()).collect::<Vec<_>>().into()
        });
        View {
            ids: Box::new(SomeIds { source: &*self.ids, kept }),
            outputs: self.outputs.iter().map(|(&name, output)| (name, some(output))).collect(),
            members: self.members.iter().map(some).collect(),
            classes: self.classes,
            labelled: self.labelled.borrowed(),
            seconds,
            queries: self.queries,
            places: Some(match &self.places {
                None => Cow::Borrowed(kept),
                Some(places) => Cow::Owned(kept.iter().filter_map(|i| places.get(i)).collect()),
            }),
            seed: self.seed,
            cycle: self.cycle,
        }
    }
}
