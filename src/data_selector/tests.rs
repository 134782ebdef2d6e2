//! Stories about picking a batch; what one strategy alone does is tested beside it.

use super::test_support::{distributions, ids, probabilities, select_by, view};
use super::*;
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::matrix::Matrix;
use quickcheck::quickcheck;

const STRATEGIES: [&str; 5] = ["random", "least_confidence", "margin", "entropy", "ratio"];

fn picked(selection: &Selection, arm: Arm) -> Vec<&str> {
    selection.picks.iter().filter(|p| p.arm == arm).map(|p| p.sample.as_str()).collect()
}

fn scores(strategy: &str, p: &Matrix) -> Vec<f64> {
    let candidates = ids(p.rows());
    select_by(strategy, &probabilities(&candidates, p), 2, 0).expect("scores").1
}

/// Settles 2009, figure 5: at the corners all are sure, in the middle all are unsure, and on an edge they disagree.
#[test]
fn each_measure_prefers_what_its_paper_says() {
    let p =
        Matrix::new(4, 3, vec![1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.45, 0.275, 0.275, 0.4, 0.3, 0.3])
            .expect("4 x 3");
    let near = |strategy, expected: [f64; 4]| {
        let found = scores(strategy, &p);
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{found:?} is not {expected:?}");
        }
    };
    near("least_confidence", [0.0, 0.5, 0.55, 0.6]);
    near("margin", [0.0, 1.0, 0.825, 0.9]);
    near("entropy", [0.0, 2_f64.ln(), 1.069_370, 1.088_900]);
    near("ratio", [0.0, 1.0, 0.275 / 0.45, 0.75]);
    let candidates = ids(4);
    let best = |strategy| {
        let found = select_by(strategy, &probabilities(&candidates, &p), 2, 0).expect("picks").0;
        found.picks[0].sample.to_string()
    };
    let best = ["least_confidence", "margin", "entropy", "ratio"].map(best);
    assert_eq!(best, ["s003", "s001", "s003", "s001"]);
}

/// Stored scores are compared bit for bit years later, on other machines. (With glibc's logarithm, the second entropy
/// ends in 8.)
#[test]
fn scores_have_these_very_bits() {
    let p = Matrix::new(2, 3, vec![0.7, 0.2, 0.1, 0.1, 0.3, 0.6]).expect("2 x 3");
    let bits = |strategy| scores(strategy, &p).iter().map(|s| s.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits("entropy"), [0x3fe9_a87f_67b2_68ba, 0x3fec_bbf8_a851_0109]);
    assert_eq!(bits("margin"), [0x3fe0_0000_0800_0000, 0x3fe6_6666_6000_0000]);
    let candidates = ids(2);
    let random = select_by("random", &view(&candidates), 2, 0).expect("picks").0;
    let bits: Vec<u64> = random.picks.iter().filter_map(|p| p.score).map(f64::to_bits).collect();
    assert_eq!(bits, [0x3fed_0849_b05c_8266, 0x3fd6_d215_1cf8_c172]);
}

#[test]
fn equal_scores_go_by_sample_id() {
    let p = Matrix::new(3, 2, vec![0.5; 6]).expect("3 x 2");
    let candidates = ["a", "b", "c"].map(SampleId::from);
    for strategy in ["least_confidence", "margin", "entropy", "ratio"] {
        let (found, scores) =
            select_by(strategy, &probabilities(&candidates, &p), 2, 0).expect("picks");
        assert_eq!(picked(&found, Arm::Strategy), ["a", "b"]);
        assert_eq!(found.cutoff, Some(scores[0]));
    }
}

#[test]
fn the_audit_arm_comes_first_and_the_strategy_never_sees_it() {
    let p = distributions(&[(9, 1, 1), (5, 5, 1), (4, 4, 4), (7, 1, 1), (3, 3, 2), (8, 8, 8)]);
    let candidates = ids(6);
    let seen = probabilities(&candidates, &p);
    let (found, scores) = select_by("margin", &seen, 4, 2).expect("picks");
    let audit = picked(&found, Arm::Audit);
    // Another strategy, other scores: the same audit arm.
    for strategy in STRATEGIES {
        let other = select_by(strategy, &seen, 4, 2).expect("picks").0;
        assert_eq!(picked(&other, Arm::Audit), audit);
        assert!(picked(&other, Arm::Strategy).iter().all(|sample| !audit.contains(sample)));
        assert_eq!(other.picks.len(), 4);
    }
    for pick in &found.picks {
        let expected = (pick.arm == Arm::Audit).then_some(2.0 / 6.0);
        assert_eq!((pick.probability, pick.score.is_some()), (expected, pick.arm == Arm::Strategy));
    }
    assert_eq!(found.picks.iter().map(|p| p.rank).collect::<Vec<_>>(), [1, 2, 1, 2]);
    let random = select_by("random", &seen, 4, 2).expect("picks").0;
    assert_eq!(random.picks[0].probability, Some(0.5), "2 of the 4 it saw");
    // Every candidate has its place among the scores, those that were hidden without one.
    let hidden: Vec<bool> = candidates.iter().map(|c| audit.contains(&c.as_str())).collect();
    assert_eq!(scores.iter().map(|score| score.is_nan()).collect::<Vec<_>>(), hidden);
}

/// Each of 20 candidates is drawn about as often as any other over 2,000 cycles.
#[test]
fn the_audit_arm_is_uniform() {
    let candidates = ids(20);
    let mut times: BTreeMap<SampleId, u32> = BTreeMap::new();
    for cycle in 0..2000 {
        let seen = View::new(candidates.as_slice(), 1, CycleNumber(cycle));
        let found = select_by("random", &seen, 10, 5).expect("picks").0;
        for pick in found.picks.into_iter().filter(|pick| pick.arm == Arm::Audit) {
            *times.entry(pick.sample).or_default() += 1;
        }
    }
    // 500 expected, with a standard deviation of 19.4.
    assert!(times.len() == 20 && times.values().all(|n| (420..580).contains(n)), "{times:?}");
}

#[test]
fn a_batch_larger_than_the_pool_takes_everything_and_says_so() {
    let p = distributions(&[(1, 2, 3), (3, 2, 1), (1, 1, 1)]);
    let candidates = ids(3);
    let seen = probabilities(&candidates, &p);
    let found = select_by("margin", &seen, 10, 1).expect("picks").0;
    assert_eq!((picked(&found, Arm::Strategy).len(), picked(&found, Arm::Audit).len()), (2, 1));
    assert_eq!(found.parameters["short"], "3 picks where 10 were asked for");
    let found = select_by("margin", &seen, 10, 5).expect("picks").0;
    assert_eq!((picked(&found, Arm::Strategy).len(), picked(&found, Arm::Audit).len()), (0, 3));
    assert_eq!((found.cutoff, found.picks[0].probability), (None, Some(1.0)));
    let found = select_by("margin", &seen, 3, 0).expect("picks").0;
    assert_eq!(found.parameters.get("short"), None);
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
fn what_cannot_be_selected_from_is_refused_by_name() {
    let candidates = ids(2);
    let refusal = |row: [f32; 2]| {
        let p = Matrix::new(2, 2, vec![0.5, 0.5, row[0], row[1]]).expect("2 x 2");
        let seen = probabilities(&candidates, &p);
        select_by("margin", &seen, 2, 0).expect_err("bad scores").to_string()
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
    let seen = probabilities(&candidates, &p);
    let short = select_by("margin", &seen, 2, 0);
    assert!(matches!(short, Err(SelectorError::Shape { rows: 1, .. })));
    let blind = select_by("margin", &view(&candidates), 2, 0).expect_err("no output");
    let expected = "the strategy needs output `probabilities`, but no model has run";
    assert_eq!(blind.to_string(), expected);
    let nothing = select_by("random", &view(&[]), 2, 0);
    assert_eq!(nothing, Err(SelectorError::NoCandidates));
    assert_eq!(select_by("random", &view(&candidates), 0, 0), Err(SelectorError::EmptyBatch));
    let greedy = select_by("random", &view(&candidates), 2, 3);
    assert_eq!(greedy, Err(SelectorError::AuditTooLarge { audit: 3, batch: 2 }));
    let twice = ["a", "a"].map(SampleId::from);
    let twice = select_by("random", &view(&twice), 2, 0);
    assert!(matches!(twice, Err(SelectorError::DuplicateCandidate { .. })));
    let disorder = ["b", "a"].map(SampleId::from);
    let disorder = select_by("random", &view(&disorder), 2, 0);
    assert_eq!(disorder, Err(SelectorError::Order { sample: "a".into() }));
}

/// A strategy of somebody's own, with mistakes.
struct Picky(Vec<Chosen>);

impl Strategy for Picky {
    fn needs(&self) -> Needs {
        Needs::nothing()
    }

    fn plan<'v>(&'v self, _: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        Ok(Plan::picks(self.0.clone()))
    }
}

#[test]
fn a_strategy_that_picks_what_it_may_not_is_found_out() {
    let candidates = ids(3);
    let picks = |chosen: &[(usize, f64)]| {
        let chosen =
            chosen.iter().map(|&(index, score)| Chosen { index, score, probability: None });
        let strategy = Picky(chosen.collect());
        let seen = view(&candidates);
        let request =
            SelectRequest { strategy: &strategy, name: "picky", view: &seen, batch: 2, audit: 0 };
        select(&request, None).map(|found| found.picks.len()).map_err(|error| error.to_string())
    };
    assert_eq!(picks(&[(2, 0.0), (0, 1.0)]), Ok(2));
    assert_eq!(picks(&[(2, 0.0)]), Ok(1));
    for (chosen, text) in [
        (&[(0, 0.0), (1, 0.0), (2, 0.0)][..], "3 samples where 2 were asked for"),
        (&[(3, 0.0)], "candidate number 3 of 3"),
        (&[(1, 0.0), (1, 0.0)], "candidate number 1 twice"),
        (&[(1, f64::NAN)], "a sample for a score of NaN"),
    ] {
        assert_eq!(picks(chosen), Err(format!("the strategy picked {text}")));
    }
}

#[test]
fn a_cold_start_takes_so_many_of_each_class() {
    let candidates = ids(9);
    let labels: Vec<Option<u32>> =
        [0, 0, 0, 0, 1, 1, 1, 2].map(Some).into_iter().chain([None]).collect();
    let seen = view(&candidates);
    let found = cold_start_per_class(&seen, &labels, 2).expect("picks");
    let class =
        |pick: &Pick| labels[candidates.iter().position(|c| *c == pick.sample).expect("known")];
    assert_eq!(found.picks.iter().map(class).collect::<Vec<_>>(), [0, 0, 1, 1, 2].map(Some));
    let probabilities = found.picks.iter().map(|pick| pick.probability.expect("random"));
    assert_eq!(probabilities.collect::<Vec<_>>(), [0.5, 0.5, 2.0 / 3.0, 2.0 / 3.0, 1.0]);
    assert!(found.picks.iter().all(|pick| pick.arm == Arm::ColdStart));
    let other = View::new(candidates.as_slice(), 8, seen.cycle);
    assert_ne!(found.picks, cold_start_per_class(&other, &labels, 2).expect("picks").picks);

    let unknown = cold_start_per_class(&seen, &[None; 9], 2);
    assert_eq!(unknown, Err(SelectorError::NoKnownLabels { per_class: 2 }));
    let short = cold_start_per_class(&seen, &[], 2);
    assert_eq!(short, Err(SelectorError::Labels { candidates: 9, labels: 0 }));
    let random = cold_start_random(&seen, 4).expect("picks");
    assert_eq!((random.picks.len(), random.picks[0].probability), (4, Some(4.0 / 9.0)));
    assert_eq!(cold_start_random(&seen, 0), Err(SelectorError::EmptyBatch));
}

quickcheck! {
    /// The strategy arm against brute force: repeatedly take the best that is left, looking at everything each time.
    fn the_strategy_takes_the_best_of_the_rest(bytes: Vec<(u8, u8, u8)>, batch: u8) -> bool {
        let candidates = ids(bytes.len());
        let p = distributions(&bytes);
        let batch = usize::from(batch % 20) + 1;
        ["least_confidence", "margin", "entropy", "ratio"].into_iter().all(|strategy| {
            let audit = audit_size(batch, 0.3);
            let seen = probabilities(&candidates, &p);
            let Ok((found, scores)) = select_by(strategy, &seen, batch, audit) else {
                return candidates.is_empty();
            };
            let audited = picked(&found, Arm::Audit);
            let mut left: Vec<usize> =
                (0..candidates.len()).filter(|&i| !audited.contains(&candidates[i].as_str())).collect();
            let mut expected = vec![];
            while expected.len() < batch - audit && !left.is_empty() {
                let mut best = 0;
                for place in 1..left.len() {
                    if scores[left[place]] > scores[left[best]] {
                        best = place;
                    }
                }
                expected.push(candidates[left.remove(best)].as_str());
            }
            picked(&found, Arm::Strategy) == expected
        })
    }
}
