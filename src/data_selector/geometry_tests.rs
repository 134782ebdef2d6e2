//! k-center, BADGE, k-means and TypiClust against their definitions, everything looked at for every pick.

use super::badge::factors;
use super::kmeans::Clusters;
use super::test_support::{
    distributions, embedded, ids, picks, plane, probabilities, select_by, squared, view,
};
use super::{SelectorError, View};
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::matrix::Matrix;
use quickcheck::quickcheck;

/// The farthest from all centres, the first of equals, of those that are not picked.
fn farthest_first(
    at: &Matrix,
    labelled: &Matrix,
    first: Option<usize>,
    count: usize,
) -> Vec<usize> {
    let mut chosen: Vec<usize> = first.into_iter().collect();
    while chosen.len() < count {
        let mut best: Option<(usize, f32)> = None;
        for x in (0..at.rows()).filter(|x| !chosen.contains(x)) {
            let centres = labelled.iter_rows().chain(chosen.iter().map(|&c| at.row(c)));
            let near = centres.map(|c| squared(at.row(x), c)).fold(f32::INFINITY, f32::min);
            if best.is_none_or(|(_, most)| near > most) {
                best = Some((x, near));
            }
        }
        chosen.push(best.expect("one is left").0);
    }
    chosen
}

fn radius(at: &Matrix, labelled: &Matrix, chosen: &[usize]) -> f32 {
    let near = |x: &[f32]| {
        let centres = labelled.iter_rows().chain(chosen.iter().map(|&c| at.row(c)));
        centres.map(|c| squared(x, c)).fold(f32::INFINITY, f32::min)
    };
    at.iter_rows().map(near).fold(0.0, f32::max)
}

/// The squared distance of two gradient embeddings that are really built.
fn gradient_distance(p: &Matrix, h: &Matrix, i: usize, j: usize) -> f64 {
    let factors = factors(p.data(), p.cols());
    let gradient = |row: usize| {
        let a = factors[row * p.cols()..(row + 1) * p.cols()].to_vec();
        let h = h.row(row).to_vec();
        a.into_iter()
            .flat_map(move |a| h.clone().into_iter().map(move |h| f64::from(a) * f64::from(h)))
    };
    gradient(i).zip(gradient(j)).map(|(x, y)| (x - y) * (x - y)).sum()
}

quickcheck! {
    fn k_center_is_farthest_first(at: Vec<(i8, i8)>, labelled: Vec<(i8, i8)>, batch: u8) -> bool {
        if at.is_empty() {
            return true;
        }
        let (candidates, at, labelled) = (ids(at.len()), plane(&at), plane(&labelled));
        let count = usize::from(batch) % at.rows() + 1;
        let seen = embedded(view(&candidates), &at, &labelled);
        let found = picks("kcenter", &seen, count);
        let first = (labelled.rows() == 0).then_some(found[0]);
        let expected = farthest_first(&at, &labelled, first, count);
        found == expected && radius(&at, &labelled, &found) <= radius(&at, &labelled, &expected)
    }

    /// Each pick is drawn among those left by squared distance in gradient space: the sum of all before it, in the order of
    /// ids, stands on one side of the draw, and with it on the other.
    fn badge_draws_by_its_law(bytes: Vec<(u8, u8, u8)>, at: Vec<(i8, i8)>, batch: u8, seed: u64) -> bool {
        let n = bytes.len().min(at.len());
        if n == 0 {
            return true;
        }
        let (candidates, p, h) = (ids(n), distributions(&bytes[..n]), plane(&at[..n]));
        let none = Matrix::new(0, 2, vec![]).expect("none");
        let mut seen = embedded(probabilities(&candidates, &p), &h, &none);
        seen.seed = seed;
        let count = usize::from(batch) % n + 1;
        let found = picks("badge", &seen, count);
        let nothing = |i: usize| gradient_distance(&p, &h, i, i);
        let length = |i: usize| {
            let a: f64 = factors(p.row(i), 3).iter().map(|&a| f64::from(a) * f64::from(a)).sum();
            a * h.row(i).iter().map(|&h| f64::from(h) * f64::from(h)).sum::<f64>() + nothing(i)
        };
        let longest = (0..n).map(length).fold(0.0, f64::max);
        let mut holds = length(found[0]) >= longest * (1.0 - 1e-5);
        for place in 1..count {
            let chosen = &found[..place];
            let left = |x: usize| {
                let near = chosen.iter().map(|&c| gradient_distance(&p, &h, x, c));
                near.fold(f64::INFINITY, f64::min)
            };
            let total: f64 = (0..n).map(left).sum();
            let target = seen.chance("badge").unit(&place.to_string()) * total;
            let before: f64 = (0..found[place]).map(left).sum();
            let slack = 1e-4 * total + 1e-9;
            holds &= if total > 1e-9 {
                before <= target + slack && target <= before + left(found[place]) + slack
            } else {
                (0..found[place]).all(|x| chosen.contains(&x))
            };
        }
        holds
    }

    /// After Lloyd has settled each point is with its nearest centre, and each centre is the mean of its points.
    fn k_means_settles(at: Vec<(i8, i8)>, k: u8) -> bool {
        if at.is_empty() {
            return true;
        }
        let (candidates, at) = (ids(at.len()), plane(&at));
        let k = usize::from(k) % at.rows() + 1;
        let seen = view(&candidates);
        let clusters = Clusters::find(at.data(), 2, k, None, &seen.chance("test"));
        let centre = |c: usize| &clusters.centres[c * 2..c * 2 + 2];
        let nearest = (0..at.rows()).all(|x| {
            let own = squared(at.row(x), centre(clusters.of[x]));
            (0..k).all(|c| own <= squared(at.row(x), centre(c)) + 1e-3)
        });
        let means = (0..k).filter(|&c| clusters.sizes[c] > 0).all(|c| {
            let of: Vec<usize> = (0..at.rows()).filter(|&x| clusters.of[x] == c).collect();
            (0..2).all(|axis| {
                let sum: f32 = of.iter().map(|&x| at.row(x)[axis]).sum();
                (sum / of.len() as f32 - centre(c)[axis]).abs() < 1e-3
            })
        });
        nearest && means && clusters.sizes.iter().sum::<usize>() == at.rows()
    }

    /// The strategy `kmeans` gives each cluster, the largest first, the nearest sample that is free.
    fn k_means_picks_what_is_nearest_to_its_centres(at: Vec<(i8, i8)>, batch: u8) -> bool {
        if at.is_empty() {
            return true;
        }
        let (candidates, at) = (ids(at.len()), plane(&at));
        let none = Matrix::new(0, 2, vec![]).expect("none");
        let seen = embedded(view(&candidates), &at, &none);
        let count = usize::from(batch) % at.rows() + 1;
        let clusters = Clusters::find(at.data(), 2, count, None, &seen.chance("kmeans"));
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|&c| (at.rows() - clusters.sizes[c], c));
        let mut expected: Vec<usize> = vec![];
        for c in order {
            let centre = &clusters.centres[c * 2..c * 2 + 2];
            let free = (0..at.rows()).filter(|x| !expected.contains(x));
            let near = free.min_by(|&a, &b| {
                squared(at.row(a), centre).total_cmp(&squared(at.row(b), centre)).then(a.cmp(&b))
            });
            expected.push(near.expect("one is free"));
        }
        picks("kmeans", &seen, count) == expected
    }

    /// TypiClust against the steps of its paper, one after the other, on the same clustering.
    fn typiclust_picks_the_typical_of_uncovered_clusters(at: Vec<(i8, i8)>, labelled: Vec<(i8, i8)>, batch: u8) -> bool {
        if at.is_empty() {
            return true;
        }
        let (candidates, at, known) = (ids(at.len()), plane(&at), plane(&labelled));
        let count = usize::from(batch) % at.rows() + 1;
        let seen = embedded(view(&candidates), &at, &known);
        let all: Vec<f32> = at.data().iter().chain(known.data()).copied().collect();
        let k = (count + known.rows()).min(500);
        let clusters = Clusters::find(&all, 2, k, None, &seen.chance("typiclust"));
        let size = |c: usize| clusters.sizes[c];
        let covered = |c: usize| clusters.of[at.rows()..].iter().filter(|&&of| of == c).count();
        let mut order: Vec<usize> = (0..clusters.sizes.len()).collect();
        order.sort_by_key(|&c| (size(c) < 5, covered(c), usize::MAX - size(c), c));
        let mut chosen: Vec<usize> = vec![];
        for large in [true, false] {
            let group: Vec<usize> = order.iter().copied().filter(|&c| (size(c) >= 5) == large).collect();
            for _ in 0..at.rows() {
                for &c in &group {
                    let free: Vec<usize> =
                        (0..at.rows()).filter(|x| clusters.of[*x] == c && !chosen.contains(x)).collect();
                    if free.is_empty() || chosen.len() == count {
                        continue;
                    }
                    let neighbours = 20.min(free.len() / 2);
                    let typicality = |x: usize| {
                        let mut near: Vec<f64> = free
                            .iter()
                            .filter(|&&y| y != x)
                            .map(|&y| f64::from(squared(at.row(x), at.row(y))).sqrt())
                            .collect();
                        near.sort_by(f64::total_cmp);
                        near.truncate(neighbours);
                        let mean = near.iter().sum::<f64>() / near.len().max(1) as f64;
                        1.0 / (mean + 1e-5)
                    };
                    let mut best = free[0];
                    for &x in &free {
                        if typicality(x) > typicality(best) {
                            best = x;
                        }
                    }
                    chosen.push(best);
                }
            }
        }
        picks("typiclust", &seen, count) == chosen
    }

    fn threads_make_no_difference(at: Vec<(i8, i8)>, bytes: Vec<(u8, u8, u8)>) -> bool {
        let n = at.len().min(bytes.len());
        if n == 0 {
            return true;
        }
        let (candidates, p, h) = (ids(n), distributions(&bytes[..n]), plane(&at[..n]));
        let none = Matrix::new(0, 2, vec![]).expect("none");
        let seen = embedded(probabilities(&candidates, &p), &h, &none);
        ["kcenter", "badge", "kmeans", "typiclust"].into_iter().all(|strategy| {
            let by = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.expect("threads").install(|| picks(strategy, &seen, n.div_ceil(2)))
            };
            by(1) == by(2) && by(1) == by(5)
        })
    }
}

/// A pool larger than a piece, in clusters, so that every path of the loops is gone through.
#[test]
fn a_larger_pool_is_picked_from_alike() {
    let at: Vec<(i8, i8)> = (0..5000_u32)
        .map(|i| {
            let byte = |n: u32| i8::try_from(n.wrapping_mul(2_654_435_761) >> 25).expect("7 bits");
            (byte(i), byte(i * 7 + 3))
        })
        .collect();
    let values = at.iter().flat_map(|&(x, y)| [f32::from(x), f32::from(y)]).collect();
    let at = Matrix::new(at.len(), 2, values).expect("n x 2");
    let candidates: Vec<SampleId> = (0..5000).map(|i| SampleId::from(format!("s{i:04}"))).collect();
    let labelled = Matrix::new(2, 2, vec![0.0, 0.0, 100.0, 100.0]).expect("2 x 2");
    let seen = embedded(view(&candidates), &at, &labelled);
    assert_eq!(picks("kcenter", &seen, 40), farthest_first(&at, &labelled, None, 40));
}

/// The second pick of four, with squared distances to the longest of 1, 4 and 9 parts: chi-squared with 2 degrees of freedom
/// stays below 13.8 in 999 of 1,000 experiments.
#[test]
fn badge_s_second_pick_follows_its_law() {
    let candidates = ids(4);
    let p = Matrix::new(4, 2, [0.5; 8].to_vec()).expect("4 x 2");
    let h = Matrix::new(4, 1, vec![10.0, 9.0, 8.0, 7.0]).expect("4 x 1");
    let mut times = [0_u32; 4];
    let runs = 7000;
    for seed in 0..runs {
        let seen = View::new(candidates.as_slice(), seed, CycleNumber(1))
            .with("probabilities", super::Output::flat(&p))
            .with("embedding", super::Output::flat(&h));
        let found = select_by("badge", &seen, 2, 0).expect("picks").0.picks;
        assert_eq!(found[0].sample, candidates[0]);
        let second = (0..4).find(|&i| candidates[i] == found[1].sample).expect("known");
        times[second] += 1;
        let share = [0.0, 1.0, 4.0, 9.0][second] / 14.0;
        assert!((found[1].probability.expect("drawn") - share).abs() < 1e-6);
    }
    let chi: f64 = [1.0, 4.0, 9.0]
        .iter()
        .zip(&times[1..])
        .map(|(parts, &n)| {
            let expected = parts / 14.0 * runs as f64;
            (f64::from(n) - expected).powi(2) / expected
        })
        .sum();
    assert!(chi < 13.8, "{times:?}: {chi}");
}

#[test]
fn embeddings_that_cannot_be_compared_are_refused() {
    let candidates = ids(2);
    let none = Matrix::new(0, 2, vec![]).expect("none");
    let refusal = |strategy: &str, at: &Matrix, labelled: &Matrix| {
        let seen = embedded(view(&candidates), at, labelled);
        select_by(strategy, &seen, 1, 0).expect_err("bad embedding")
    };
    let nan = Matrix::new(2, 2, vec![0.0, 1.0, f32::NAN, 0.0]).expect("2 x 2");
    for strategy in ["kcenter", "kmeans", "typiclust"] {
        let found = refusal(strategy, &nan, &none);
        assert!(
            matches!(&found, SelectorError::NotFinite { sample, .. } if sample.as_str() == "s001"),
            "{found}"
        );
    }
    let zero = Matrix::new(2, 2, vec![1.0, 1.0, 0.0, 0.0]).expect("2 x 2");
    let found = refusal("kcenter(metric=cosine)", &zero, &none);
    assert!(found.to_string().contains("of sample s001 is all zero"), "{found}");
    let wide = Matrix::new(1, 3, vec![0.0; 3]).expect("1 x 3");
    let found = refusal("kcenter", &zero, &wide);
    assert!(matches!(found, SelectorError::Widths { candidates: 2, labelled: 3, .. }), "{found}");
    let found = select_by("kcenter", &view(&candidates), 1, 0).expect_err("no embedding");
    assert!(found.to_string().contains("needs output `embedding`"), "{found}");
}
