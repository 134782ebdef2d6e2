//! What a strategy is: it says what it needs, and plans a batch from what it may look at.
//!
//! ```
//! use gleaner::data_selector::{Needs, Plan, SelectorError, Strategy, View};
//!
//! /// Prefers samples whose first class is likely.
//! struct First;
//!
//! impl Strategy for First {
//!     fn needs(&self) -> Needs {
//!         Needs::output("probabilities")
//!     }
//!
//!     fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
//!         let width = view.output("probabilities")?.rows.cols();
//!         Ok(Plan::scores(move |rows| {
//!             let values = view.read("probabilities", rows)?;
//!             Ok(values.chunks(width).map(|row| row.first().copied().unwrap_or(0.0).into()).collect())
//!         }))
//!     }
//! }
//! ```

use super::{SelectorError, View};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A rule that picks the strategy arm of a batch.
///
/// A plan is a function of the view and of nothing else: no clock, no chance but [`View::chance`], no result that depends
/// on the number of threads. Then any past batch can be derived again from what was kept of it.
pub trait Strategy: Send + Sync {
    /// The version of the rule; raised whenever the same inputs would give other picks.
    fn version(&self) -> u32 {
        1
    }

    /// What must be in the view. Asked before any model runs.
    fn needs(&self) -> Needs;

    /// Plans a batch of `count` of the candidates; there are at least so many, and at least one.
    ///
    /// # Errors
    /// [`SelectorError`] says what is missing or wrong.
    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError>;
}

/// What a strategy needs to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Outputs of the model for the candidates: `probabilities`, `embedding`, or others by their names.
    pub outputs: BTreeSet<String>,
    /// Outputs of the same model for the labelled samples.
    pub labelled: BTreeSet<String>,
    /// What several models, or several passes of one, say.
    pub members: bool,
    /// The seconds of annotation of each candidate.
    pub seconds: bool,
    /// A place to ask SQL.
    pub queries: bool,
    /// Probabilities are to be calibrated on the validation split first.
    pub calibrated: bool,
}

impl Needs {
    /// Nothing but the candidates.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One output of the model.
    #[must_use]
    pub fn output(name: &str) -> Self {
        Self::default().and_output(name)
    }

    /// The members of a committee.
    #[must_use]
    pub fn members() -> Self {
        Self { members: true, ..Self::default() }
    }

    /// These, and an output more.
    #[must_use]
    pub fn and_output(mut self, name: &str) -> Self {
        self.outputs.insert(name.to_owned());
        self
    }

    /// These, and an output for the labelled samples, too.
    #[must_use]
    pub fn and_labelled(mut self, name: &str) -> Self {
        self.labelled.insert(name.to_owned());
        self.and_output(name)
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.outputs.extend(other.outputs);
        self.labelled.extend(other.labelled);
        self.members |= other.members;
        self.seconds |= other.seconds;
        self.queries |= other.queries;
        self.calibrated |= other.calibrated;
        self
    }

    /// Whether the strategy looks at anything but ids.
    #[must_use]
    pub fn looks(&self) -> bool {
        *self != Self::default()
    }
}

/// The scores of the candidates in a range of indexes, one for each; higher is more worth labelling.
pub type Scores<'v> = Box<dyn Fn(Range<usize>) -> Result<Vec<f64>, SelectorError> + Sync + 'v>;

/// How a batch comes about.
pub enum Plan<'v> {
    /// The highest scores are picked, equal ones in the order of ids. Scores are asked for in pieces, from several threads,
    /// so that a pool need not fit in memory.
    Scores(Scores<'v>),
    /// Picked already.
    Picks(Picks),
}

impl<'v> Plan<'v> {
    /// A plan of scores.
    pub fn scores(
        scores: impl Fn(Range<usize>) -> Result<Vec<f64>, SelectorError> + Sync + 'v,
    ) -> Self {
        Self::Scores(Box::new(scores))
    }

    /// A plan of picks without remarks.
    #[must_use]
    pub const fn picks(chosen: Vec<Chosen>) -> Self {
        Self::Picks(Picks { chosen, remarks: BTreeMap::new() })
    }
}

/// A batch, in the order of picking.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Picks {
    /// What was chosen: different candidates, at most as many as were asked for.
    pub chosen: Vec<Chosen>,
    /// What an auditor should know: a switch and its reason, a bandwidth that was fitted.
    pub remarks: BTreeMap<String, String>,
}

/// One pick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// Which candidate.
    pub index: usize,
    /// Its score at the time it was chosen; finite.
    pub score: f64,
    /// The probability with which it was chosen among those left, where chance chose.
    pub probability: Option<f64>,
}
