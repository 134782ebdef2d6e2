//! Draws against their law.
#![expect(clippy::float_cmp, reason = "the very same numbers are meant")]

use super::super::test_support::{distributions, ids, probabilities, select_by, view};
use super::super::{SelectRequest, Selection, select};
use super::*;
use crate::domain::ids::CycleNumber;
use quickcheck::quickcheck;

/// Scores as they are given.
struct Given(Vec<f64>);

impl Strategy for Given {
    fn needs(&self) -> Needs {
        Needs::nothing()
    }

    fn plan<'v>(&'v self, _: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        Ok(Plan::scores(|range| Ok(self.0[range].to_vec())))
    }
}

/// Picks by itself.
struct Stubborn;

impl Strategy for Stubborn {
    fn needs(&self) -> Needs {
        Needs::nothing()
    }

    fn plan<'v>(&'v self, _: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        Ok(Plan::picks(vec![]))
    }
}

fn around(law: Law, beta: f64, inner: impl Strategy + 'static) -> Stochastic {
    Stochastic { law, beta, inner: Box::new(inner), name: "power(stubborn)".to_owned() }
}

fn draw(
    strategy: &Stochastic,
    n: usize,
    batch: usize,
    cycle: u32,
) -> Result<Selection, SelectorError> {
    let candidates = ids(n);
    let seen = View::new(candidates.as_slice(), 11, CycleNumber(cycle));
    let request = SelectRequest { strategy, name: "drawn", view: &seen, batch, audit: 0 };
    select(&request, None)
}

/// Index, score and probability of each pick.
fn picks(selection: &Selection) -> Vec<(usize, f64, Option<f64>)> {
    let index = |text: &str| text[1..].parse().unwrap();
    let of = |pick: &crate::domain::event::Pick| {
        (index(pick.sample.as_str()), pick.score.unwrap(), pick.probability)
    };
    selection.picks.iter().map(of).collect()
}

/// What the paper's weights are, written out.
fn weights(law: Law, beta: f64, scores: &[f64]) -> Vec<f64> {
    let rank = |i: usize| {
        let before = |&j: &usize| scores[j] > scores[i] || (scores[j] == scores[i] && j < i);
        (0..scores.len()).filter(before).count() + 1
    };
    (0..scores.len())
        .map(|i| match law {
            Law::Power => scores[i].max(0.0).powf(beta),
            Law::Softmax => (beta * scores[i]).exp(),
            Law::SoftRank => (rank(i) as f64).powf(-beta),
        })
        .collect()
}

/// First picks, and sequences of two, follow their law (chi-squared, 0.1 %), and each pick tells its probability.
#[test]
fn draws_follow_their_law_and_tell_it() {
    let scores = vec![0.9, 0.3, 0.5, 0.1];
    for (law, beta) in
        [(Law::Power, 1.0), (Law::Power, 2.0), (Law::Softmax, 2.0), (Law::SoftRank, 1.0)]
    {
        let w = weights(law, beta, &scores);
        let total: f64 = w.iter().sum();
        let strategy = around(law, beta, Given(scores.clone()));
        let draws = 8000;
        let mut first = [0.0; 4];
        let mut both = [[0.0; 4]; 4];
        for cycle in 0..draws {
            let found = picks(&draw(&strategy, 4, 2, cycle).unwrap());
            let [(a, score, p), (b, _, q)] = found[..] else { panic!("{found:?}") };
            first[a] += 1.0;
            both[a][b] += 1.0;
            assert_eq!(score, scores[a]);
            assert!((p.unwrap() - w[a] / total).abs() < 1e-12);
            assert!((q.unwrap() - w[b] / (total - w[a])).abs() < 1e-12);
        }
        let off = |seen: f64, p: f64| {
            let expected = f64::from(draws) * p;
            (seen - expected).powi(2) / expected
        };
        let of_first: f64 = (0..4).map(|a| off(first[a], w[a] / total)).sum();
        assert!(of_first < 16.27, "{law:?}: {of_first} with 3 degrees of freedom");
        let pairs = (0..4).flat_map(|a| (0..4).filter(move |&b| a != b).map(move |b| (a, b)));
        let of_both: f64 =
            pairs.map(|(a, b)| off(both[a][b], w[a] / total * w[b] / (total - w[a]))).sum();
        assert!(of_both < 31.26, "{law:?}: {of_both} with 11 degrees of freedom");
    }
}

quickcheck! {
    /// The keys, sorted whole; the weights left, summed afresh for each draw.
    fn a_draw_is_its_definition(bytes: Vec<u8>, batch: u8, cycle: u8) -> bool {
        let scores: Vec<f64> = bytes.iter().map(|b| f64::from(b % 7)).collect();
        let n = scores.len();
        if n == 0 {
            return true;
        }
        let batch = usize::from(batch) % n + 1;
        [Law::Power, Law::Softmax, Law::SoftRank].into_iter().all(|law| {
            let found = draw(&around(law, 1.5, Given(scores.clone())), n, batch, cycle.into()).unwrap();
            let w = weights(law, 1.5, &scores);
            let candidates = ids(n);
            let seen = View::new(candidates.as_slice(), 11, CycleNumber(cycle.into()));
            let chance = seen.chance("stochastic batch");
            // An exponential race, which Gumbel keys are the logarithm of: the first to arrive is picked.
            let arrival = |i: usize| -chance.unit(&seen.id(i)).ln() / w[i];
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&a, &b| arrival(a).total_cmp(&arrival(b)).then(a.cmp(&b)));
            let mut left: Vec<usize> = (0..n).collect();
            let picks = picks(&found);
            picks.len() == batch && picks.iter().zip(order).all(|(&(index, score, p), expected)| {
                let total: f64 = left.iter().map(|&i| w[i]).sum();
                left.retain(|&i| i != index);
                let right = match p {
                    Some(p) => (p - w[index] / total).abs() < 1e-9,
                    None => w[index] == 0.0 && total == 0.0,
                };
                index == expected && score == scores[index] && right
            })
        })
    }
}

#[test]
fn huge_and_tiny_scores_do_not_overflow() {
    for scores in [vec![1e308, -1e308, 0.0, 5e-324], vec![1e308; 4], vec![-1e308; 4], vec![0.0; 4]]
    {
        for law in [Law::Power, Law::Softmax, Law::SoftRank] {
            for beta in [1e-9, 1.0, 1e9] {
                let found = draw(&around(law, beta, Given(scores.clone())), 4, 4, 1).unwrap();
                let found = picks(&found);
                assert_eq!(found.len(), 4);
                for (_, score, probability) in found {
                    let drawn = probability.is_some_and(|p| p > 0.0 && p <= 1.0);
                    assert!(
                        drawn || law == Law::Power && score <= 0.0,
                        "{law:?} {beta} {scores:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_has_no_weight_comes_last_and_by_id() {
    let strategy = around(Law::Power, 1.0, Given(vec![0.0, 0.5, -1.0, 0.0]));
    let found = picks(&draw(&strategy, 4, 4, 1).unwrap());
    assert_eq!(found, [(1, 0.5, Some(1.0)), (0, 0.0, None), (2, -1.0, None), (3, 0.0, None)]);
}

#[test]
fn noise_needs_scores() {
    let refusal = |found: Result<Selection, SelectorError>| found.unwrap_err().to_string();
    let found = refusal(draw(&around(Law::Power, 1.0, Stubborn), 4, 2, 1));
    assert!(
        found.starts_with("the strategy power(stubborn): the strategy inside picks"),
        "{found}"
    );
    let found = refusal(draw(&around(Law::Softmax, 1.0, Given(vec![0.0, f64::NAN])), 2, 1, 1));
    assert!(found.contains("gives sample s001 the score NaN"), "{found}");
}

#[test]
fn the_strategy_inside_is_margin_unless_another_is_named() {
    let p = distributions(&[(9, 1, 1), (5, 5, 1), (4, 4, 4), (7, 1, 1)]);
    let candidates = ids(4);
    let seen = probabilities(&candidates, &p);
    for (strategy, inner) in [
        ("power", "margin"),
        ("softmax(entropy, beta=3)", "entropy"),
        ("softrank(power(margin))", "refused"),
    ] {
        let found = select_by(strategy, &seen, 2, 0);
        if inner == "refused" {
            assert!(matches!(found, Err(SelectorError::Strategy { .. })));
            continue;
        }
        let scores = select_by(inner, &seen, 2, 0).unwrap().1;
        for (index, score, _) in picks(&found.unwrap().0) {
            assert_eq!(score, scores[index]);
        }
    }
    let blind = select_by("power", &view(&candidates), 1, 0);
    assert!(matches!(blind, Err(SelectorError::NoOutput { .. })));
}
