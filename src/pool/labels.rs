//! The labels that a pool's file knows, and the list of classes they make.

use super::targets::Targets;
use super::{INFERRED_CLASSES_MAX, PoolError, shortened};
use crate::domain::nearest::nearest;
use std::collections::HashMap;

/// What is known of each row.
pub(super) enum Labels {
    /// A class a row, 4 bytes each; nothing where no row has one.
    Classes(Vec<u32>),
    /// Numbers.
    Numbers(Targets),
}

impl Default for Labels {
    fn default() -> Self {
        Self::Classes(Vec::new())
    }
}

/// No class has this index: there would be no room for its name.
const UNKNOWN: u32 = u32::MAX;

impl Labels {
    /// The class of the next row.
    pub(super) fn push(&mut self, label: Option<u32>) {
        if let Self::Classes(classes) = self {
            classes.push(label.unwrap_or(UNKNOWN));
        }
    }

    /// The class of a row.
    pub(super) fn get(&self, row: usize) -> Option<u32> {
        match self {
            Self::Classes(classes) => classes.get(row).copied().filter(|&label| label != UNKNOWN),
            Self::Numbers(_) => None,
        }
    }

    /// Whether the label of a row is known.
    pub(super) fn knows(&self, row: usize) -> bool {
        match self {
            Self::Classes(_) => self.get(row).is_some(),
            Self::Numbers(targets) => targets.known.place_of(row).is_some(),
        }
    }

    /// Forgets what is not needed: a pool in which nothing is known has no labels to keep.
    pub(super) fn compact(&mut self) {
        if let Self::Classes(classes) = self {
            if classes.iter().all(|&label| label == UNKNOWN) {
                *classes = Vec::new();
            }
            classes.shrink_to_fit();
        }
    }

    /// The rows in another order; numbers come in the right one.
    pub(super) fn reorder(&mut self, order: &[usize]) {
        if let Self::Classes(classes) = self
            && !classes.is_empty()
        {
            *classes = order.iter().filter_map(|&row| classes.get(row).copied()).collect();
        }
    }
}

/// Gives labels their index: by the workflow's list, or by what turns up.
pub(super) struct ClassList {
    index: HashMap<String, u32>,
    given: bool,
}

impl ClassList {
    pub(super) fn new(given: &[String]) -> Self {
        let index = (0..).zip(given).map(|(index, class)| (class.clone(), index)).collect();
        Self { index, given: !given.is_empty() }
    }

    /// The index of `label`, provisional unless the list was given; `None` where it is not in the given list.
    fn known(&mut self, label: &str) -> Option<u32> {
        if let Some(&index) = self.index.get(label) {
            return Some(index);
        }
        if self.given {
            return None;
        }
        let next = u32::try_from(self.index.len()).ok()?;
        self.index.insert(label.to_owned(), next);
        Some(next)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// The final list; re-numbers `labels` where it was inferred: by number where every label is a whole number, else by
    /// text.
    pub(super) fn finish(self, labels: &mut Labels) -> Vec<String> {
        let given = self.given;
        let mut entries: Vec<(String, u32)> = self.index.into_iter().collect();
        if given {
            entries.sort_by_key(|&(_, index)| index);
        } else if entries.iter().all(|(name, _)| name.parse::<i64>().is_ok()) {
            entries.sort_by_cached_key(|(name, _)| (name.parse::<i64>().ok(), name.clone()));
        } else {
            entries.sort();
        }
        if !given {
            let renumbered: HashMap<u32, u32> =
                (0..).zip(&entries).map(|(new, &(_, old))| (old, new)).collect();
            if let Labels::Classes(classes) = labels {
                for label in classes {
                    *label = renumbered.get(label).copied().unwrap_or(*label);
                }
            }
        }
        entries.into_iter().map(|(name, _)| name).collect()
    }

    /// The index of a label that stands at `place`, where the column or field is named `column`.
    pub(super) fn index_of(
        &mut self,
        text: &str,
        column: &str,
        place: &dyn Fn() -> (String, u64),
    ) -> Result<u32, PoolError> {
        let Some(index) = self.known(text) else {
            let near = nearest(text, self.names());
            let hint = near.map_or_else(
                || "; correct it, or add the class".to_owned(),
                |near| format!("; did you mean {near:?}?"),
            );
            let (file, line) = place();
            return Err(PoolError::UnknownLabel { file, line, value: shortened(text), hint });
        };
        if !self.given && usize::try_from(index).is_ok_and(|i| i >= INFERRED_CLASSES_MAX) {
            let (file, line) = place();
            return Err(PoolError::TooManyClasses { file, line, column: column.to_owned() });
        }
        Ok(index)
    }
}
