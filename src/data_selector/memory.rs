//! What a strategy remembers from cycle to cycle, so that it need not work out again what has not changed.
//!
//! Only ever a saving: what is remembered is checked against what is there, so the picks are the same with and without.

use crate::domain::digest::Digest;
use rayon::prelude::*;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Memories by the name of what they are of. One for each run; it may be lost at any time.
#[derive(Default)]
pub struct Memory(Mutex<BTreeMap<String, Box<dyn Any + Send>>>);

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl Memory {
    /// Takes out what was remembered under this name.
    pub(super) fn take<T: 'static>(&self, name: &str) -> Option<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(name)?.downcast().ok().map(|value| *value)
    }

    /// Remembers a value, in place of what was remembered under this name.
    pub(super) fn put<T: Send + 'static>(&self, name: &str, value: T) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_owned(), Box::new(value));
    }
}

/// A row, told from every other by what it holds.
pub(super) type Print = [u8; 16];

/// The distances of points to their nearest centre, and which centres those are.
pub(super) struct Distances {
    centres: BTreeSet<Print>,
    of: HashMap<Print, f32>,
}

impl Distances {
    /// Remembers how near each point, told by its print, is to these centres.
    pub(super) fn new(points: Vec<Print>, nearest: &[f32], centres: &[&[f32]]) -> Self {
        Self {
            centres: centres.iter().map(|centre| print(centre)).collect(),
            of: points.into_iter().zip(nearest.iter().copied()).collect(),
        }
    }

    /// The distances of these points, and which of `centres` they have not been held against yet; `None` where a centre is
    /// remembered that is none any more, or a point is not.
    pub(super) fn recall<'c>(
        &self,
        points: &[Print],
        centres: &[&'c [f32]],
    ) -> Option<(Vec<f32>, Vec<&'c [f32]>)> {
        let known: BTreeSet<Print> = centres.iter().map(|centre| print(centre)).collect();
        if !self.centres.is_subset(&known) {
            return None;
        }
        // A point that is new has not been held against any centre.
        let nearest: Option<Vec<f32>> =
            points.iter().map(|print| self.of.get(print).copied()).collect();
        let fresh = centres.iter().copied().filter(|c| !self.centres.contains(&print(c)));
        Some((nearest?, fresh.collect()))
    }
}

/// The prints of all points.
pub(super) fn prints(points: &[f32], cols: usize) -> Vec<Print> {
    points.par_chunks_exact(cols).map(print).collect()
}

/// Half of a SHA-256: two rows that differ have different ones.
fn print(row: &[f32]) -> Print {
    let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
    let digest = Digest::of(&bytes);
    let mut print = [0; 16];
    print.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
    print
}
