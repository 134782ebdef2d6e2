//! The oracle: a labelled data set plays the annotator, to show what a method would have cost.

use crate::domain::event::Annotation;
use crate::domain::ids::SampleId;
use crate::domain::label::Label;
use crate::domain::time::Timestamp;
use std::time::Duration;

/// Labels every sample with what `known` says, at the instant `at`, each in the time that
/// `spent` says; in the order given.
///
/// # Errors
/// [`AnnotationError::Unknown`] for the first sample without a known label; then nothing is labelled.
pub fn oracle(
    samples: &[SampleId],
    known: impl Fn(&SampleId) -> Option<Label>,
    spent: impl Fn(&SampleId) -> Duration,
    at: Timestamp,
) -> Result<Vec<Annotation>, AnnotationError> {
    let label = |sample: &SampleId| {
        let label =
            known(sample).ok_or_else(|| AnnotationError::Unknown { sample: sample.clone() })?;
        Ok(Annotation {
            sample: sample.clone(),
            label,
            annotator: "oracle".into(),
            at,
            spent: spent(sample),
        })
    };
    samples.iter().map(label).collect()
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

    #[test]
    fn the_oracle_says_what_the_pool_knows_and_names_what_it_does_not() {
        let known = |sample: &SampleId| match sample.as_str() {
            "a" => Some(Label::Class(3)),
            "b" => Some(Label::Class(0)),
            _ => None,
        };
        let labels = oracle(&["b".into(), "a".into()], known, |_| Duration::ZERO, Timestamp(5))
            .expect("known labels");
        let said: Vec<_> = labels.iter().map(|l| (l.sample.as_str(), l.label, l.at)).collect();
        let expected = [("b", Label::Class(0), Timestamp(5)), ("a", Label::Class(3), Timestamp(5))];
        assert_eq!(said, expected);
        let error = oracle(&["a".into(), "z".into()], known, |_| Duration::ZERO, Timestamp(5))
            .expect_err("z is unknown");
        assert_eq!(error, AnnotationError::Unknown { sample: "z".into() });
    }
}
