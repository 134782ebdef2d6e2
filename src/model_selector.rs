//! The model selector: which checkpoint goes to production, with the model in production as a candidate.
//!
//! Values in, a decision out. The values are measured elsewhere, all on the same samples.

use crate::domain::definition::{Direction, ModelSelectorSpec};
use crate::domain::digest::Digest;
use crate::domain::event::{Candidate, ModelSelected};

/// Chooses between the incumbent and the challengers, which are given in the order of training.
///
/// * The best challenger is the one with the best value; of equals the one trained longest.
/// * The incumbent stays unless that challenger is better by more than `min_gain`; then the winner is the incumbent and
///   nothing is promoted. Without an incumbent the best challenger is always promoted.
/// * A model is its digest: a challenger that is the incumbent's very file, or one given before, is no second candidate.
///   The first value counts.
///
/// # Errors
/// [`SelectionError`]: no candidate at all, or a value that is no finite number.
pub fn choose(
    spec: &ModelSelectorSpec,
    incumbent: Option<(Digest, f64)>,
    challengers: &[(Digest, f64)],
) -> Result<ModelSelected, SelectionError> {
    let mut candidates: Vec<Candidate> = Vec::with_capacity(challengers.len().saturating_add(1));
    for &(model, value) in incumbent.iter().chain(challengers) {
        if !value.is_finite() {
            let criterion = spec.criterion.clone();
            return Err(SelectionError::NotFinite { criterion, model, value });
        }
        if candidates.iter().all(|known| known.model != model) {
            candidates.push(Candidate { model, value });
        }
    }
    // How much better `a` is than `b`.
    let gain = |a: f64, b: f64| match spec.direction {
        Direction::Max => a - b,
        Direction::Min => b - a,
    };
    let fresh = candidates.iter().skip(usize::from(incumbent.is_some()));
    let best =
        fresh.reduce(|best, next| if gain(next.value, best.value) >= 0.0 { next } else { best });
    let (winner, promoted, reason) = match (incumbent, best) {
        (None, None) => return Err(SelectionError::NoCandidates),
        (None, Some(best)) => {
            let count = candidates.len();
            let reason = format!(
                "first model: the best of {count} checkpoints by {}, {}",
                spec.criterion, best.value
            );
            (best.model, true, reason)
        }
        (Some((model, value)), None) => {
            let reason = format!(
                "the incumbent stays at {} {value}: there is no other model",
                spec.criterion
            );
            (model, false, reason)
        }
        (Some((model, value)), Some(best)) => {
            let found = gain(best.value, value);
            let promoted = found > spec.min_gain;
            let reason = format!(
                "{}: the best challenger has {} {}, the incumbent {value}; a gain of {found:.6}, and more than {} is \
                 asked for",
                if promoted { "promoted" } else { "the incumbent stays" },
                spec.criterion,
                best.value,
                spec.min_gain,
            );
            (if promoted { best.model } else { model }, promoted, reason)
        }
    };
    Ok(ModelSelected {
        criterion: spec.criterion.clone(),
        incumbent: incumbent.map(|(model, _)| model),
        winner,
        promoted,
        reason,
        candidates,
    })
}

/// Why no model was chosen.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// Nothing to choose from.
    #[error(
        "there is no model to choose from: training saved no checkpoint and none is in production"
    )]
    NoCandidates,
    /// A value that cannot be compared.
    #[error(
        "{criterion} of model {} is {value}, not a finite number; the training diverged: lower \
         `trainer.learning_rate`, or check `pool.scale`",
        model.short()
    )]
    NotFinite {
        /// The metric.
        criterion: String,
        /// The model.
        model: Digest,
        /// Its value.
        value: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(direction: Direction, min_gain: f64) -> ModelSelectorSpec {
        ModelSelectorSpec { criterion: "validation.accuracy".to_owned(), direction, min_gain }
    }

    fn model(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn winner(
        spec: &ModelSelectorSpec,
        incumbent: Option<(&str, f64)>,
        challengers: &[(&str, f64)],
    ) -> (Digest, bool) {
        let challengers: Vec<_> = challengers.iter().map(|&(n, v)| (model(n), v)).collect();
        let chosen = choose(spec, incumbent.map(|(n, v)| (model(n), v)), &challengers);
        let chosen = chosen.expect("candidates");
        (chosen.winner, chosen.promoted)
    }

    #[test]
    fn the_first_model_is_always_promoted_and_of_equals_the_one_trained_longest() {
        let max = spec(Direction::Max, 0.5);
        let found = winner(&max, None, &[("a", 0.1), ("b", 0.3), ("c", 0.3), ("d", 0.2)]);
        assert_eq!(found, (model("c"), true));
        let min = spec(Direction::Min, 0.5);
        assert_eq!(winner(&min, None, &[("a", 0.1), ("b", 0.3)]), (model("a"), true));
    }

    #[test]
    fn the_incumbent_stays_unless_beaten_by_more_than_the_gain_asked_for() {
        let max = spec(Direction::Max, 0.25);
        assert_eq!(winner(&max, Some(("old", 0.5)), &[("new", 0.75)]), (model("old"), false));
        assert_eq!(winner(&max, Some(("old", 0.5)), &[("new", 0.8)]), (model("new"), true));
        let min = spec(Direction::Min, 0.0);
        assert_eq!(winner(&min, Some(("old", 0.5)), &[("new", 0.5)]), (model("old"), false));
        assert_eq!(winner(&min, Some(("old", 0.5)), &[("new", 0.4)]), (model("new"), true));
        assert_eq!(winner(&min, Some(("old", 0.5)), &[]), (model("old"), false));
    }

    #[test]
    fn the_same_file_is_one_candidate() {
        let challengers = [(model("old"), 0.9), (model("new"), 0.4), (model("new"), 0.9)];
        let found = choose(&spec(Direction::Max, 0.0), Some((model("old"), 0.5)), &challengers);
        let found = found.expect("candidates");
        assert_eq!((found.winner, found.promoted), (model("old"), false));
        assert_eq!(
            found.candidates,
            [("old", 0.5), ("new", 0.4)].map(|(n, value)| Candidate { model: model(n), value })
        );
    }

    #[test]
    fn the_reason_can_be_read_by_people() {
        let found =
            choose(&spec(Direction::Max, 0.0), Some((model("old"), 0.5)), &[(model("new"), 0.75)]);
        assert_eq!(
            found.expect("candidates").reason,
            "promoted: the best challenger has validation.accuracy 0.75, the incumbent 0.5; a gain of 0.250000, and \
             more than 0 is asked for"
        );
    }

    #[test]
    fn values_that_cannot_be_compared_are_refused() {
        let max = spec(Direction::Max, 0.0);
        for value in [f64::NAN, f64::INFINITY] {
            let error = choose(&max, None, &[(model("a"), 0.5), (model("b"), value)]);
            assert!(matches!(error, Err(SelectionError::NotFinite { .. })), "{value}");
        }
        assert_eq!(choose(&max, None, &[]), Err(SelectionError::NoCandidates));
    }
}
