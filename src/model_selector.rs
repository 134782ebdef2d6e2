//! The model selector: which checkpoint goes to production, with the model in production as a candidate.
//!
//! Values in, a decision out. The values are measured elsewhere, all on the same samples.

use crate::domain::definition::ModelSelectorSpec;
use crate::domain::digest::Digest;
use crate::domain::event::{Candidate, ModelSelected};

/// A model that could go to production, or is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender {
    /// The model.
    pub model: Digest,
    /// Its value of the criterion.
    pub value: f64,
    /// Its value of the metric that breaks ties, more is better; 0 where there is none.
    pub tie_break: f64,
    /// Why it may not go to production, for people.
    pub barred: Option<String>,
}

/// What else bears on a choice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Circumstances {
    /// Production stays as it is.
    pub pinned: bool,
    /// How probable the best challenger's lead over the incumbent is by luck alone, where both were compared.
    pub p: Option<f64>,
}

/// The challenger that could win: of those that are not barred the one with the best value; of equals the one with the
/// better tie break; of those that are equal in both, the one trained longest.
#[must_use]
pub fn best<'c>(
    spec: &ModelSelectorSpec,
    incumbent: Option<Digest>,
    challengers: &'c [Contender],
) -> Option<&'c Contender> {
    let able =
        challengers.iter().filter(|one| one.barred.is_none() && Some(one.model) != incumbent);
    able.reduce(|best, next| {
        let gain = spec.direction.gain(next.value, best.value);
        let wins = gain > 0.0 || (gain >= 0.0 && next.tie_break >= best.tie_break);
        if wins { next } else { best }
    })
}

/// Chooses between the incumbent and the challengers, which are given in the order of training.
///
/// * The challenger is [`best`]. The incumbent stays unless that one is better by more than `min_gain` and, where
///   `significant` asks for it, by more than luck; then the winner is the incumbent and nothing is promoted. Without an
///   incumbent the best challenger is always promoted.
/// * Who is barred cannot be promoted. A barred incumbent stays where nobody else can take its place.
/// * A model is its digest: a challenger that is the incumbent's very file, or one given before, is no second candidate.
///   The first value counts.
///
/// # Errors
/// [`SelectionError`]: no candidate at all, a value that is no finite number, or a first model that may not go to
/// production.
pub fn choose(
    spec: &ModelSelectorSpec,
    incumbent: Option<&Contender>,
    challengers: &[Contender],
    circumstances: Circumstances,
) -> Result<ModelSelected, SelectionError> {
    let mut candidates: Vec<Candidate> = Vec::with_capacity(challengers.len().saturating_add(1));
    for &Contender { model, value, .. } in incumbent.into_iter().chain(challengers) {
        if !value.is_finite() {
            let criterion = spec.criterion.clone();
            return Err(SelectionError::NotFinite { criterion, model, value });
        }
        if candidates.iter().all(|known| known.model != model) {
            candidates.push(Candidate { model, value });
        }
    }
    let mut firsts: Vec<Contender> = Vec::with_capacity(challengers.len());
    for one in challengers {
        if firsts.iter().all(|known| known.model != one.model) {
            firsts.push(one.clone());
        }
    }
    let best = best(spec, incumbent.map(|incumbent| incumbent.model), &firsts);
    let barred = challengers.iter().find_map(|one| one.barred.as_ref().map(|why| (one, why)));
    let (winner, promoted, reason) = match (incumbent, best) {
        (None, None) => {
            return Err(match barred {
                None => SelectionError::NoCandidates,
                Some((one, why)) => SelectionError::Barred { model: one.model, why: why.clone() },
            });
        }
        (None, Some(best)) => {
            let reason = format!(
                "first model: the best of {} checkpoints by {}, {}",
                candidates.len(),
                spec.criterion,
                best.value
            );
            (best.model, true, reason)
        }
        (Some(incumbent), None) => {
            let why = match barred {
                None => "there is no other model".to_owned(),
                Some((one, why)) => format!("model {} {why}", one.model.short()),
            };
            let reason =
                format!("the incumbent stays at {} {}: {why}", spec.criterion, incumbent.value);
            (incumbent.model, false, reason)
        }
        (Some(incumbent), Some(best)) => {
            let (promoted, reason) = duel(spec, incumbent, best, circumstances);
            (if promoted { best.model } else { incumbent.model }, promoted, reason)
        }
    };
    Ok(ModelSelected {
        criterion: spec.criterion.as_str().into(),
        incumbent: incumbent.map(|incumbent| incumbent.model),
        winner,
        promoted,
        reason,
        candidates,
    })
}

/// Whether the best challenger takes the incumbent's place, and why.
fn duel(
    spec: &ModelSelectorSpec,
    incumbent: &Contender,
    best: &Contender,
    circumstances: Circumstances,
) -> (bool, String) {
    let gain = spec.direction.gain(best.value, incumbent.value);
    let limit = 1.0 - spec.confidence;
    let by_luck = circumstances.p.filter(|p| spec.significant && *p >= limit);
    let found = format!(
        "the best challenger has {} {}, the incumbent {}; a gain of {gain:.6}, and more than {} is asked for",
        spec.criterion, best.value, incumbent.value, spec.min_gain
    );
    let stays = |why: &str| (false, format!("the incumbent stays{why}: {found}"));
    if circumstances.pinned {
        return stays(", it is pinned");
    }
    if let Some(why) = &incumbent.barred {
        return (true, format!("promoted, because the incumbent {why}: {found}"));
    }
    if gain <= spec.min_gain {
        return stays("");
    }
    if let Some(p) = by_luck {
        return stays(&format!(
            ", the difference may be luck (p = {p:.3}, below {limit:.3} is asked for)"
        ));
    }
    (true, format!("promoted: {found}"))
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
    /// No checkpoint keeps to the workflow's limits.
    #[error(
        "no checkpoint may go to production: model {} {why}; loosen the limit in [model_selector], or train otherwise",
        model.short()
    )]
    Barred {
        /// One that may not.
        model: Digest,
        /// Why.
        why: String,
    },
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
    use crate::domain::definition::Direction;

    fn spec(direction: Direction, min_gain: f64) -> ModelSelectorSpec {
        ModelSelectorSpec {
            criterion: "validation.accuracy".to_owned(),
            direction,
            min_gain,
            ..ModelSelectorSpec::default()
        }
    }

    fn contender(name: &str, value: f64) -> Contender {
        Contender { model: model(name), value, tie_break: 0.0, barred: None }
    }

    fn chosen(
        spec: &ModelSelectorSpec,
        incumbent: Option<&Contender>,
        challengers: &[Contender],
    ) -> Result<ModelSelected, SelectionError> {
        choose(spec, incumbent, challengers, Circumstances::default())
    }

    fn model(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn winner(
        spec: &ModelSelectorSpec,
        incumbent: Option<(&str, f64)>,
        challengers: &[(&str, f64)],
    ) -> (Digest, bool) {
        let challengers: Vec<_> = challengers.iter().map(|&(n, v)| contender(n, v)).collect();
        let incumbent = incumbent.map(|(n, v)| contender(n, v));
        let chosen = chosen(spec, incumbent.as_ref(), &challengers).expect("candidates");
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
        let challengers = [("old", 0.9), ("new", 0.4), ("new", 0.9)].map(|(n, v)| contender(n, v));
        let old = contender("old", 0.5);
        let found = chosen(&spec(Direction::Max, 0.0), Some(&old), &challengers);
        let found = found.expect("candidates");
        assert_eq!((found.winner, found.promoted), (model("old"), false));
        assert_eq!(
            found.candidates,
            [("old", 0.5), ("new", 0.4)].map(|(n, value)| Candidate { model: model(n), value })
        );
    }

    #[test]
    fn the_reason_can_be_read_by_people() {
        let (old, new) = (contender("old", 0.5), contender("new", 0.75));
        let found = chosen(&spec(Direction::Max, 0.0), Some(&old), &[new]);
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
            let error = chosen(&max, None, &[contender("a", 0.5), contender("b", value)]);
            assert!(matches!(error, Err(SelectionError::NotFinite { .. })), "{value}");
        }
        assert_eq!(chosen(&max, None, &[]), Err(SelectionError::NoCandidates));
    }

    #[test]
    fn who_is_barred_is_not_promoted_whatever_it_is_worth() {
        let max = spec(Direction::Max, 0.0);
        let slow = Contender { barred: Some("takes 9 ms".into()), ..contender("slow", 0.9) };
        let (old, new) = (contender("old", 0.5), contender("new", 0.6));
        let found = chosen(&max, Some(&old), &[new.clone(), slow.clone()]).unwrap();
        assert_eq!((found.winner, found.promoted), (model("new"), true));
        let found = chosen(&max, Some(&old), std::slice::from_ref(&slow)).unwrap();
        assert_eq!((found.winner, found.promoted), (model("old"), false));
        assert!(found.reason.contains("takes 9 ms"), "{}", found.reason);
        let error = chosen(&max, None, std::slice::from_ref(&slow)).unwrap_err();
        assert!(error.to_string().contains("takes 9 ms"), "{error}");
        // An incumbent that would be barred now gives way even to a worse one.
        let old = Contender { barred: Some("is too large".into()), ..contender("old", 0.7) };
        assert_eq!(chosen(&max, Some(&old), &[new]).unwrap().winner, model("new"));
        assert_eq!(chosen(&max, Some(&old), &[slow]).unwrap().winner, model("old"));
    }

    #[test]
    fn of_equals_the_tie_break_decides() {
        let max = spec(Direction::Max, 0.0);
        let tie = |name, tie_break| Contender { tie_break, ..contender(name, 0.9) };
        let all = [tie("a", 0.2), tie("b", 0.7), tie("c", 0.1)];
        assert_eq!(chosen(&max, None, &all).unwrap().winner, model("b"));
    }

    #[test]
    fn luck_and_pins_keep_the_incumbent() {
        let lucky = ModelSelectorSpec { significant: true, ..spec(Direction::Max, 0.0) };
        let (old, new) = (contender("old", 0.5), contender("new", 0.6));
        let under = |spec: &ModelSelectorSpec, pinned, p| {
            let circumstances = Circumstances { pinned, p };
            choose(spec, Some(&old), std::slice::from_ref(&new), circumstances).unwrap()
        };
        assert!(under(&lucky, false, Some(0.01)).promoted);
        let found = under(&lucky, false, Some(0.2));
        assert!(!found.promoted && found.reason.contains("may be luck"), "{}", found.reason);
        assert!(under(&spec(Direction::Max, 0.0), false, Some(0.2)).promoted);
        let found = under(&lucky, true, Some(0.01));
        assert!(!found.promoted && found.reason.contains("pinned"), "{}", found.reason);
    }
}
