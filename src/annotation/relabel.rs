//! What to ask annotators again: the labels that are most probably wrong, within a budget.
//!
//! Two witnesses speak: the votes (how sure the consensus is of its class) and a model (how probable it finds a label that it
//! suspects). Both say how probably a label is wrong, and each sees what the other cannot: a consensus knows nothing of a
//! sample that one annotator got wrong alone, a model nothing of what only people see. They are not independent (a model
//! learnt from such labels), so their doubts are not multiplied: the louder one counts.

use super::dawid_skene::Consensus;
use super::error::QualityError;
use super::majority::Majority;
use super::suspicious::LabelNoise;
use crate::domain::ids::SampleId;
use crate::metrics::share;
use std::collections::BTreeMap;

/// Who doubts a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// The annotators, who do not agree.
    Votes,
    /// A model, which would have labelled otherwise.
    Model,
}

/// A reason to ask again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Doubt<'a> {
    /// About which sample.
    pub sample: &'a SampleId,
    /// Who doubts.
    pub witness: Witness,
    /// How probably the label is wrong, in [0, 1].
    pub wrong: f64,
}

/// A sample to ask again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suggestion<'a> {
    /// Which.
    pub sample: &'a SampleId,
    /// How probably its label is wrong: the larger of what the witnesses say.
    pub wrong: f64,
    /// What the votes say, if they doubt.
    pub votes: Option<f64>,
    /// What the model says, if it doubts.
    pub model: Option<f64>,
}

/// The doubts of a consensus: samples whose class it is less sure of than `certainty` (0.9, for instance; at 0 or below
/// none, above 1 all).
pub fn unsure<'c, 'a>(
    consensus: &'c Consensus<'a>,
    certainty: f64,
) -> impl Iterator<Item = Doubt<'a>> + use<'c, 'a> {
    let doubt = |sample, sure: f64| Doubt { sample, witness: Witness::Votes, wrong: against(sure) };
    let doubted = consensus.samples.iter().filter(move |of| of.certainty() < certainty);
    doubted.map(move |of| doubt(of.sample, of.certainty()))
}

/// The doubts of a majority: samples that not all agree on, by the share of votes against. Where annotators are known well
/// enough for a [`Consensus`], [`unsure`] weighs them.
pub fn disputed<'c, 'a>(
    majority: &'c [Majority<'a>],
) -> impl Iterator<Item = Doubt<'a>> + use<'c, 'a> {
    let against = |of: &Majority<'_>| share((of.of - of.votes.min(of.of)) as u64, of.of as u64);
    let disputed = majority.iter().filter(|of| of.votes < of.of);
    disputed.map(move |of| Doubt { sample: of.sample, witness: Witness::Votes, wrong: against(of) })
}

/// The doubts of a model: the labels that it suspects, by how improbable it finds them.
pub fn suspected<'c, 'a>(
    noise: &'c LabelNoise<'a>,
) -> impl Iterator<Item = Doubt<'a>> + use<'c, 'a> {
    noise.suspects.iter().map(|of| Doubt {
        sample: of.sample,
        witness: Witness::Model,
        wrong: against(of.self_confidence),
    })
}

/// The samples to ask again, the most probably wrong first, at most `budget` of them; equals by the name of the sample,
/// whatever order doubts come in. Of several doubts of one witness about a sample the largest counts.
///
/// # Errors
/// [`QualityError::Doubt`] for a doubt outside [0, 1] or NaN.
pub fn relabel<'a>(
    doubts: impl IntoIterator<Item = Doubt<'a>>,
    budget: usize,
) -> Result<Vec<Suggestion<'a>>, QualityError> {
    let mut found: BTreeMap<&SampleId, Suggestion<'a>> = BTreeMap::new();
    for Doubt { sample, witness, wrong } in doubts {
        if !(0.0..=1.0).contains(&wrong) {
            return Err(QualityError::Doubt { sample: sample.clone(), value: wrong });
        }
        let fresh = Suggestion { sample, wrong, votes: None, model: None };
        let of = found.entry(sample).or_insert(fresh);
        of.wrong = of.wrong.max(wrong);
        let said = match witness {
            Witness::Votes => &mut of.votes,
            Witness::Model => &mut of.model,
        };
        *said = Some(said.map_or(wrong, |before| before.max(wrong)));
    }
    let mut ranked: Vec<Suggestion<'a>> = found.into_values().collect();
    // A stable sort: they are in the order of names.
    ranked.sort_by(|a, b| b.wrong.total_cmp(&a.wrong));
    ranked.truncate(budget);
    Ok(ranked)
}

/// How probable all else is; rounding may take a sum of probabilities beyond 1.
fn against(probability: f64) -> f64 {
    (1.0 - probability).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::dawid_skene::{Settings, dawid_skene};
    use super::super::majority::majority;
    use super::super::suspicious::confident;
    use super::super::votes::tests::Table;
    use super::*;
    use crate::domain::matrix::Matrix;
    use quickcheck::quickcheck;

    fn doubt(sample: &SampleId, witness: Witness, wrong: f64) -> Doubt<'_> {
        Doubt { sample, witness, wrong }
    }

    #[test]
    fn the_louder_witness_counts_and_equals_go_by_name() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(SampleId::from);
        let doubts = [
            doubt(&d, Witness::Votes, 0.5),
            doubt(&c, Witness::Model, 0.75),
            doubt(&b, Witness::Votes, 0.25),
            doubt(&b, Witness::Model, 0.5),
            doubt(&a, Witness::Votes, 0.125),
        ];
        let found = relabel(doubts, 3).unwrap();
        let names: Vec<&str> = found.iter().map(|of| of.sample.as_str()).collect();
        assert_eq!(names, ["c", "b", "d"], "a is beyond the budget");
        let b_again = Suggestion { sample: &b, wrong: 0.5, votes: Some(0.25), model: Some(0.5) };
        assert_eq!(found[1], b_again);
        assert!(relabel(doubts, 0).unwrap().is_empty());
        assert_eq!(relabel([], 9), Ok(Vec::new()));
    }

    #[test]
    fn a_doubt_that_is_no_probability_is_refused() {
        let a = SampleId::from("a");
        for wrong in [-0.1, 1.1, f64::NAN] {
            let error = relabel([doubt(&a, Witness::Model, wrong)], 1).unwrap_err();
            assert!(error.to_string().starts_with("the doubt about a is "), "{error}");
        }
    }

    #[test]
    fn votes_and_model_send_back_what_each_alone_would_miss() {
        // Annotators disagree about s004; all said 0 of s003, which the model is sure is 1.
        let table = Table::of(&["000", "111", "000", "000", "01-", "111"]);
        let votes = table.checked(2);
        let consensus = dawid_skene(&votes, Settings::default()).unwrap();
        let labels: Vec<(&SampleId, u32)> =
            consensus.samples.iter().map(|of| (of.sample, of.class)).collect();
        let ones = [0.1, 0.9, 0.1, 0.95, 0.4, 0.9_f32];
        let rows: Vec<f32> = ones.iter().flat_map(|&one| [1.0 - one, one]).collect();
        let noise = confident(&labels, &Matrix::new(6, 2, rows).unwrap()).unwrap();
        let suspects: Vec<&str> = noise.suspects.iter().map(|of| of.sample.as_str()).collect();
        assert_eq!(suspects, ["s003"]);
        let by_majority = majority(&votes);
        let doubts = disputed(&by_majority).chain(suspected(&noise));
        let found = relabel(doubts, 10).unwrap();
        let names: Vec<&str> = found.iter().map(|of| of.sample.as_str()).collect();
        assert_eq!(names, ["s003", "s004"]);
        assert_eq!((found[0].votes, found[1].votes, found[1].model), (None, Some(0.5), None));
        assert_eq!(unsure(&consensus, 0.0).count(), 0);
        assert_eq!(unsure(&consensus, 1.1).count(), 6);
        assert!(unsure(&consensus, 1.1).all(|of| (0.0..=0.5).contains(&of.wrong)));
    }

    quickcheck! {
        fn the_order_of_doubts_changes_nothing_and_a_budget_only_cuts(
            doubts: Vec<(u8, bool, u8)>, turn: usize, budget: u8
        ) -> bool {
            let names: Vec<SampleId> =
                doubts.iter().map(|(name, _, _)| format!("s{}", name % 8).into()).collect();
            let of = |(name, &(_, votes, wrong)): (_, &(u8, bool, u8))| {
                let witness = if votes { Witness::Votes } else { Witness::Model };
                doubt(name, witness, f64::from(wrong / 32) / 8.0)
            };
            let mut given: Vec<Doubt<'_>> = names.iter().zip(&doubts).map(of).collect();
            let all = relabel(given.clone(), usize::MAX).unwrap();
            let by = turn % given.len().max(1);
            given.rotate_left(by);
            given.reverse();
            let cut = relabel(given, budget.into()).unwrap();
            let worst_first = all.windows(2).all(|pair| {
                (pair[1].wrong, pair[0].sample) < (pair[0].wrong, pair[1].sample)
            });
            worst_first && cut == all[..all.len().min(budget.into())]
        }
    }
}
