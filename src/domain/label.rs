//! What somebody said a sample is.

use super::digest::Digest;
use super::task::Task;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// What a sample is. Stored: variants are only ever appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Label {
    /// An index into the run's class list.
    Class(u32),
    /// Any number of classes.
    Classes(ClassSet),
    /// A number.
    Value(Value),
    /// A class for each pixel: the artifact of this digest holds a byte a pixel, row by row.
    Mask(Digest),
    /// One of this task, which was erased on request; what it was nobody knows any more.
    Erased(Task),
}

impl Label {
    /// The task that this is a label of.
    #[must_use]
    pub const fn task(self) -> Task {
        match self {
            Self::Class(_) => Task::Classification,
            Self::Classes(_) => Task::MultiLabel,
            Self::Value(_) => Task::Regression,
            Self::Mask(_) => Task::Segmentation,
            Self::Erased(task) => task,
        }
    }

    /// The artifact that holds the label, where it is too large for an event.
    #[must_use]
    pub const fn artifact(self) -> Option<Digest> {
        match self {
            Self::Mask(digest) => Some(digest),
            Self::Class(_) | Self::Classes(_) | Self::Value(_) | Self::Erased(_) => None,
        }
    }

    /// Whether it was erased.
    #[must_use]
    pub const fn is_erased(self) -> bool {
        matches!(self, Self::Erased(_))
    }

    /// Hands on the bytes that stand for it in digests; none for an erased one, whose digests nobody can work out again.
    pub(super) fn write(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Class(class) => bytes.extend_from_slice(&class.to_be_bytes()),
            Self::Classes(ClassSet(set)) => bytes.extend_from_slice(&set.to_be_bytes()),
            Self::Value(Value(value)) => bytes.extend_from_slice(&value.to_bits().to_be_bytes()),
            Self::Mask(digest) => bytes.extend_from_slice(digest.as_bytes()),
            Self::Erased(_) => {}
        }
    }
}

/// A set of classes: bit `i` stands for class `i` of the run's class list.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct ClassSet(u64);

impl ClassSet {
    /// So many classes can be told apart.
    pub const CLASSES_MAX: usize = 64;

    /// The set with these classes; those past the last possible one are left out.
    #[must_use]
    pub fn of(classes: impl IntoIterator<Item = usize>) -> Self {
        let bit =
            |class: usize| u32::try_from(class).ok().and_then(|class| 1_u64.checked_shl(class));
        Self(classes.into_iter().filter_map(bit).fold(0, |set, bit| set | bit))
    }

    /// Whether it holds this class.
    #[must_use]
    pub fn holds(self, class: usize) -> bool {
        class < Self::CLASSES_MAX && self.0 >> class & 1 == 1
    }

    /// The highest class in it.
    #[must_use]
    pub const fn highest(self) -> Option<u32> {
        self.0.checked_ilog2()
    }
}

/// A finite number; equal and ordered as numbers, zero without a sign.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Value(f64);

impl Value {
    /// The number; `None` for NaN and infinities.
    #[must_use]
    pub fn new(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// A label that is no finite number.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is no label: a finite number is expected")]
pub struct NotFinite(f64);

impl TryFrom<f64> for Value {
    type Error = NotFinite;

    fn try_from(number: f64) -> Result<Self, NotFinite> {
        Self::new(number).ok_or(NotFinite(number))
    }
}

impl From<Value> for f64 {
    fn from(value: Value) -> Self {
        value.0
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let set = ClassSet::of([0, 5, 63, 64, 1000]);
        let held: Vec<usize> = (0..100).filter(|&class| set.holds(class)).collect();
        assert_eq!(held, [0, 5, 63]);
        assert_eq!((set.highest(), ClassSet::default().highest()), (Some(63), None));
    }

    #[test]
    fn only_finite_numbers_are_values_and_zero_has_no_sign() {
        assert_eq!(Value::new(f64::NAN), None);
        assert_eq!(Value::new(f64::INFINITY), None);
        assert_eq!(Value::new(-0.0), Value::new(0.0));
        assert!(Value::new(-1.5) < Value::new(2.0));
        assert!(serde_json::from_str::<Value>("1e999").is_err());
        assert_eq!(
            serde_json::from_str::<Value>("151.0").unwrap().get().to_bits(),
            151_f64.to_bits()
        );
    }
}
