//! How far annotators agree, and how far they would by chance.
//!
//! | measure | annotators | says |
//! |---|---|---|
//! | [`Agreement::observed`] | two or more | how often two annotators of a sample say the same |
//! | [`cohen`]'s kappa | two, by name | the same, corrected for chance, each with their own habits |
//! | [`fleiss`]' kappa | two or more, not the same on every sample | the same, corrected for chance, all with the same habits |
//!
//! A kappa of 1 is full agreement, 0 what chance gives, below 0 less than that. It is low where nearly all samples are of
//! one class, however careful the annotators are: read it beside the observed agreement. It does not say who is right.

use super::votes::Votes;
use crate::metrics::share;

/// How far annotators agree on the samples that several of them labelled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// How many samples were labelled by at least two of them; at least 1.
    pub samples: u64,
    /// How often two of them say the same of a sample, in [0, 1].
    pub observed: f64,
    /// How often they would if each drew labels at random as often as they use them, in (0, 1].
    pub expected: f64,
}

impl Agreement {
    /// `(observed - expected) / (1 - expected)`: at most 1, and for two annotators at least -1. `None` where all say one
    /// class only, since chance would agree as well.
    #[must_use]
    pub fn kappa(&self) -> Option<f64> {
        let room = 1.0 - self.expected;
        (room > 0.0).then(|| (self.observed - self.expected) / room)
    }
}

/// How far the annotators `first` and `second` agree on the samples that both labelled; `None` if there are none.
///
/// Expected agreement is `sum over classes of p1 p2`, where `p1` and `p2` are how often each uses the class on these
/// samples. J. Cohen (1960), "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20,
/// 37-46. Takes one pass over the votes.
#[must_use]
pub fn cohen(votes: &Votes<'_>, first: &str, second: &str) -> Option<Agreement> {
    let first = votes.annotators().binary_search(&first).ok()?;
    let second = votes.annotators().binary_search(&second).ok()?;
    let (mut samples, mut same) = (0, 0);
    let mut used = vec![(0, 0); votes.classes()];
    for ballots in votes.ballots() {
        let said = |by| ballots.iter().find(|b| b.annotator == by).map(|b| b.class);
        let (Some(one), Some(other)) = (said(first), said(second)) else { continue };
        samples += 1;
        same += u64::from(one == other);
        if let Some((count, _)) = used.get_mut(one) {
            *count += 1;
        }
        if let Some((_, count)) = used.get_mut(other) {
            *count += 1;
        }
    }
    let chance = |&(one, other): &(u64, u64)| share(one, samples) * share(other, samples);
    let expected = used.iter().map(chance).sum();
    (samples > 0).then(|| Agreement { samples, observed: share(same, samples), expected })
}

/// How far all annotators agree; `None` if no sample has two labels.
///
/// J. L. Fleiss (1971), "Measuring nominal scale agreement among many raters", Psychological Bulletin 76, 378-382, in the
/// generalisation to samples with different numbers of labels by K. L. Gwet (2014), "Handbook of inter-rater reliability",
/// 4th edition; where every sample has the same number of labels it is Fleiss' own. With `r` labels of a sample, `r_k` of
/// them for class `k`:
///
/// * observed agreement is the mean of `sum_k r_k (r_k - 1) / (r (r - 1))` over the samples with `r >= 2`;
/// * expected agreement is `sum_k p_k^2`, where `p_k` is the mean of `r_k / r` over all samples, those with one label too.
#[must_use]
pub fn fleiss(votes: &Votes<'_>) -> Option<Agreement> {
    let (mut samples, mut agreed) = (0_u64, 0.0);
    let mut used = vec![0.0; votes.classes()];
    let mut said: Vec<usize> = Vec::new();
    for ballots in votes.ballots() {
        said.clear();
        said.extend(ballots.iter().map(|ballot| ballot.class));
        said.sort_unstable();
        let labels = said.len() as u64;
        let mut pairs = 0;
        for class in said.chunk_by(|a, b| a == b) {
            let count = class.len() as u64;
            pairs += count * (count - 1);
            if let Some(sum) = class.first().and_then(|&class| used.get_mut(class)) {
                *sum += share(count, labels);
            }
        }
        if labels >= 2 {
            samples += 1;
            agreed += share(pairs, labels * (labels - 1));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of samples")]
    let (of, all) = (samples as f64, votes.samples().len() as f64);
    let expected = used.iter().map(|sum| (sum / all) * (sum / all)).sum();
    (samples > 0).then(|| Agreement { samples, observed: agreed / of, expected })
}

#[cfg(test)]
mod tests {
    use super::super::votes::tests::Table;
    use super::*;
    use crate::domain::chance::Chance;
    use crate::domain::ids::CycleNumber;
    use quickcheck::quickcheck;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    /// Rows of votes from a table of counts: for each row and column, how many say so.
    fn rows(counts: &[[usize; 5]]) -> Vec<String> {
        let row = |counts: &[usize; 5]| (0..5).map(|k| k.to_string().repeat(counts[k])).collect();
        counts.iter().map(row).collect()
    }

    fn fleiss_of(rows: &[impl AsRef<str>]) -> Option<Agreement> {
        let rows: Vec<&str> = rows.iter().map(AsRef::as_ref).collect();
        fleiss(&Table::of(&rows).checked(5))
    }

    /// The example of Fleiss (1971): six psychiatrists' diagnoses (depression, personality disorder, schizophrenia,
    /// neurosis, other) of 30 patients. He prints 0.430.
    #[test]
    fn the_psychiatrists_of_fleiss_agree_as_published() {
        let found = fleiss_of(&rows(&[
            [0, 0, 0, 6, 0],
            [0, 3, 0, 0, 3],
            [0, 1, 4, 0, 1],
            [0, 0, 0, 0, 6],
            [0, 3, 0, 3, 0],
            [2, 0, 4, 0, 0],
            [0, 0, 4, 0, 2],
            [2, 0, 3, 1, 0],
            [2, 0, 0, 4, 0],
            [0, 0, 0, 0, 6],
            [1, 0, 0, 5, 0],
            [1, 1, 0, 4, 0],
            [0, 3, 3, 0, 0],
            [1, 0, 0, 5, 0],
            [0, 2, 0, 3, 1],
            [0, 0, 5, 0, 1],
            [3, 0, 0, 1, 2],
            [5, 1, 0, 0, 0],
            [0, 2, 0, 4, 0],
            [1, 0, 2, 0, 3],
            [0, 0, 0, 0, 6],
            [0, 1, 0, 5, 0],
            [0, 2, 0, 1, 3],
            [2, 0, 0, 4, 0],
            [1, 0, 0, 4, 1],
            [0, 5, 0, 1, 0],
            [4, 0, 0, 0, 2],
            [0, 2, 0, 4, 0],
            [1, 0, 5, 0, 0],
            [0, 0, 0, 0, 6],
        ]))
        .unwrap();
        assert_eq!(found.samples, 30);
        near(found.kappa().unwrap(), 0.430_244_5, 1e-7);
    }

    /// Four annotators, twelve samples, some labels missing: an example of Gwet's handbook, for which his R package irrCAC
    /// gives 0.76117 (observed 0.81818, expected 0.23872).
    #[test]
    fn samples_may_have_different_numbers_of_labels() {
        let found = fleiss_of(&[
            "00-0", "1121", "2222", "2222", "1111", "0123", "3333", "0010", "1111", "-444", "--00",
            "--2-",
        ])
        .unwrap();
        assert_eq!(found.samples, 11);
        near(found.observed, 0.818_18, 5e-6);
        near(found.expected, 0.238_72, 5e-6);
        near(found.kappa().unwrap(), 0.761_17, 5e-6);
    }

    /// Votes of two annotators from their table of counts.
    fn cohen_of(counts: &[[usize; 3]; 3]) -> Agreement {
        let cell = |row: usize, column: usize| vec![format!("{row}{column}"); counts[row][column]];
        let rows: Vec<String> = (0..9).flat_map(|i| cell(i / 3, i % 3)).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        cohen(&Table::of(&rows).checked(3), "a", "b").unwrap()
    }

    /// Cohen's example of two judges who sort 200 patients into three diagnoses: he prints 0.492. The other is an example
    /// of SAS, PROC FREQ: 0.4842.
    #[test]
    fn two_judges_agree_as_published() {
        let judges = cohen_of(&[[88, 14, 18], [10, 40, 10], [2, 6, 12]]);
        assert_eq!(judges.samples, 200);
        near(judges.observed, 0.70, 1e-12);
        near(judges.expected, 0.41, 1e-12);
        near(judges.kappa().unwrap(), 0.492, 5e-4);
        near(cohen_of(&[[0, 4, 1], [0, 8, 0], [0, 1, 5]]).kappa().unwrap(), 0.4842, 5e-5);
    }

    #[test]
    fn what_cannot_be_told_is_none_rather_than_nan() {
        let table = Table::of(&["0--", "-1-", "--0"]);
        assert_eq!(fleiss(&table.checked(2)), None, "no sample has two labels");
        assert_eq!(cohen(&table.checked(2), "a", "b"), None, "they share no sample");
        assert_eq!(cohen(&table.checked(2), "a", "nobody"), None);
        assert_eq!(fleiss(&Votes::new([], 2).unwrap()), None);
        let alike = Table::of(&["000", "00-", "000"]);
        for found in [fleiss(&alike.checked(2)), cohen(&alike.checked(2), "a", "b")] {
            let found = found.unwrap();
            near(found.observed, 1.0, 0.0);
            assert_eq!(found.kappa(), None, "chance would agree as well");
        }
    }

    #[test]
    fn annotators_who_guess_agree_as_chance_would() {
        let chance = Chance { seed: 3, cycle: CycleNumber(0), purpose: "guesses" };
        let guess = |row: usize, by: usize| match chance.unit(&format!("{row} {by}")) {
            below if below < 0.6 => '0',
            below if below < 0.9 => '1',
            _ => '2',
        };
        let rows: Vec<String> =
            (0..5000).map(|row| (0..4).map(|by| guess(row, by)).collect()).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let table = Table::of(&rows);
        near(fleiss(&table.checked(3)).unwrap().kappa().unwrap(), 0.0, 0.02);
        near(cohen(&table.checked(3), "b", "d").unwrap().kappa().unwrap(), 0.0, 0.04);
    }

    quickcheck! {
        fn full_agreement_is_one_and_kappas_are_within_bounds(said: Vec<(u8, u8)>) -> bool {
            let said: Vec<(u8, u8)> = said.iter().map(|(a, b)| (a % 3, b % 3)).collect();
            let rows = |pair: fn(&(u8, u8)) -> String| said.iter().map(pair).collect::<Vec<_>>();
            let alike = rows(|(a, _)| format!("{a}{a}{a}"));
            let free = rows(|(a, b)| format!("{a}{b}{}", a ^ b & 1));
            let kappas = |rows: Vec<String>| {
                let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
                let table = Table::of(&rows);
                let votes = table.checked(4);
                [fleiss(&votes), cohen(&votes, "a", "c")].map(|found| found.and_then(|f| f.kappa()))
            };
            kappas(alike).iter().flatten().all(|kappa| (kappa - 1.0).abs() < 1e-9)
                && kappas(free).iter().flatten().all(|kappa| (-1.0..=1.0 + 1e-9).contains(kappa))
        }

        /// Fleiss' kappa of two annotators on every sample counts pairs one by one.
        fn agreement_is_what_counting_pairs_gives(said: Vec<Vec<u8>>) -> bool {
            let rows: Vec<String> = said
                .iter()
                .map(|row| row.iter().take(6).map(|k| char::from(b'0' + k % 4)).collect())
                .collect();
            let kept: Vec<&str> = rows.iter().map(String::as_str).collect();
            let table = Table::of(&kept);
            let found = fleiss(&table.checked(4));
            let mut shares = Vec::new();
            for row in rows.iter().filter(|row| row.len() > 1) {
                let row = row.as_bytes();
                let pairs = (0..row.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
                let same: Vec<f64> =
                    pairs.map(|(i, j)| f64::from(u8::from(row[i] == row[j]))).collect();
                shares.push(same.iter().sum::<f64>() / same.len() as f64);
            }
            match found {
                None => shares.is_empty(),
                Some(found) => {
                    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
                    (found.observed - mean).abs() < 1e-12 && found.samples == shares.len() as u64
                }
            }
        }
    }
}
