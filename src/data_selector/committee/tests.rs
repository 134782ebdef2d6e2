//! Committees against their definitions, written out.
#![expect(clippy::float_cmp, reason = "the very same numbers are meant")]

use super::super::test_support::{follows, ids, select_by, view};
use super::super::{Output, SelectorError, View};
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use quickcheck::quickcheck;

const ALL: [&str; 5] = ["variation_ratio", "bald", "mean_std", "vote_entropy", "kl_to_mean"];

fn committee<'a>(candidates: &'a [SampleId], members: &'a [Matrix]) -> View<'a> {
    let mut view = view(candidates);
    view.members = members.iter().map(Output::flat).collect();
    view
}

fn entropy(p: &[f64]) -> f64 {
    p.iter().map(|&p| if p > 0.0 { -p * p.ln() } else { 0.0 }).sum()
}

fn votes(said: &[Vec<f64>]) -> Vec<f64> {
    let classes = said[0].len();
    let mut votes = vec![0.0; classes];
    for row in said {
        let best = row.iter().copied().fold(f64::MIN, f64::max);
        votes[row.iter().position(|&p| p == best).unwrap()] += 1.0 / said.len() as f64;
    }
    votes
}

fn mean(said: &[Vec<f64>]) -> Vec<f64> {
    (0..said[0].len())
        .map(|c| said.iter().map(|row| row[c]).sum::<f64>() / said.len() as f64)
        .collect()
}

fn by_definition(strategy: &str, said: &[Vec<f64>]) -> f64 {
    let m = said.len() as f64;
    let mean_of = mean(said);
    match strategy {
        "variation_ratio" => 1.0 - votes(said).into_iter().fold(0.0, f64::max),
        "vote_entropy" => entropy(&votes(said)),
        "bald" => entropy(&mean_of) - said.iter().map(|row| entropy(row)).sum::<f64>() / m,
        "kl_to_mean" => {
            let kl = |row: &Vec<f64>| {
                let terms = row.iter().zip(&mean_of).filter(|(p, _)| **p > 0.0);
                terms.map(|(p, q)| p * (p / q).ln()).sum::<f64>()
            };
            said.iter().map(kl).sum::<f64>() / m
        }
        "mean_std" => {
            let deviation = |c: usize| {
                let squares = said.iter().map(|row| (row[c] - mean_of[c]).powi(2)).sum::<f64>();
                (squares / m).sqrt()
            };
            (0..mean_of.len()).map(deviation).sum::<f64>() / mean_of.len() as f64
        }
        other => panic!("{other}"),
    }
}

quickcheck! {
    /// Any number of members, samples and classes, with ties and certainties.
    fn each_score_is_its_definition(bytes: Vec<u8>, members: u8, classes: u8) -> bool {
        let (m, k) = (usize::from(members % 4) + 2, usize::from(classes % 4) + 1);
        let n = (bytes.len() / (m * k)).min(12);
        let members: Vec<Matrix> = (0..m)
            .map(|member| {
                let rows = (0..n).flat_map(|row| {
                    let weights: Vec<f32> = (0..k)
                        .map(|c| f32::from(bytes[(member * n + row) * k + c] % 4))
                        .collect();
                    let sum: f32 = weights.iter().sum();
                    weights.into_iter().enumerate().map(move |(c, w)| {
                        if sum > 0.0 { w / sum } else if c == 0 { 1.0 } else { 0.0 }
                    })
                });
                Matrix::new(n, k, rows.collect()).unwrap()
            })
            .collect();
        let candidates = ids(n);
        let view = committee(&candidates, &members);
        ALL.iter().all(|strategy| {
            let expected: Vec<f64> = (0..n)
                .map(|row| {
                    let said: Vec<Vec<f64>> = members
                        .iter()
                        .map(|member| member.row(row).iter().map(|&p| f64::from(p)).collect())
                        .collect();
                    by_definition(strategy, &said)
                })
                .collect();
            follows(strategy, &view, &expected)
        })
    }
}

/// Gal et al. (2017), section 3: members that are all unsure are not disputed; members that are sure of different things
/// are.
#[test]
fn a_dispute_is_not_a_doubt() {
    let candidates = ids(3);
    // All unsure; each sure of another class; all sure of one.
    let members = [
        Matrix::new(3, 2, vec![0.5, 0.5, 1.0, 0.0, 1.0, 0.0]).unwrap(),
        Matrix::new(3, 2, vec![0.5, 0.5, 0.0, 1.0, 1.0, 0.0]).unwrap(),
    ];
    let view = committee(&candidates, &members);
    for strategy in ALL {
        let (selection, scores) = select_by(strategy, &view, 1, 0).unwrap();
        assert_eq!(selection.picks[0].sample.as_str(), "s001", "{strategy}");
        assert_eq!((scores[0], scores[2]), (0.0, 0.0), "{strategy}");
    }
    let score = |strategy| select_by(strategy, &view, 1, 0).unwrap().1[1];
    assert_eq!((score("bald"), score("mean_std")), (2_f64.ln(), 0.5));
    assert_eq!((score("variation_ratio"), score("vote_entropy")), (0.5, 2_f64.ln()));
}

#[test]
fn a_committee_that_cannot_dispute_is_refused() {
    let candidates = ids(2);
    let good = || Matrix::new(2, 2, vec![0.5; 4]).unwrap();
    let refusal = |members: &[Matrix]| {
        let view = committee(&candidates, members);
        select_by("bald", &view, 1, 0).expect_err("refused").to_string()
    };
    assert!(refusal(&[good()]).contains("at least two members of a committee, and there are 1"));
    let wide = Matrix::new(2, 3, vec![1.0 / 3.0; 6]).unwrap();
    assert!(refusal(&[good(), wide]).contains("a member as wide as the others"));
    let odd = Matrix::new(2, 2, vec![0.5, 0.5, 0.5, f32::NAN]).unwrap();
    let found = refusal(&[good(), odd]);
    assert!(found.contains("gives sample s001 the probability NaN for class number 1"), "{found}");
    let logits = Matrix::new(2, 2, vec![0.5, 0.5, 0.9, 0.9]).unwrap();
    assert!(refusal(&[good(), logits]).contains("for sample s001 sum to"));
    let none = select_by("vote_entropy", &view(&candidates), 1, 0);
    assert_eq!(none, Err(SelectorError::NoMembers { members: 0 }));
}
