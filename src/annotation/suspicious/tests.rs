//! Labels that were made wrong on purpose, and small tables worked out by hand.

use super::*;
use crate::domain::chance::Chance;
use crate::domain::ids::CycleNumber;
use quickcheck::quickcheck;

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

fn ids(count: usize) -> Vec<SampleId> {
    (0..count).map(|row| format!("s{row:04}").into()).collect()
}

fn noise<'a>(ids: &'a [SampleId], given: &[u32], rows: &[[f32; 3]]) -> LabelNoise<'a> {
    let labels: Vec<(&SampleId, u32)> = ids.iter().zip(given.iter().copied()).collect();
    let matrix = Matrix::new(rows.len(), 3, rows.concat()).unwrap();
    confident(&labels, &matrix).unwrap()
}

/// Sums of eighths and sixteenths are exact, so this is arithmetic by hand.
#[test]
fn a_small_table_is_as_worked_out_by_hand() {
    let ids = ids(6);
    let given = [0, 0, 0, 1, 1, 0];
    let rows = [
        [0.875, 0.125, 0.0],
        [0.75, 0.25, 0.0],
        [0.125, 0.875, 0.0], // labelled 0, but reaches the threshold of 1
        [0.25, 0.75, 0.0],
        [0.375, 0.625, 0.0], // reaches none
        [0.25, 0.125, 0.625],
    ];
    let found = noise(&ids, &given, &rows);
    // (7/8 + 6/8 + 1/8 + 2/8) / 4 = 1/2; (6/8 + 5/8) / 2 = 11/16; nobody used label 2.
    assert_eq!(found.thresholds, [Some(0.5), Some(0.6875), None]);
    assert_eq!(found.counts, [[2, 1, 0], [0, 1, 0], [0, 0, 0]]);
    assert_eq!(found.samples, 6);
    // Four labels 0, of which 2 : 1 were confident; two labels 1.
    let third = 1.0 / 3.0;
    for (row, expected) in found.joint.rows().zip([
        [4.0 / 6.0 * 2.0 * third, 4.0 / 6.0 * third, 0.0],
        [0.0, third, 0.0],
        [0.0, 0.0, 0.0],
    ]) {
        for (cell, expected) in row.iter().zip(expected) {
            near(*cell, expected, 1e-15);
        }
    }
    near(found.error_rate(), 2.0 / 9.0, 1e-15);
    near(found.given_if(0, 1).unwrap(), 0.4, 1e-12);
    near(found.truth_if(1, 0).unwrap(), third, 1e-12);
    assert_eq!((found.given_if(0, 2), found.truth_if(0, 2)), (None, None));
    let suspect =
        Suspect { sample: &ids[2], given: 0, likely: 1, self_confidence: 0.125, margin: 0.125 };
    assert_eq!(found.suspects, [suspect]);
}

#[test]
fn samples_that_are_all_alike_reach_their_own_mean() {
    let ids = ids(7);
    let found = noise(&ids, &[1; 7], &[[0.1, 0.7, 0.2]; 7]);
    assert_eq!(found.counts[1], [0, 7, 0]);
    assert!(found.suspects.is_empty());
    near(found.error_rate(), 0.0, 1e-15);
}

#[test]
fn a_class_whose_label_nobody_used_is_no_sample_s_class() {
    let ids = ids(2);
    let found = noise(&ids, &[0, 0], &[[0.25, 0.75, 0.0], [0.25, 0.75, 0.0]]);
    assert_eq!(found.counts[0], [2, 0, 0], "it has no threshold to reach");
    assert!(found.suspects.is_empty());
}

#[test]
fn suspects_are_ranked_by_what_is_asked_for_and_equals_by_name() {
    let ids = ids(8);
    let sure = [[0.75, 0.125, 0.125], [0.125, 0.75, 0.125]];
    let rows = [
        sure[0],
        sure[1],
        sure[0],
        sure[1],
        [0.125, 0.875, 0.0],
        [0.0625, 0.75, 0.1875],
        [0.125, 0.875, 0.0],
        sure[0],
    ];
    let found = noise(&ids, &[0, 1, 0, 1, 0, 0, 0, 0], &rows);
    let names = |by| found.ranked(by).iter().map(|of| of.sample.as_str()).collect::<Vec<_>>();
    assert_eq!(names(Ranking::Margin), ["s0004", "s0006", "s0005"]);
    assert_eq!(names(Ranking::SelfConfidence), ["s0005", "s0004", "s0006"]);
}

/// Samples of four classes that a fair model sees through some fog, and a label list with mistakes.
struct Set {
    ids: Vec<SampleId>,
    given: Vec<u32>,
    wrong: Vec<bool>,
    probabilities: Matrix,
}

/// Of the truth `t` a share `rates[t]` is labelled as the next class.
fn set(seed: u64, count: usize, rates: [f64; 4]) -> Set {
    let chance = Chance { seed, cycle: CycleNumber(0), purpose: "noisy labels" };
    let mut set =
        Set { ids: ids(count), given: vec![], wrong: vec![], probabilities: Matrix::default() };
    let mut logits: Vec<f32> = Vec::new();
    for row in 0..count {
        let truth = row % 4;
        let wrong = chance.unit(&format!("flip {row}")) < rates[truth];
        let given = if wrong { (truth + 1) % 4 } else { truth };
        set.given.push([0, 1, 2, 3][given]);
        set.wrong.push(wrong);
        for class in 0..4 {
            // A sum of four uniform numbers is near enough to a bell.
            let fog = (0..4).map(|i| chance.unit(&format!("fog {row} {class} {i}"))).sum::<f64>();
            let signal = if class == truth { 4.5 } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, reason = "a small number")]
            logits.push((signal + 2.0 * (fog - 2.0)) as f32);
        }
    }
    set.probabilities = crate::metrics::softmax(&Matrix::new(count, 4, logits).unwrap());
    set
}

impl Set {
    fn labels(&self) -> Vec<(&SampleId, u32)> {
        self.ids.iter().zip(self.given.iter().copied()).collect()
    }
}

#[test]
fn wrong_labels_are_found_and_right_ones_left_alone() {
    let rates = [0.2, 0.1, 0.0, 0.05];
    for seed in 0..3 {
        let set = set(seed, 2000, rates);
        let found = confident(&set.labels(), &set.probabilities).unwrap();
        let is_wrong = |of: &Suspect<'_>| set.wrong[set.ids.binary_search(of.sample).unwrap()];
        let hits = found.suspects.iter().filter(|of| is_wrong(of)).count() as f64;
        let recall = hits / set.wrong.iter().filter(|wrong| **wrong).count() as f64;
        let precision = hits / found.suspects.len() as f64;
        assert!(recall > 0.75 && precision > 0.95, "recall {recall}, precision {precision}");
        // The estimated mistakes are those that were made, class by class.
        for (truth, rate) in rates.into_iter().enumerate() {
            near(found.given_if((truth + 1) % 4, truth).unwrap(), rate, 0.04);
        }
        near(found.error_rate(), rates.iter().sum::<f64>() / 4.0, 0.03);
        // The head of the ranking is purer than the whole.
        let head = found.ranked(Ranking::Margin);
        let head = &head[..head.len() / 2];
        let pure = head.iter().filter(|of| is_wrong(of)).count() as f64 / head.len() as f64;
        assert!(pure >= precision, "{pure} of the head, {precision} of all");
    }
}

#[test]
fn clean_labels_raise_few_suspicions() {
    let set = set(1, 2000, [0.0; 4]);
    let found = confident(&set.labels(), &set.probabilities).unwrap();
    assert!(found.error_rate() < 0.02, "{}", found.error_rate());
}

#[test]
fn wrong_input_is_named() {
    let ids = ids(2);
    let labels = [(&ids[0], 0), (&ids[1], 1)];
    let check = |labels: &[(&SampleId, u32)], rows: usize, values: &[f32], part: &str| {
        let matrix = Matrix::new(rows, values.len() / rows, values.to_vec()).unwrap();
        let error = confident(labels, &matrix).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let good = [0.5, 0.5, 0.25, 0.75];
    check(&labels, 2, &[1.0, 1.0], "2 to 65536 classes, but there are 1");
    check(&labels, 1, &[0.5, 0.5], "2 labels but 1 rows");
    check(&[labels[0], labels[0]], 2, &good, "s0000 has two labels");
    check(&[labels[0], (&ids[1], 2)], 2, &good, "s0001 is labelled with class 2");
    check(&labels, 2, &[0.5, 0.5, f32::NAN, 1.0], "of class 0 for s0001 is NaN");
    check(&labels, 2, &[0.5, 0.5, -1.0, 2.0], "of class 0 for s0001 is -1");
    check(&labels, 2, &[0.5, 0.25, 0.25, 0.75], "for s0000 sum to 0.75");
}

#[test]
fn no_labels_are_no_noise() {
    let found = confident(&[], &Matrix::new(0, 3, vec![]).unwrap()).unwrap();
    assert_eq!((found.samples, found.suspects.len()), (0, 0));
    near(found.error_rate(), 0.0, 0.0);
    assert_eq!(found.truth_if(0, 0), None);
}

quickcheck! {
    fn the_joint_keeps_the_labels_as_given(seed: u64, rate: u8, count: u8) -> bool {
        let count = usize::from(count);
        let set = set(seed, count, [f64::from(rate) / 255.0; 4]);
        let found = confident(&set.labels(), &set.probabilities).unwrap();
        let rows = found.joint.rows().enumerate().all(|(class, row)| {
            let labelled = set.given.iter().filter(|&&given| given as usize == class).count();
            (row.iter().sum::<f64>() * count as f64 - labelled as f64).abs() < 1e-9
        });
        let off_diagonal: u64 = (0..4).map(|k| found.counts[k].iter().sum::<u64>() - found.counts[k][k]).sum();
        rows && off_diagonal == found.suspects.len() as u64
            && found.suspects.iter().all(|of| of.likely != of.given)
    }

    fn the_order_of_samples_changes_no_bit(seed: u64, turn: usize) -> bool {
        let set = set(seed, 60, [0.2; 4]);
        let mut order: Vec<usize> = (0..60).collect();
        order.rotate_left(turn % 60);
        order.reverse();
        let labels = set.labels();
        let turned: Vec<_> = order.iter().map(|&row| labels[row]).collect();
        confident(&labels, &set.probabilities).unwrap()
            == confident(&turned, &set.probabilities.select_rows(&order)).unwrap()
    }
}
