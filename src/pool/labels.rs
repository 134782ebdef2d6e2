//! The labels that a pool's file knows, and the list of classes they make.

use super::{INFERRED_CLASSES_MAX, PoolError, shortened};
use crate::domain::nearest::nearest;
use std::collections::HashMap;

/// A label a row, 4 bytes each; nothing where no row has one.
#[derive(Debug, Default)]
pub(super) struct Labels(Vec<u32>);

/// No class has this index: there would be no room for its name.
const UNKNOWN: u32 = u32::MAX;

impl Labels {
    pub(super) fn push(&mut self, label: Option<u32>) {
        self.0.push(label.unwrap_or(UNKNOWN));
    }

    pub(super) fn get(&self, row: usize) -> Option<u32> {
        self.0.get(row).copied().filter(|&label| label != UNKNOWN)
    }

    /// Forgets what is not needed: a pool in which nothing is known has no labels to keep.
    pub(super) fn compact(&mut self) {
        if self.0.iter().all(|&label| label == UNKNOWN) {
            self.0 = Vec::new();
        }
        self.0.shrink_to_fit();
    }

    /// The rows in another order.
    pub(super) fn reorder(&mut self, order: &[usize]) {
        if !self.0.is_empty() {
            self.0 = order.iter().filter_map(|&row| self.0.get(row).copied()).collect();
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
            for label in labels.0.iter_mut() {
                *label = renumbered.get(label).copied().unwrap_or(*label);
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
