//! One label out of several answers, by the rule that the workflow names.

use super::dawid_skene::{Settings, dawid_skene};
use super::error::QualityError;
use super::majority::majority;
use super::votes::Votes;
use crate::domain::definition::Consensus;
use crate::domain::ids::SampleId;

/// What the votes come to for each sample, in the order of names: always a class that somebody said. `known` is the class a sample is held to be of so far: a
/// majority that is tied does not change it.
///
/// # Errors
/// [`QualityError::TooLarge`] for more samples, annotators and classes than [`dawid_skene`] takes.
pub fn consensus<'a>(
    votes: &Votes<'a>,
    by: Consensus,
    known: impl Fn(&SampleId) -> Option<u32>,
) -> Result<Vec<(&'a SampleId, u32)>, QualityError> {
    match by {
        Consensus::Majority => {
            let settled = majority(votes).into_iter().map(|of| {
                let kept = known(of.sample).filter(|_| of.tied);
                (of.sample, kept.unwrap_or(of.class))
            });
            Ok(settled.collect())
        }
        Consensus::DawidSkene => {
            let found = dawid_skene(votes, Settings::default())?;
            let settled = found.samples.iter().zip(votes.ballots()).filter_map(|(belief, said)| {
                // Where few answer for the same samples, the model may believe in what nobody said.
                let probability = |class: usize| belief.posterior.get(class).copied();
                let likeliest = said
                    .iter()
                    .map(|ballot| ballot.class)
                    .reduce(|a, b| if (probability(b), a) > (probability(a), b) { b } else { a })?;
                Some((belief.sample, u32::try_from(likeliest).ok()?))
            });
            Ok(settled.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::votes::tests::Table;
    use super::*;

    #[track_caller]
    fn check(rows: &[&str], by: Consensus, known: Option<u32>, expected: &[u32]) {
        let table = Table::of(rows);
        let found = consensus(&table.checked(3), by, |_| known).unwrap();
        let found: Vec<u32> = found.iter().map(|(_, class)| *class).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_tie_leaves_a_known_label_as_it_is() {
        check(&["01", "110"], Consensus::Majority, None, &[1, 1]);
        check(&["01", "110"], Consensus::Majority, Some(0), &[0, 1]);
    }

    #[test]
    fn nobody_is_outvoted_where_each_answers_alone() {
        // One answer a sample tells nothing of who is right, and a model of annotators may believe in anything then.
        let rows = ["0", "1", "2", "0", "1", "2", "2", "1", "0", "0"];
        check(&rows, Consensus::DawidSkene, None, &[0, 1, 2, 0, 1, 2, 2, 1, 0, 0]);
        let rows = ["0--", "-1-", "--2", "00-", "-11", "2-2", "0-1"];
        let table = Table::of(&rows);
        let found = consensus(&table.checked(3), Consensus::DawidSkene, |_| None).unwrap();
        let classes: Vec<u32> = found.iter().map(|(_, class)| *class).collect();
        assert_eq!(&classes[..6], [0, 1, 2, 0, 1, 2], "what all say of a sample is its label");
        assert!([0, 1].contains(&classes[6]));
    }

    #[test]
    fn whoever_is_wrong_more_often_counts_for_less() {
        // The third says 2 of everything. Where only he and the first speak, the first is believed.
        let rows = ["002", "112", "002", "112", "0-2", "1-2"];
        check(&rows, Consensus::DawidSkene, None, &[0, 1, 0, 1, 0, 1]);
    }
}
