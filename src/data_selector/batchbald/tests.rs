//! BatchBALD against the joint mutual information, worked out over every labelling of every batch.

use super::super::test_support::{distributions, ids, picks, select_by, view};
use super::super::{Output, SelectorError, View};
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use quickcheck::quickcheck;

fn committee<'a>(candidates: &'a [SampleId], members: &'a [Matrix]) -> View<'a> {
    let mut seen = view(candidates);
    seen.members = members.iter().map(Output::flat).collect();
    seen
}

fn log_sum(p: f64) -> f64 {
    if p > 0.0 { -p * p.ln() } else { 0.0 }
}

/// `H(labels) - mean over members of H(labels | member)`, every labelling written out.
fn joint(members: &[Matrix], batch: &[usize]) -> f64 {
    let classes = members[0].cols();
    let labellings = classes.pow(u32::try_from(batch.len()).expect("small"));
    let (mut all, mut within) = (0.0, 0.0);
    for number in 0..labellings {
        let each: Vec<f64> = members
            .iter()
            .map(|member| {
                let labels = (0..).map(|place| number / classes.pow(place) % classes);
                batch.iter().zip(labels).map(|(&i, y)| f64::from(member.row(i)[y])).product()
            })
            .collect();
        all += log_sum(each.iter().sum::<f64>() / each.len() as f64);
        within += each.iter().copied().map(log_sum).sum::<f64>() / each.len() as f64;
    }
    all - within
}

fn members_of(bytes: &[(u8, u8, u8)], n: usize) -> Vec<Matrix> {
    let n = n.max(1);
    let members = bytes.chunks_exact(n).take(4).map(distributions).collect::<Vec<_>>();
    if members.len() < 2 { vec![] } else { members }
}

quickcheck! {
    /// Each pick has, up to rounding, the most joint information with those before it.
    fn every_pick_adds_the_most_joint_information(bytes: Vec<(u8, u8, u8)>, batch: u8) -> bool {
        let n = (bytes.len() / 3).min(7);
        let members = members_of(&bytes, n);
        if members.is_empty() {
            return true;
        }
        let candidates = ids(members[0].rows());
        let seen = committee(&candidates, &members);
        let (found, _) = select_by("batchbald", &seen, usize::from(batch % 5) + 1, 0).expect("picks");
        let mut taken = vec![];
        found.picks.iter().all(|pick| {
            let index = candidates.iter().position(|id| *id == pick.sample).expect("known");
            let with = |i: usize| joint(&members, &[&taken[..], &[i]].concat());
            let before = joint(&members, &taken);
            let best = (0..candidates.len()).filter(|i| !taken.contains(i)).map(with).fold(f64::MIN, f64::max);
            let (right, gain) = (with(index), pick.score.expect("a score"));
            taken.push(index);
            (right - best).abs() < 1e-5 && (gain - (right - before)).abs() < 1e-5
        })
    }

    /// Drawn outcomes tell nearly the same as all of them.
    fn drawn_outcomes_come_near_the_exact_joint(bytes: Vec<(u8, u8, u8)>) -> bool {
        let n = (bytes.len() / 3).min(5);
        let members = members_of(&bytes, n);
        if members.is_empty() {
            return true;
        }
        let candidates = ids(members[0].rows());
        let seen = committee(&candidates, &members);
        let run = |strategy| select_by(strategy, &seen, 3, 0).expect("picks").0;
        let (drawn, again) = (run("batchbald(samples=2000)"), run("batchbald(samples=2)"));
        let first = |found: &super::super::Selection| found.picks.first().map(|p| p.sample.clone());
        // 2 outcomes are too few to come near, yet the first pick needs none.
        first(&drawn) == first(&again) && drawn.picks.len() == again.picks.len()
    }
}

#[test]
fn drawn_outcomes_agree_with_exact_ones_on_a_large_joint() {
    let bytes: Vec<(u8, u8, u8)> = (0..60_u32)
        .map(|i| {
            let byte = |k: u32| u8::try_from((i * 97 + k * 61 + i * i * k) % 251).expect("a byte");
            (byte(1), byte(5), byte(11))
        })
        .collect();
    let members: Vec<Matrix> = bytes.chunks_exact(15).map(distributions).collect();
    let candidates = ids(15);
    let seen = committee(&candidates, &members);
    let run = |strategy| select_by(strategy, &seen, 5, 0).expect("picks").0;
    let (exact, drawn) = (run("batchbald"), run("batchbald(samples=2)"));
    assert_eq!(exact.parameters["joint"], "exact");
    assert_eq!(drawn.parameters["joint"], "exact before pick 2, then 4 drawn outcomes");
    let drawn = run("batchbald(samples=80)");
    assert_eq!(drawn.parameters["joint"], "exact before pick 5, then 80 drawn outcomes");
    let (a, b) = (exact.picks[4].score.expect("exact"), drawn.picks[4].score.expect("drawn"));
    assert!((a - b).abs() < 0.2 * a.abs().max(0.05), "{a} {b}");
    let again = run("batchbald(samples=80)");
    assert_eq!(drawn, again);
}

#[test]
fn the_first_pick_is_the_one_of_plain_bald_and_twins_go_by_id() {
    let sure = [1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 1.0, 0.0];
    let other = [1.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.0, 1.0];
    let members = [sure, other].map(|values| Matrix::new(4, 2, values.to_vec()).expect("4 x 2"));
    let candidates = ids(4);
    // 1 and 3 are where members disagree; once one has a label, the other tells nothing: then the lowest index.
    let seen = committee(&candidates, &members);
    assert_eq!(picks("batchbald", &seen, 4), [1, 0, 2, 3]);
    let (found, _) = select_by("batchbald", &seen, 2, 0).expect("picks");
    assert!((found.picks[0].score.expect("bald") - 2_f64.ln()).abs() < 1e-12);
    assert!(found.picks[1].score.expect("nothing").abs() < 1e-12);
}

#[test]
fn any_number_of_threads_picks_the_same() {
    let bytes: Vec<(u8, u8, u8)> = (0..120_u8).map(|i| (i.wrapping_mul(37), i, 200 - i)).collect();
    let members: Vec<Matrix> = bytes.chunks_exact(30).map(distributions).collect();
    let candidates = ids(30);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            select_by("batchbald(samples=20)", &committee(&candidates, &members), 8, 2)
                .expect("picks")
        })
        .0
    };
    assert!(run(1) == run(2) && run(1) == run(5));
}

#[test]
fn a_committee_that_says_no_distribution_is_refused() {
    let good = Matrix::new(2, 2, vec![0.5; 4]).expect("2 x 2");
    let bad = Matrix::new(2, 2, vec![0.5, 0.5, f32::NAN, 0.5]).expect("2 x 2");
    let candidates = ids(2);
    let members = [good.clone(), bad];
    let found = select_by("batchbald", &committee(&candidates, &members), 1, 0);
    assert!(
        matches!(found, Err(SelectorError::NotAProbability { ref sample, .. }) if sample.as_str() == "s001")
    );
    let alone = [good];
    let found = select_by("batchbald", &committee(&candidates, &alone), 1, 0);
    assert_eq!(found, Err(SelectorError::NoMembers { members: 1 }));
}
