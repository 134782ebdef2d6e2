//! Votes: who said which class of which sample. Checked and put in order once, so that everything behind needs no care.
//!
//! Owns no opinion about who is right: see `agreement`, `majority` and `dawid_skene`.

use super::error::QualityError;
use crate::domain::ids::SampleId;
use crate::domain::label::Label;
use std::collections::{BTreeMap, BTreeSet};

/// More classes than any label set we know of, and few enough to count each.
pub const CLASSES_MAX: usize = 65_536;

/// What one annotator said of one sample. Ordered by its fields as they stand, which is how votes are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote<'a> {
    /// Of which sample.
    pub sample: &'a SampleId,
    /// Who said it.
    pub annotator: &'a str,
    /// The class, an index into the run's class list.
    pub class: u32,
}

/// The votes that these answers are; an answer that is no class is none.
pub fn of_answers<'a>(
    answers: impl IntoIterator<Item = (&'a SampleId, &'a str, Label)>,
) -> impl Iterator<Item = Vote<'a>> {
    answers.into_iter().filter_map(|(sample, annotator, label)| match label {
        Label::Class(class) => Some(Vote { sample, annotator, class }),
        Label::Classes(_) | Label::Value(_) | Label::Mask(_) | Label::Erased(_) => None,
    })
}

/// All votes on a set of samples: each in its range, no annotator twice on a sample. Samples and annotators are in the
/// order of their names, so nothing that is worked out here depends on the order in which votes came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Votes<'a> {
    classes: usize,
    samples: Vec<&'a SampleId>,
    annotators: Vec<&'a str>,
    /// By sample, then by annotator.
    ballots: Vec<Ballot>,
    /// For each sample, where its ballots end.
    ends: Vec<usize>,
}

/// A vote among others on the same sample. Invariant: both numbers are below the counts of their [`Votes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ballot {
    pub(super) annotator: usize,
    pub(super) class: usize,
}

impl<'a> Votes<'a> {
    /// Checks `votes`, given in any order, for classes `0..classes`. No votes at all are fine. Takes `O(n log n)`.
    ///
    /// # Errors
    /// [`QualityError::Classes`] unless there are 2 to [`CLASSES_MAX`]; [`QualityError::VoteOutside`] for a class outside;
    /// [`QualityError::VotedTwice`] if an annotator labelled a sample twice, even alike. Of several faults it is the first
    /// in the order of samples, then of annotators.
    pub fn new(
        votes: impl IntoIterator<Item = Vote<'a>>,
        classes: usize,
    ) -> Result<Self, QualityError> {
        let mut votes: Vec<Vote<'a>> = votes.into_iter().collect();
        votes.sort_unstable();
        for (first, second) in votes.iter().zip(votes.iter().skip(1)) {
            if (first.sample, first.annotator) == (second.sample, second.annotator) {
                return Err(QualityError::VotedTwice {
                    sample: first.sample.clone(),
                    annotator: first.annotator.to_owned(),
                    first: first.class,
                    second: second.class,
                });
            }
        }
        Self::of_sorted(&votes, classes)
    }

    /// As [`Votes::new`], of votes in order and with repetitions let through.
    pub(super) fn of_sorted(votes: &[Vote<'a>], classes: usize) -> Result<Self, QualityError> {
        let max = highest(classes)?;
        let annotators: BTreeSet<&str> = votes.iter().map(|vote| vote.annotator).collect();
        let number: BTreeMap<&str, usize> =
            annotators.iter().enumerate().map(|(number, &name)| (name, number)).collect();
        let mut samples = Vec::new();
        let mut ballots = Vec::with_capacity(votes.len());
        let mut ends = Vec::new();
        for group in votes.chunk_by(|a, b| a.sample == b.sample) {
            for vote in group {
                let class = usize::try_from(vote.class).ok().filter(|&class| class < classes);
                let (Some(class), Some(&annotator)) = (class, number.get(vote.annotator)) else {
                    return Err(QualityError::VoteOutside {
                        sample: vote.sample.clone(),
                        annotator: vote.annotator.to_owned(),
                        class: vote.class,
                        max,
                    });
                };
                ballots.push(Ballot { annotator, class });
            }
            samples.extend(group.first().map(|vote| vote.sample));
            ends.push(ballots.len());
        }
        Ok(Self { classes, samples, annotators: annotators.into_iter().collect(), ballots, ends })
    }

    /// How many classes there are.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// The samples that were voted on, by name.
    #[must_use]
    pub fn samples(&self) -> &[&'a SampleId] {
        &self.samples
    }

    /// Whoever voted, by name.
    #[must_use]
    pub fn annotators(&self) -> &[&'a str] {
        &self.annotators
    }

    /// The ballots of each sample, in the order of [`Votes::samples`].
    pub(super) fn ballots(&self) -> impl Iterator<Item = &[Ballot]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.ballots.get(start..end).unwrap_or_default())
    }
}

/// The highest of so many classes.
///
/// # Errors
/// [`QualityError::Classes`] unless there are 2 to [`CLASSES_MAX`].
pub(super) fn highest(classes: usize) -> Result<u32, QualityError> {
    match u32::try_from(classes) {
        Ok(count) if (2..=CLASSES_MAX).contains(&classes) => Ok(count - 1),
        _ => Err(QualityError::Classes { classes }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Votes that own their names: a row for each sample, `-` where an annotator said nothing, else the class as a digit.
    /// Samples are called `s000`, `s001` and so on, annotators `a`, `b` and so on.
    pub(in crate::annotation) struct Table(pub(in super::super) Vec<(SampleId, String, u32)>);

    impl Table {
        pub(in crate::annotation) fn of(rows: &[&str]) -> Self {
            let cell = |(row, column, said): (usize, usize, char)| {
                let annotator = char::from(b'a' + u8::try_from(column).unwrap());
                let sample = SampleId::from(format!("s{row:03}"));
                Some((sample, annotator.to_string(), said.to_digit(10)?))
            };
            let cells = rows.iter().enumerate().flat_map(|(row, said)| {
                said.chars().enumerate().map(move |(column, said)| (row, column, said))
            });
            Self(cells.filter_map(cell).collect())
        }

        pub(in crate::annotation) fn votes(&self) -> impl Iterator<Item = Vote<'_>> {
            self.0.iter().map(|(sample, annotator, class)| Vote {
                sample,
                annotator,
                class: *class,
            })
        }

        pub(in crate::annotation) fn checked(&self, classes: usize) -> Votes<'_> {
            Votes::new(self.votes(), classes).unwrap()
        }
    }

    #[test]
    fn votes_are_put_in_the_order_of_names_whatever_order_they_came_in() {
        let table = Table::of(&["0-2", "-1-", "220"]);
        let votes = table.checked(3);
        assert_eq!(
            votes.samples().iter().map(|s| s.as_str()).collect::<Vec<_>>(),
            ["s000", "s001", "s002"]
        );
        assert_eq!(votes.annotators(), ["a", "b", "c"]);
        let said: Vec<Vec<(usize, usize)>> = votes
            .ballots()
            .map(|of| of.iter().map(|ballot| (ballot.annotator, ballot.class)).collect())
            .collect();
        assert_eq!(said, [vec![(0, 0), (2, 2)], vec![(1, 1)], vec![(0, 2), (1, 2), (2, 0)]]);
        let mut backwards: Vec<Vote<'_>> = table.votes().collect();
        backwards.reverse();
        assert_eq!(Votes::new(backwards, 3).unwrap(), votes);
    }

    #[test]
    fn nobody_need_have_voted() {
        let votes = Votes::new([], 2).unwrap();
        assert!(votes.samples().is_empty() && votes.annotators().is_empty());
        assert_eq!(votes.ballots().count(), 0);
    }

    #[test]
    fn a_wrong_vote_is_named() {
        let table = Table::of(&["01", "13"]);
        let error = Votes::new(table.votes(), 3).unwrap_err();
        let expected = QualityError::VoteOutside {
            sample: "s001".into(),
            annotator: "b".into(),
            class: 3,
            max: 2,
        };
        assert_eq!(error, expected);
        assert_eq!(
            error.to_string(),
            "b says that s001 is of class 3, but classes go from 0 to 2: correct the vote, or give all classes"
        );
        for classes in [0, 1, CLASSES_MAX + 1, usize::MAX] {
            assert_eq!(Votes::new(table.votes(), classes), Err(QualityError::Classes { classes }));
        }
    }

    #[test]
    fn an_annotator_has_one_vote_on_a_sample_even_if_both_are_alike() {
        for (first, second) in [(0, 1), (1, 1)] {
            let mut table = Table::of(&["01", "1-"]);
            table.0.push(("s000".into(), "b".into(), first));
            let error = Votes::new(table.votes(), 2).unwrap_err();
            let twice = QualityError::VotedTwice {
                sample: "s000".into(),
                annotator: "b".into(),
                first,
                second,
            };
            assert_eq!(error, twice);
        }
    }
}
