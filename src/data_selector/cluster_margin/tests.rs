//! Cluster-Margin against clusters merged by looking at every pair of points, every time.

use super::super::test_support::{distributions, ids, picks, probabilities, select_by};
use super::super::{Output, SelectorError};
use super::average_linkage;
use crate::domain::matrix::Matrix;
use quickcheck::quickcheck;

/// On a line, distances are whole numbers and sums of them exact, so ties are true ties here as there.
fn merged(at: &[f32], until: usize, radius: f64) -> Vec<Vec<usize>> {
    let mut clusters: Vec<Vec<usize>> = (0..at.len()).map(|i| vec![i]).collect();
    let mean = |a: &[usize], b: &[usize]| {
        let all = a.iter().flat_map(|&i| b.iter().map(move |&j| f64::from((at[i] - at[j]).abs())));
        all.sum::<f64>() / (a.len() * b.len()) as f64
    };
    while clusters.len() > until {
        let mut best: Option<(f64, usize, usize)> = None;
        for a in 0..clusters.len() {
            for b in a + 1..clusters.len() {
                let mean = mean(&clusters[a], &clusters[b]);
                if best.is_none_or(|best| mean < best.0) {
                    best = Some((mean, a, b));
                }
            }
        }
        match best {
            Some((mean, a, b)) if mean <= radius => {
                let more = clusters.remove(b);
                clusters[a].extend(more);
                clusters[a].sort_unstable();
            }
            _ => break,
        }
    }
    clusters
}

quickcheck! {
    fn clusters_are_those_of_every_pair(at: Vec<i8>, until: u8, radius: u8) -> bool {
        let at: Vec<f32> = at.iter().take(40).map(|&x| f32::from(x)).collect();
        let points: Vec<&[f32]> = at.chunks(1).collect();
        let until = usize::from(until) % (at.len() + 1) + 1;
        let radius = f64::from(radius);
        let mut expected = vec![0; at.len()];
        for cluster in merged(&at, until, radius) {
            cluster.iter().for_each(|&i| expected[i] = cluster[0]);
        }
        average_linkage(&points, 1, until, radius) == expected
    }

    fn picks_go_round_the_clusters_from_the_smallest(at: Vec<i8>, bytes: Vec<(u8, u8, u8)>, batch: u8, radius: u8) -> bool {
        let n = at.len().min(bytes.len()).min(40);
        if n == 0 {
            return true;
        }
        let at: Vec<f32> = at[..n].iter().map(|&x| f32::from(x)).collect();
        let (embedding, p) = (Matrix::new(n, 1, at.clone()).expect("n x 1"), distributions(&bytes[..n]));
        let candidates = ids(n);
        let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&embedding));
        let count = usize::from(batch) % n + 1;
        let score = select_by("margin", &seen, 1, 0).expect("scores").1;
        let mut kept = picks("margin", &seen, 2 * count);
        kept.sort_unstable();
        let line: Vec<f32> = kept.iter().map(|&i| at[i]).collect();
        let expect = |until, radius| {
            let mut clusters = merged(&line, until, radius);
            clusters.sort_by_key(Vec::len);
            let mut expected = vec![];
            while expected.len() < count {
                for cluster in clusters.iter_mut().filter(|cluster| !cluster.is_empty()) {
                    let best = (0..cluster.len())
                        .reduce(|a, b| if score[kept[cluster[b]]] > score[kept[cluster[a]]] { b } else { a });
                    expected.push(kept[cluster.remove(best.expect("not empty"))]);
                }
            }
            expected.truncate(count);
            expected
        };
        let radius = radius % 60 + 1;
        picks("cluster_margin(keep=2)", &seen, count) == expect(count, f64::INFINITY)
            && picks(&format!("cluster_margin(keep=2, radius={radius})"), &seen, count) == expect(1, f64::from(radius))
    }
}

#[test]
fn near_duplicates_give_one_pick_and_too_large_a_batch_is_refused() {
    let embedding = Matrix::new(5, 1, vec![0.0, 0.1, 0.2, 9.0, 20.0]).expect("5 x 1");
    let p = distributions(&[(9, 9, 0), (9, 9, 0), (9, 9, 0), (9, 5, 0), (9, 4, 0)]);
    let candidates = ids(5);
    let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&embedding));
    assert_eq!(picks("margin", &seen, 3), [0, 1, 2]);
    assert_eq!(picks("cluster_margin", &seen, 3), [3, 4, 0], "the smallest clusters first");
    let many: Vec<_> = (0..9000).map(|i| format!("s{i:05}").as_str().into()).collect();
    let (flat, p) = (
        Matrix::new(9000, 1, vec![0.0; 9000]).expect("n x 1"),
        distributions(&vec![(1, 1, 1); 9000]),
    );
    let seen = probabilities(&many, &p).with("embedding", Output::flat(&flat));
    let found = select_by("cluster_margin", &seen, 9000, 0);
    assert!(matches!(found, Err(SelectorError::Strategy { .. })));
}
