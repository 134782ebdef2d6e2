//! Diverse mini-batches: weighted k-means, picked one by one.

use super::super::kmeans::Clusters;
use super::super::test_support::{
    distributions, ids, picks, plane, probabilities, select_by, squared,
};
use super::super::{Output, SelectorError};
use super::kept_count;
use crate::domain::matrix::Matrix;
use quickcheck::quickcheck;

fn first_least(values: impl Iterator<Item = f32>) -> usize {
    let values: Vec<f32> = values.collect();
    (0..values.len()).fold(0, |best, i| if values[i] < values[best] { i } else { best })
}

quickcheck! {
    /// The nearest to each centre of weighted k-means that is left, then the most uncertain.
    fn picks_are_next_to_the_centres_of_weighted_k_means(at: Vec<(i8, i8)>, bytes: Vec<(u8, u8, u8)>, batch: u8) -> bool {
        let n = at.len().min(bytes.len()).min(60);
        if n == 0 {
            return true;
        }
        let (at, p) = (plane(&at[..n]), distributions(&bytes[..n]));
        let candidates = ids(n);
        let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&at));
        let count = usize::from(batch) % n.min(8) + 1;
        let score = select_by("margin", &seen, 1, 0).expect("scores").1;
        let mut kept = picks("margin", &seen, 3 * count);
        kept.sort_unstable();
        let points: Vec<&[f32]> = kept.iter().map(|&i| at.row(i)).collect();
        let weights: Vec<f64> = kept.iter().map(|&i| score[i]).collect();
        let chance = seen.chance("diverse_mini_batch");
        let clusters = Clusters::find(&points.concat(), 2, count, Some(&weights), &chance);
        let centres: Vec<&[f32]> = clusters.centres.chunks(2).collect();
        let mut expected: Vec<usize> = vec![];
        for centre in &centres {
            let left: Vec<usize> = kept.iter().copied().filter(|i| !expected.contains(i)).collect();
            if !left.is_empty() {
                expected.push(left[first_least(left.iter().map(|&i| squared(at.row(i), centre)))]);
            }
        }
        while expected.len() < count {
            let left = kept.iter().copied().filter(|i| !expected.contains(i));
            expected.push(left.reduce(|a, b| if score[b] > score[a] { b } else { a }).expect("one is left"));
        }
        picks("diverse_mini_batch(keep=3)", &seen, count) == expected
    }
}

#[test]
fn duplicates_and_equal_scores_still_fill_the_batch() {
    let at = plane(&[(1, 1); 6]);
    let p = distributions(&[(4, 4, 4); 6]);
    let candidates = ids(6);
    let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&at));
    assert_eq!(picks("diverse_mini_batch", &seen, 6), [0, 1, 2, 3, 4, 5]);
    let sure = Matrix::new(6, 2, [1.0, 0.0].repeat(6)).expect("6 x 2");
    let seen = probabilities(&candidates, &sure).with("embedding", Output::flat(&at));
    assert_eq!(picks("diverse_mini_batch", &seen, 3), [0, 1, 2], "no weight at all");
}

#[test]
fn each_clump_gives_one() {
    let at = plane(&[(0, 0), (0, 1), (1, 0), (12, 0), (12, 1), (0, 12), (1, 12), (0, 13)]);
    let p = distributions(&[(4, 4, 4); 8]);
    let candidates = ids(8);
    let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&at));
    let mut found = picks("diverse_mini_batch", &seen, 3);
    found.sort_unstable();
    assert_eq!(found, [0, 3, 5]);
}

#[test]
fn any_number_of_threads_picks_the_same() {
    let n = 3000_usize;
    let values = (0..n * 4).map(|i| ((i * 7919 % 1013) as f32).sqrt()).collect();
    let at = Matrix::new(n, 4, values).expect("n x 4");
    let byte = |i: usize| u8::try_from(i).expect("a byte");
    let bytes: Vec<_> = (0..n).map(|i| (byte(i % 251), byte(i % 83), byte(i % 7))).collect();
    let p = distributions(&bytes);
    let candidates: Vec<_> = (0..n).map(|i| format!("s{i:05}").as_str().into()).collect();
    let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&at));
    for strategy in ["diverse_mini_batch", "cluster_margin"] {
        let run = |threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| select_by(strategy, &seen, 40, 0).expect("picks"))
        };
        assert!(run(1) == run(2) && run(1) == run(5));
    }
}

#[test]
fn what_is_no_number_is_named_where_it_is_looked_at() {
    let at = Matrix::new(2, 1, vec![0.0, f32::INFINITY]).expect("2 x 1");
    let p = distributions(&[(1, 1, 1), (1, 1, 1)]);
    let candidates = ids(2);
    let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&at));
    for strategy in ["diverse_mini_batch", "cluster_margin"] {
        let found = select_by(strategy, &seen, 1, 0);
        assert!(
            matches!(found, Err(SelectorError::NotFinite { ref sample, .. }) if sample.as_str() == "s001")
        );
    }
    assert_eq!(
        [(10.0, 3), (1.5, 3), (1.0, 7), (1e300, 2)].map(|(f, n)| kept_count(f, n)),
        [30, 5, 7, usize::MAX]
    );
}
