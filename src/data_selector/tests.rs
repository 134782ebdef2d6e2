//! Stories about picking a batch; the rules of one strategy alone are tested beside it.

use super::*;
use crate::domain::chance::Chance;
use crate::domain::definition::ColdStart;
use quickcheck::quickcheck;

const STRATEGIES: [Strategy; 4] =
    [Strategy::Random, Strategy::LeastConfidence, Strategy::Margin, Strategy::Entropy];

fn ids(n: usize) -> Vec<SampleId> {
    (0..n).map(|i| SampleId::from(format!("s{i:03}"))).collect()
}

/// Distributions over 3 classes from arbitrary bytes; bytes repeat, so scores tie.
fn distributions(bytes: &[(u8, u8, u8)]) -> Matrix {
    let rows = bytes.iter().flat_map(|&(a, b, c)| {
        let sum = f32::from(a) + f32::from(b) + f32::from(c) + 3.0;
        [a, b, c].map(|x| (f32::from(x) + 1.0) / sum)
    });
    Matrix::new(bytes.len(), 3, rows.collect()).expect("3 columns")
}

fn request<'a>(
    strategy: Strategy,
    candidates: &'a [SampleId],
    probabilities: &'a Matrix,
) -> SelectRequest<'a> {
    SelectRequest {
        strategy,
        candidates,
        probabilities: Some(probabilities),
        batch: 2,
        audit: 0,
        seed: 7,
        cycle: CycleNumber(3),
    }
}

fn picked(selection: &Selection, arm: Arm) -> Vec<&str> {
    selection.picks.iter().filter(|p| p.arm == arm).map(|p| p.sample.as_str()).collect()
}

/// Settles 2009, figure 5: at the corners all are sure, in the middle all are unsure, and on an edge they disagree.
#[test]
fn each_measure_prefers_what_its_paper_says() {
    let p =
        Matrix::new(4, 3, vec![1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.45, 0.275, 0.275, 0.4, 0.3, 0.3])
            .expect("4 x 3");
    let candidates = ids(4);
    let scores = |strategy| select(&request(strategy, &candidates, &p)).expect("scores").scores;
    let near = |found: Vec<f64>, expected: [f64; 4]| {
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{found:?} is not {expected:?}");
        }
    };
    near(scores(Strategy::LeastConfidence), [0.0, 0.5, 0.55, 0.6]);
    near(scores(Strategy::Margin), [0.0, 1.0, 0.825, 0.9]);
    near(scores(Strategy::Entropy), [0.0, 2_f64.ln(), 1.069_370, 1.088_900]);
    let best =
        |strategy| select(&request(strategy, &candidates, &p)).expect("picks").picks[0].clone();
    assert_eq!(best(Strategy::LeastConfidence).sample.as_str(), "s003");
    assert_eq!(best(Strategy::Margin).sample.as_str(), "s001");
    assert_eq!(best(Strategy::Entropy).sample.as_str(), "s003");
}

/// Stored scores are compared bit for bit years later, on other machines. (With glibc's logarithm, the second entropy
/// ends in 8.)
#[test]
fn scores_have_these_very_bits() {
    let p = Matrix::new(2, 3, vec![0.7, 0.2, 0.1, 0.1, 0.3, 0.6]).expect("2 x 3");
    let candidates = ids(2);
    let bits = |strategy| {
        let scores = select(&request(strategy, &candidates, &p)).expect("scores").scores;
        scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(Strategy::Entropy), [0x3fe9_a87f_67b2_68ba, 0x3fec_bbf8_a851_0109]);
    assert_eq!(bits(Strategy::Margin), [0x3fe0_0000_0800_0000, 0x3fe6_6666_6000_0000]);
    assert_eq!(bits(Strategy::Random), [0x3fd6_d215_1cf8_c172, 0x3fed_0849_b05c_8266]);
}

#[test]
fn equal_scores_go_by_sample_id() {
    let p = Matrix::new(3, 2, vec![0.5; 6]).expect("3 x 2");
    let candidates = ["b", "c", "a"].map(SampleId::from);
    for strategy in [Strategy::LeastConfidence, Strategy::Margin, Strategy::Entropy] {
        let found = select(&request(strategy, &candidates, &p)).expect("picks");
        assert_eq!(picked(&found, Arm::Strategy), ["a", "b"]);
        assert_eq!(found.cutoff, Some(found.scores[0]));
    }
}

#[test]
fn the_audit_arm_comes_first_and_the_strategy_never_sees_it() {
    let p = distributions(&[(9, 1, 1), (5, 5, 1), (4, 4, 4), (7, 1, 1), (3, 3, 2), (8, 8, 8)]);
    let candidates = ids(6);
    let base = SelectRequest { batch: 4, audit: 2, ..request(Strategy::Margin, &candidates, &p) };
    let found = select(&base).expect("picks");
    let audit = picked(&found, Arm::Audit);
    // Another strategy, other scores: the same audit arm.
    for strategy in STRATEGIES {
        let other = select(&SelectRequest { strategy, ..base }).expect("picks");
        assert_eq!(picked(&other, Arm::Audit), audit);
        assert!(picked(&other, Arm::Strategy).iter().all(|sample| !audit.contains(sample)));
        assert_eq!(other.picks.len(), 4);
    }
    for pick in &found.picks {
        let expected = (pick.arm == Arm::Audit).then_some(2.0 / 6.0);
        assert_eq!((pick.probability, pick.score.is_some()), (expected, pick.arm == Arm::Strategy));
    }
    assert_eq!(found.picks.iter().map(|p| p.rank).collect::<Vec<_>>(), [1, 2, 1, 2]);
    let random = select(&SelectRequest { strategy: Strategy::Random, ..base }).expect("picks");
    assert_eq!(random.picks[0].probability, Some(0.5), "2 of the 4 it saw");
}

/// Each of 20 candidates is drawn about as often as any other over 2,000 cycles.
#[test]
fn the_audit_arm_is_uniform() {
    let candidates = ids(20);
    let mut times: BTreeMap<SampleId, u32> = BTreeMap::new();
    for cycle in 0..2000 {
        let found = select(&SelectRequest {
            strategy: Strategy::Random,
            candidates: &candidates,
            probabilities: None,
            batch: 10,
            audit: 5,
            seed: 1,
            cycle: CycleNumber(cycle),
        })
        .expect("picks");
        for pick in found.picks.into_iter().filter(|pick| pick.arm == Arm::Audit) {
            *times.entry(pick.sample).or_default() += 1;
        }
    }
    // 500 expected, with a standard deviation of 19.4.
    assert!(times.len() == 20 && times.values().all(|n| (420..580).contains(n)), "{times:?}");
}

#[test]
fn a_batch_larger_than_the_pool_takes_everything() {
    let p = distributions(&[(1, 2, 3), (3, 2, 1), (1, 1, 1)]);
    let candidates = ids(3);
    let base = SelectRequest { batch: 10, audit: 1, ..request(Strategy::Margin, &candidates, &p) };
    let found = select(&base).expect("picks");
    assert_eq!((picked(&found, Arm::Strategy).len(), picked(&found, Arm::Audit).len()), (2, 1));
    let found = select(&SelectRequest { audit: 5, ..base }).expect("picks");
    assert_eq!((picked(&found, Arm::Strategy).len(), picked(&found, Arm::Audit).len()), (0, 3));
    assert_eq!((found.cutoff, found.picks[0].probability), (None, Some(1.0)));
}

#[test]
fn audit_sizes() {
    for (batch, fraction, expected) in [
        (40, 0.1, 4),
        (10, 0.1, 1),
        (10, 0.0, 0),
        (10, 0.01, 1),
        (25, 0.1, 3),
        (10, 1.0, 9),
        (2, 0.9, 1),
        (1, 0.1, 1),
        (0, 0.5, 0),
        (10, f64::NAN, 0),
        (10, -1.0, 0),
        (10, f64::INFINITY, 9),
    ] {
        assert_eq!(audit_size(batch, fraction), expected, "{batch} x {fraction}");
    }
}

#[test]
fn what_is_no_probability_is_refused_by_name() {
    let candidates = ids(2);
    let refusal = |row: [f32; 2]| {
        let p = Matrix::new(2, 2, vec![0.5, 0.5, row[0], row[1]]).expect("2 x 2");
        select(&request(Strategy::Margin, &candidates, &p)).expect_err("bad scores").to_string()
    };
    for (row, text) in [
        ([0.5, f32::NAN], "gives sample s001 the probability NaN for class number 1"),
        ([f32::INFINITY, 0.0], "gives sample s001 the probability inf for class number 0"),
        ([-0.5, 1.5], "gives sample s001 the probability -0.5 for class number 0"),
        ([0.2, 0.2], "for sample s001 sum to 0.4000000059604645, not to 1"),
    ] {
        let found = refusal(row);
        assert!(found.contains(text), "{found}");
    }
    let p = Matrix::new(1, 2, vec![0.5; 2]).expect("1 x 2");
    let base = request(Strategy::Margin, &candidates, &p);
    assert!(matches!(select(&base), Err(SelectorError::Shape { rows: 1, .. })));
    let without = SelectRequest { probabilities: None, ..base };
    assert_eq!(select(&without), Err(SelectorError::NoProbabilities { strategy: "margin" }));
    let nothing = SelectRequest { candidates: &[], ..base };
    assert_eq!(select(&nothing), Err(SelectorError::NoCandidates));
    let empty = SelectRequest { batch: 0, ..base };
    assert_eq!(select(&empty), Err(SelectorError::EmptyBatch));
    let greedy = SelectRequest { audit: 3, ..base };
    assert_eq!(select(&greedy), Err(SelectorError::AuditTooLarge { audit: 3, batch: 2 }));
    let twice = [SampleId::from("a"), SampleId::from("a")];
    let twice = SelectRequest { candidates: &twice, ..base };
    assert!(matches!(select(&twice), Err(SelectorError::DuplicateCandidate { .. })));
}

#[test]
fn a_cold_start_takes_so_many_of_each_class() {
    let candidates = ids(9);
    let labels: Vec<Option<u32>> =
        [0, 0, 0, 0, 1, 1, 1, 2].map(Some).into_iter().chain([None]).collect();
    let base = ColdStartRequest {
        how: ColdStart::PerClass(2),
        candidates: &candidates,
        labels: &labels,
        seed: 7,
        cycle: CycleNumber(1),
    };
    let found = cold_start(&base).expect("picks");
    let class =
        |pick: &Pick| labels[candidates.iter().position(|c| *c == pick.sample).expect("known")];
    assert_eq!(found.picks.iter().map(class).collect::<Vec<_>>(), [0, 0, 1, 1, 2].map(Some));
    let probabilities = found.picks.iter().map(|pick| pick.probability.expect("random"));
    assert_eq!(probabilities.collect::<Vec<_>>(), [0.5, 0.5, 2.0 / 3.0, 2.0 / 3.0, 1.0]);
    assert!(found.picks.iter().all(|pick| pick.arm == Arm::ColdStart));
    assert_ne!(
        found.picks,
        cold_start(&ColdStartRequest { seed: 8, ..base }).expect("picks").picks
    );

    let unknown = ColdStartRequest { labels: &[None; 9], ..base };
    assert_eq!(cold_start(&unknown), Err(SelectorError::NoKnownLabels { per_class: 2 }));
    let random = ColdStartRequest { how: ColdStart::Random(4), labels: &[], ..base };
    assert_eq!(cold_start(&random).expect("picks").picks.len(), 4);
    let short = ColdStartRequest { labels: &[], ..base };
    assert_eq!(cold_start(&short), Err(SelectorError::Labels { candidates: 9, labels: 0 }));
}

quickcheck! {
    /// Any order of the candidates gives the same batch, for any seed.
    fn the_order_of_candidates_does_not_matter(bytes: Vec<(u8, u8, u8)>, seed: u64, shuffle: u64) -> bool {
        let candidates = ids(bytes.len());
        let chance = Chance { seed: shuffle, cycle: CycleNumber(0), purpose: "test" };
        let mut order: Vec<usize> = (0..bytes.len()).collect();
        order.sort_by_key(|&i| chance.draw(candidates[i].as_str()));
        let p = distributions(&bytes);
        let (shuffled, q) = (order.iter().map(|&i| candidates[i].clone()).collect::<Vec<_>>(), p.select_rows(&order));
        STRATEGIES.into_iter().all(|strategy| {
            let base = SelectRequest { batch: 7, audit: 2, seed, ..request(strategy, &candidates, &p) };
            let one = select(&base).map(|s| (s.picks, s.cutoff));
            let other = SelectRequest { candidates: &shuffled, probabilities: Some(&q), ..base };
            one == select(&other).map(|s| (s.picks, s.cutoff))
        })
    }

    /// The strategy arm against brute force: repeatedly take the best that is left, looking at everything each time.
    fn the_strategy_takes_the_best_of_the_rest(bytes: Vec<(u8, u8, u8)>, batch: u8, seed: u64) -> bool {
        let candidates = ids(bytes.len());
        let p = distributions(&bytes);
        let batch = usize::from(batch % 20) + 1;
        STRATEGIES.into_iter().all(|strategy| {
            let audit = audit_size(batch, 0.3);
            let base = SelectRequest { batch, audit, seed, ..request(strategy, &candidates, &p) };
            let Ok(found) = select(&base) else { return candidates.is_empty() };
            let audited = picked(&found, Arm::Audit);
            let mut left: Vec<usize> =
                (0..candidates.len()).filter(|&i| !audited.contains(&candidates[i].as_str())).collect();
            let mut expected = vec![];
            while expected.len() < batch - audit && !left.is_empty() {
                let mut best = 0;
                for place in 1..left.len() {
                    if found.scores[left[place]] > found.scores[left[best]] {
                        best = place;
                    }
                }
                expected.push(candidates[left.remove(best)].as_str());
            }
            picked(&found, Arm::Strategy) == expected
        })
    }
}
