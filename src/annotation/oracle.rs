//! The oracle: a labelled data set plays the annotator, to show what a method would have cost.

use crate::domain::event::{Annotation, Label, Pick};
use crate::domain::ids::SampleId;
use crate::domain::time::Timestamp;
use std::time::Duration;

/// Labels every pick with what `known` says, at the instant `at`, in no time; in the order of picks.
///
/// # Errors
/// [`AnnotationError::Unknown`] for the first pick without a known label; then nothing is labelled.
pub fn oracle(
    picks: &[Pick],
    known: impl Fn(&SampleId) -> Option<u32>,
    at: Timestamp,
) -> Result<Vec<Annotation>, AnnotationError> {
    let label = |pick: &Pick| {
        let class = known(&pick.sample)
            .ok_or_else(|| AnnotationError::Unknown { sample: pick.sample.clone() })?;
        Ok(Annotation {
            sample: pick.sample.clone(),
            label: Label::Class(class),
            annotator: "oracle".to_owned(),
            at,
            spent: Duration::ZERO,
        })
    };
    picks.iter().map(label).collect()
}

/// Why there are no labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnotationError {
    /// The pool does not know.
    #[error(
        "the oracle does not know the label of {sample}: its label cell in the pool is empty; fill it in, or use \
         another annotator"
    )]
    Unknown {
        /// Which sample.
        sample: SampleId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Arm;

    #[test]
    fn the_oracle_says_what_the_pool_knows_and_names_what_it_does_not() {
        let pick = |sample: &str| Pick {
            sample: sample.into(),
            arm: Arm::Strategy,
            score: None,
            rank: 1,
            probability: None,
        };
        let known = |sample: &SampleId| match sample.as_str() {
            "a" => Some(3),
            "b" => Some(0),
            _ => None,
        };
        let labels = oracle(&[pick("b"), pick("a")], known, Timestamp(5)).expect("known labels");
        let said: Vec<_> = labels.iter().map(|l| (l.sample.as_str(), l.label, l.at)).collect();
        let expected = [("b", Label::Class(0), Timestamp(5)), ("a", Label::Class(3), Timestamp(5))];
        assert_eq!(said, expected);
        let error = oracle(&[pick("a"), pick("z")], known, Timestamp(5)).expect_err("z is unknown");
        assert_eq!(error, AnnotationError::Unknown { sample: "z".into() });
    }
}
