//! The majority: for each sample the class that most of its annotators say. Every vote weighs the same.
//!
//! Use it where annotators are few or alike; `dawid_skene` learns whom to trust, and needs annotators who share samples.

use super::votes::{Ballot, Votes};
use crate::domain::ids::SampleId;

/// What most annotators say of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Majority<'a> {
    /// Of which sample.
    pub sample: &'a SampleId,
    /// The class with most votes.
    pub class: u32,
    /// How many votes it has; at least 1.
    pub votes: usize,
    /// How many votes there are on the sample.
    pub of: usize,
    /// Whether another class has as many votes, so that `class` is a convention rather than a majority.
    pub tied: bool,
}

/// The majority of each sample, in the order of the samples' names.
///
/// Of tied classes that one is taken which has more votes over all samples (the likelier before anybody looks), and the
/// lower number where those are equal, too: the same whatever order votes come in. Takes `O(n log n)`.
#[must_use]
pub fn majority<'a>(votes: &Votes<'a>) -> Vec<Majority<'a>> {
    let mut overall = vec![0_u64; votes.classes()];
    for ballot in votes.ballots().flatten() {
        if let Some(count) = overall.get_mut(ballot.class) {
            *count += 1;
        }
    }
    let frequency = |class: usize| overall.get(class).copied().unwrap_or(0);
    let samples = votes.samples().iter().zip(votes.ballots());
    samples.filter_map(|(&sample, ballots)| of_one(sample, ballots, frequency)).collect()
}

fn of_one<'a>(
    sample: &'a SampleId,
    ballots: &[Ballot],
    frequency: impl Fn(usize) -> u64,
) -> Option<Majority<'a>> {
    let mut said: Vec<usize> = ballots.iter().map(|ballot| ballot.class).collect();
    said.sort_unstable();
    let counted =
        || said.chunk_by(|a, b| a == b).filter_map(|alike| Some((*alike.first()?, alike.len())));
    // The last of equals wins `max_by_key`, hence backwards: the lowest class is the last.
    let ranked = counted().map(|(class, count)| (count, frequency(class), class));
    let (votes, _, class) = ranked.rev().max_by_key(|&(count, frequency, _)| (count, frequency))?;
    let tied = counted().filter(|&(_, count)| count == votes).count() > 1;
    let class = u32::try_from(class).ok()?;
    Some(Majority { sample, class, votes, of: said.len(), tied })
}

#[cfg(test)]
mod tests {
    use super::super::votes::Vote;
    use super::super::votes::tests::Table;
    use super::*;
    use quickcheck::quickcheck;

    #[track_caller]
    fn check(rows: &[&str], expected: &[(u32, usize, usize, bool)]) {
        let table = Table::of(rows);
        let found = majority(&table.checked(4));
        let found: Vec<_> = found.iter().map(|m| (m.class, m.votes, m.of, m.tied)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn most_votes_win() {
        check(&["011", "2--", "33-"], &[(1, 2, 3, false), (2, 1, 1, false), (3, 2, 2, false)]);
        check(&[], &[]);
    }

    #[test]
    fn a_tie_is_told_and_goes_to_the_class_that_is_said_more_often_then_to_the_lower() {
        check(&["01", "11"], &[(1, 1, 2, true), (1, 2, 2, false)]);
        check(&["32", "23"], &[(2, 1, 2, true), (2, 1, 2, true)]);
        check(&["3210"], &[(0, 1, 4, true)]);
    }

    quickcheck! {
        fn the_order_of_votes_changes_nothing(said: Vec<(u8, u8)>, turn: usize) -> bool {
            let rows: Vec<String> =
                said.iter().map(|(a, b)| format!("{}{}{}", a % 4, b % 4, a / 64)).collect();
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            let table = Table::of(&rows);
            let mut turned: Vec<Vote<'_>> = table.votes().collect();
            let by = turn % turned.len().max(1);
            turned.rotate_left(by);
            turned.reverse();
            majority(&table.checked(4)) == majority(&Votes::new(turned, 4).unwrap())
        }
    }
}
