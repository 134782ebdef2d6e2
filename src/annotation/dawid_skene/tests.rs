//! Dawid and Skene's own example, the model written naively, and crowds whose truth is known.

use super::super::majority::majority;
use super::super::votes::Vote;
use super::super::votes::tests::Table;
use super::*;
use crate::domain::chance::Chance;
use crate::domain::ids::CycleNumber;
use quickcheck::quickcheck;

const EXACT: Settings = Settings { smoothing: 0.0, tolerance: 1e-12, rounds_max: 10_000 };

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

/// Table 1 of the paper: five anaesthetists say how fit each of 45 patients is for an operation, from 1 to 4. The first,
/// here in the first three columns, saw each form three times.
const PATIENTS: [&str; 45] = [
    "1111111", "3334334", "1122122", "2223121", "2223222", "2223322", "1222111", "3333433",
    "2222223", "2322223", "4444444", "2223343", "1111111", "2223212", "1211111", "1112111",
    "1111111", "1111111", "2222221", "2221322", "2222222", "2222221", "2223222", "2212222",
    "1111111", "1111111", "2322222", "1111111", "1111111", "1121121", "1111111", "3333233",
    "1111111", "2222222", "2223232", "4334343", "2212232", "2323233", "3333432", "1111111",
    "1111111", "1212111", "2322222", "1211111", "2222222",
];

/// The paper's votes, with grades from 0: the first anaesthetist is one annotator who voted three times.
fn patients() -> Table {
    let mut table = Table::of(&PATIENTS);
    for (_, annotator, class) in &mut table.0 {
        *class -= 1;
        if ["b", "c"].contains(&annotator.as_str()) {
            "a".clone_into(annotator);
        }
    }
    table
}

#[test]
fn the_anaesthetists_of_the_paper_are_estimated_as_published() {
    let table = patients();
    let mut votes: Vec<Vote<'_>> = table.votes().collect();
    votes.sort_unstable();
    let votes = Votes::of_sorted(&votes, 4).unwrap();
    let found = dawid_skene(&votes, EXACT).unwrap();
    assert!(found.converged);
    for (prior, published) in found.priors.iter().zip([0.40, 0.42, 0.11, 0.07]) {
        near(*prior, published, 5e-3);
    }
    // The first anaesthetist's confusions, as published.
    let first = &found.annotators[0];
    assert_eq!((first.name, first.votes), ("a", 135));
    let published = [
        [0.89, 0.11, 0.00, 0.00],
        [0.07, 0.88, 0.05, 0.00],
        [0.00, 0.34, 0.66, 0.00],
        [0.00, 0.00, 0.56, 0.44],
    ];
    for (row, published) in first.confusion.rows().zip(published) {
        for (cell, published) in row.iter().zip(published) {
            near(*cell, published, 6e-3);
        }
    }
    // Patient 36 got grades 4, 3, 3, 4, 3, 4, 3: most say 3, but those who are to be believed say 4.
    assert_eq!(found.samples[35].sample.as_str(), "s035");
    assert_eq!(found.samples[35].class, 3);
    near(found.samples[35].certainty(), 1.0, 1e-3);
    near(found.samples[37].posterior[2], 0.979, 5e-4);
    // From the same steps in another language, to where they stand still.
    near(found.log_likelihood, -192.890_881_214_292_68, 1e-8);
    near(found.priors[1], 0.421_983_391_917_798_6, 1e-8);
}

/// The model as the paper writes it: products of probabilities, every cell of every table, no logarithms.
fn naive(
    rows: &[Vec<Option<usize>>],
    classes: usize,
    smoothing: f64,
    rounds: u32,
) -> Vec<Vec<f64>> {
    let annotators = rows.iter().map(Vec::len).max().unwrap_or(0);
    let even = |row: Vec<f64>| {
        let sum: f64 = row.iter().sum();
        row.iter().map(|x| if sum > 0.0 { x / sum } else { 1.0 / row.len() as f64 }).collect()
    };
    let said = |row: &[Option<usize>], by: usize, class| row.get(by) == Some(&Some(class));
    let count =
        |row: &[Option<usize>], class| row.iter().filter(|c| **c == Some(class)).count() as f64;
    let start = |row: &Vec<Option<usize>>| even((0..classes).map(|j| count(row, j)).collect());
    let mut t: Vec<Vec<f64>> = rows.iter().map(start).collect();
    for _ in 0..rounds {
        let sum = |j: usize| smoothing + t.iter().map(|t| t[j]).sum::<f64>();
        let p: Vec<f64> = even((0..classes).map(sum).collect());
        let cell = |by: usize, j: usize, l: usize| {
            let of = rows.iter().zip(&t).filter(|(row, _)| said(row, by, l));
            smoothing + of.map(|(_, t)| t[j]).sum::<f64>()
        };
        let c: Vec<Vec<Vec<f64>>> = (0..annotators)
            .map(|by| {
                (0..classes).map(|j| even((0..classes).map(|l| cell(by, j, l)).collect())).collect()
            })
            .collect();
        let weight = |row: &Vec<Option<usize>>, j: usize| {
            let votes = row.iter().enumerate().filter_map(|(by, said)| Some((by, (*said)?)));
            p[j] * votes.map(|(by, l)| c[by][j][l]).product::<f64>()
        };
        t = rows.iter().map(|row| even((0..classes).map(|j| weight(row, j)).collect())).collect();
    }
    t
}

/// Up to 12 samples by up to 5 annotators, one in four of whom says nothing.
fn small(said: &[Vec<u8>]) -> (Vec<Vec<Option<usize>>>, Table) {
    let vote = |said: &u8| (said % 4 < 3).then_some(usize::from(said / 4 % 3));
    let rows: Vec<Vec<Option<usize>>> = said
        .iter()
        .map(|row| row.iter().take(5).map(vote).collect())
        .filter(|row: &Vec<Option<usize>>| row.iter().any(Option::is_some))
        .take(12)
        .collect();
    let letter = |said: &Option<usize>| said.map_or_else(|| "-".to_owned(), |c| c.to_string());
    let text: Vec<String> = rows.iter().map(|row| row.iter().map(letter).collect()).collect();
    let text: Vec<&str> = text.iter().map(String::as_str).collect();
    (rows, Table::of(&text))
}

quickcheck! {
    fn it_is_the_model_written_naively(said: Vec<Vec<u8>>, rounds: u8) -> bool {
        let (rows, table) = small(&said);
        let rounds = u32::from(rounds % 20) + 1;
        [0.0, 0.01, 1.0].into_iter().all(|smoothing| {
            let settings = Settings { smoothing, tolerance: 0.0, rounds_max: rounds };
            let found = dawid_skene(&table.checked(3), settings).unwrap();
            // It stops early where nothing moves any more.
            let expected = naive(&rows, 3, smoothing, found.rounds);
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9;
            found.samples.len() == expected.len()
                && found.samples.iter().zip(&expected).all(|(found, row)| found.posterior.iter().zip(row).all(close))
        })
    }

    fn every_round_explains_the_votes_better(said: Vec<Vec<u8>>) -> bool {
        let (_, table) = small(&said);
        let after = |rounds_max| {
            let settings = Settings { smoothing: 0.0, tolerance: 0.0, rounds_max };
            dawid_skene(&table.checked(3), settings).unwrap().log_likelihood
        };
        let likelihoods: Vec<f64> = (1..12).map(after).collect();
        likelihoods.iter().all(|l| l.is_finite() && *l <= 1e-9)
            && likelihoods.windows(2).all(|pair| pair[1] >= pair[0] - 1e-9)
    }

    fn the_order_of_votes_changes_no_bit(said: Vec<Vec<u8>>, turn: usize) -> bool {
        let (_, table) = small(&said);
        let mut turned: Vec<Vote<'_>> = table.votes().collect();
        let by = turn % turned.len().max(1);
        turned.rotate_left(by);
        turned.reverse();
        let settings = Settings::default();
        dawid_skene(&table.checked(3), settings).unwrap()
            == dawid_skene(&Votes::new(turned, 3).unwrap(), settings).unwrap()
    }

    fn all_that_is_returned_is_a_distribution(said: Vec<Vec<u8>>) -> bool {
        let (_, table) = small(&said);
        let found = dawid_skene(&table.checked(4), Settings::default()).unwrap();
        let whole = |row: &[f64]| {
            (row.iter().sum::<f64>() - 1.0).abs() < 1e-9 && row.iter().all(|p| (0.0..=1.0 + 1e-9).contains(p))
        };
        whole(&found.priors)
            && found.samples.iter().all(|of| whole(&of.posterior))
            && found.annotators.iter().all(|of| {
                of.confusion.rows().all(whole) && of.votes > 0 && (0.0..=1.0).contains(&of.accuracy)
            })
    }
}

/// 900 samples of three classes, and a crowd: each annotator says the truth with the probability in `skill`, else what
/// `guess` makes of a uniform number.
struct Crowd {
    truth: Vec<u32>,
    table: Table,
}

fn crowd(seed: u64, skill: &[f64], guess: impl Fn(f64) -> u32) -> Crowd {
    let chance = Chance { seed, cycle: CycleNumber(0), purpose: "crowd" };
    let mut crowd = Crowd { truth: Vec::new(), table: Table(Vec::new()) };
    for row in 0..900 {
        let truth = any_class(chance.unit(&format!("truth {row}")));
        crowd.truth.push(truth);
        for (by, &skill) in skill.iter().enumerate() {
            let knows = chance.unit(&format!("knows {row} {by}")) < skill;
            let guess = guess(chance.unit(&format!("guess {row} {by}")));
            let said = if knows { truth } else { guess };
            crowd.table.0.push((format!("s{row:03}").into(), by.to_string(), said));
        }
    }
    crowd
}

fn any_class(unit: f64) -> u32 {
    u32::from(unit >= 1.0 / 3.0) + u32::from(unit >= 2.0 / 3.0)
}

impl Crowd {
    fn right(&self, labels: impl Iterator<Item = u32>) -> f64 {
        let right = labels.zip(&self.truth).filter(|(label, truth)| label == *truth).count();
        right as f64 / self.truth.len() as f64
    }
}

#[test]
fn spammers_outvote_a_majority_but_not_the_model() {
    // One who knows, two who often do, and two who say 0 whatever they see.
    for seed in 0..5 {
        let crowd = crowd(seed, &[0.9, 0.6, 0.6, 0.0, 0.0], |_| 0);
        let votes = crowd.table.checked(3);
        let by_majority = crowd.right(majority(&votes).iter().map(|m| m.class));
        let found = dawid_skene(&votes, Settings::default()).unwrap();
        let by_model = crowd.right(found.samples.iter().map(|of| of.class));
        assert!(found.converged, "{} rounds", found.rounds);
        assert!(by_model > 0.9 && by_model > by_majority + 0.1, "{by_model} against {by_majority}");
        let accuracies: Vec<f64> = found.annotators.iter().map(|a| a.accuracy).collect();
        assert!(accuracies[0] > accuracies[1].max(accuracies[2]), "{accuracies:?}");
        assert!(
            accuracies[1].min(accuracies[2]) > accuracies[3].max(accuracies[4]),
            "{accuracies:?}"
        );
        // Whatever the truth, a spammer says 0: which is why the votes weigh nothing.
        let spammer = &found.annotators[4];
        assert!(
            (0..3).all(|class| spammer.confusion.at(class, 0) > 0.99),
            "{:?}",
            spammer.confusion
        );
    }
}

#[test]
fn one_annotator_who_guesses_costs_a_majority_more_than_the_model() {
    let (mut majorities, mut models) = (0.0, 0.0);
    for seed in 0..5 {
        let crowd = crowd(seed, &[0.7, 0.6, 0.6, 0.0], any_class);
        let votes = crowd.table.checked(3);
        let found = dawid_skene(&votes, Settings::default()).unwrap();
        majorities += crowd.right(majority(&votes).iter().map(|m| m.class)) / 5.0;
        models += crowd.right(found.samples.iter().map(|of| of.class)) / 5.0;
        // A third of what they do not know is guessed right.
        for (annotator, skill) in found.annotators.iter().zip([0.7, 0.6, 0.6, 0.0]) {
            near(annotator.accuracy, skill + (1.0 - skill) / 3.0, 0.08);
        }
    }
    assert!(models > majorities + 0.01, "{models} against {majorities}");
}

#[test]
fn full_agreement_is_certain_and_nothing_at_all_is_fine() {
    let table = Table::of(&["000", "111", "222", "00-"]);
    let found = dawid_skene(&table.checked(3), Settings::default()).unwrap();
    assert_eq!(found.samples.iter().map(|of| of.class).collect::<Vec<_>>(), [0, 1, 2, 0]);
    assert!(found.samples.iter().all(|of| of.certainty() > 0.999));
    assert!(found.annotators.iter().all(|of| of.accuracy > 0.999));
    for smoothing in [0.0, 0.01] {
        let settings = Settings { smoothing, ..Settings::default() };
        let nothing = dawid_skene(&Votes::new([], 4).unwrap(), settings).unwrap();
        assert!(nothing.samples.is_empty() && nothing.annotators.is_empty() && nothing.converged);
        near(nothing.priors[3], 0.25, 1e-12);
    }
}

#[test]
fn a_fit_that_was_cut_short_says_so() {
    let table = patients();
    let mut votes: Vec<Vote<'_>> = table.votes().collect();
    votes.sort_unstable();
    let votes = Votes::of_sorted(&votes, 4).unwrap();
    let found = dawid_skene(&votes, Settings { rounds_max: 2, ..EXACT }).unwrap();
    assert_eq!((found.rounds, found.converged), (2, false));
}

#[test]
fn settings_outside_their_range_are_refused_by_name() {
    let table = Table::of(&["01"]);
    let votes = table.checked(2);
    let refused = |settings| match dawid_skene(&votes, settings) {
        Err(QualityError::Setting { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let normal = Settings::default();
    assert_eq!(refused(Settings { smoothing: -0.1, ..normal }), "smoothing");
    assert_eq!(refused(Settings { smoothing: f64::NAN, ..normal }), "smoothing");
    assert_eq!(refused(Settings { tolerance: f64::INFINITY, ..normal }), "tolerance");
    assert_eq!(refused(Settings { rounds_max: 0, ..normal }), "rounds_max");
}

#[test]
fn tables_too_large_for_memory_are_refused_before_they_are_made() {
    let table = Table::of(&["01"]);
    let votes = table.checked(super::super::votes::CLASSES_MAX);
    let error = dawid_skene(&votes, Settings::default()).unwrap_err();
    assert!(matches!(error, QualityError::TooLarge { of: "annotators", rows: 2, .. }), "{error}");
}
