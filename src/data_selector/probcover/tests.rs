//! ProbCover against algorithm 1 as the paper writes it: a graph, from which edges are removed.

use super::super::test_support::{ids, picks, plane, select_by, view};
use super::super::{Output, SelectorError, View};
use crate::domain::matrix::Matrix;
use quickcheck::quickcheck;
use std::borrow::Cow;

fn with_labelled<'a>(seen: View<'a>, at: &'a Matrix, labelled: &'a Matrix) -> View<'a> {
    let mut seen = seen.with("embedding", Output::flat(at));
    seen.labelled.classes = Cow::Owned(vec![0; labelled.rows()]);
    seen.labelled.outputs.insert("embedding", Cow::Borrowed(labelled));
    seen
}

fn near(a: &[f32], b: &[f32], radius: f32) -> bool {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>() <= radius * radius
}

fn by_the_graph(at: &Matrix, labelled: &Matrix, radius: f32, count: usize) -> Vec<usize> {
    let n = at.rows();
    let mut edges: Vec<(usize, usize)> = (0..n).flat_map(|x| (0..n).map(move |y| (x, y))).collect();
    edges.retain(|&(x, y)| near(at.row(x), at.row(y), radius));
    edges.retain(|&(_, y)| !labelled.iter_rows().any(|l| near(l, at.row(y), radius)));
    let mut chosen: Vec<usize> = vec![];
    while chosen.len() < count {
        let degree = |x: usize| edges.iter().filter(|edge| edge.0 == x).count();
        let left = (0..n).filter(|x| !chosen.contains(x));
        let best = left.map(|x| (x, degree(x))).reduce(|a, b| if b.1 > a.1 { b } else { a });
        let best = best.expect("one is left").0;
        let reached: Vec<usize> = edges.iter().filter(|e| e.0 == best).map(|e| e.1).collect();
        edges.retain(|(_, y)| !reached.contains(y));
        chosen.push(best);
    }
    chosen
}

quickcheck! {
    fn picks_are_those_of_the_graph(at: Vec<(i8, i8)>, labelled: Vec<(i8, i8)>, radius: u8, batch: u8) -> bool {
        if at.is_empty() {
            return true;
        }
        let (at, labelled) = (plane(&at[..at.len().min(40)]), plane(&labelled[..labelled.len().min(4)]));
        let candidates = ids(at.rows());
        let seen = with_labelled(view(&candidates), &at, &labelled);
        let (radius, count) = (radius % 12 + 1, usize::from(batch) % at.rows() + 1);
        let expected = by_the_graph(&at, &labelled, f32::from(radius), count);
        picks(&format!("probcover(radius={radius})"), &seen, count) == expected
    }
}

#[test]
fn the_default_radius_keeps_balls_pure_and_is_recorded() {
    // Three clumps of 20 in a row, 10 apart from centre to centre.
    let at: Vec<(f32, f32)> =
        (0..60_u8).map(|i| (f32::from(i / 20) * 10.0, f32::from(i % 20) / 20.0)).collect();
    let at = Matrix::new(60, 2, at.iter().flat_map(|&(x, y)| [x, y]).collect()).expect("60 x 2");
    let (candidates, none) = (ids(60), Matrix::default());
    let mut seen = with_labelled(view(&candidates), &at, &none);
    seen.classes = 3;
    let (found, _) = select_by("probcover", &seen, 3, 0).expect("picks");
    let radius = &found.parameters["radius"];
    assert!(
        radius.starts_with("9.999999") && radius.ends_with("(95 % of the balls are pure)"),
        "{radius}"
    );
    assert_eq!(picks("probcover", &seen, 3), [0, 20, 40], "one of each clump");
    seen.classes = 0;
    let (found, _) = select_by("probcover", &seen, 3, 0).expect("picks");
    assert!(found.parameters["radius"].ends_with("(the 5 % quantile of distances)"));
}

#[test]
fn once_all_is_covered_the_rest_goes_by_id_and_is_said() {
    let at = plane(&[(0, 0), (1, 0), (2, 0), (9, 9)]);
    let (candidates, none) = (ids(4), Matrix::default());
    let seen = with_labelled(view(&candidates), &at, &none);
    let (found, _) = select_by("probcover(radius=1)", &seen, 4, 0).expect("picks");
    assert_eq!(picks("probcover(radius=1)", &seen, 4), [1, 3, 0, 2]);
    assert_eq!(found.parameters["covered"], "everything before pick 3; the rest by id");
    assert_eq!(found.picks[0].score, Some(3.0));
}

#[test]
fn cosine_needs_directions() {
    let at = Matrix::new(3, 2, vec![1.0, 0.0, 5.0, 0.1, 0.0, 0.0]).expect("3 x 2");
    let (candidates, none) = (ids(3), Matrix::default());
    let seen = with_labelled(view(&candidates), &at, &none);
    let found = select_by("probcover(radius=0.1, metric=cosine)", &seen, 1, 0);
    assert!(
        matches!(found, Err(SelectorError::ZeroVector { ref sample, .. }) if sample.as_str() == "s002")
    );
    let some = Matrix::new(3, 2, vec![0.0, 1.0, 5.0, 0.1, 50.0, 0.0]).expect("3 x 2");
    let seen = with_labelled(view(&candidates), &some, &none);
    assert_eq!(picks("probcover(radius=0.1, metric=cosine)", &seen, 2), [1, 0]);
}

#[test]
fn any_number_of_threads_picks_the_same() {
    let n = 700_usize;
    let values = (0..n * 5).map(|i| ((i * 7919 % 1013) as f32).sqrt()).collect();
    let (at, none) = (Matrix::new(n, 5, values).expect("n x 5"), Matrix::default());
    let candidates: Vec<_> = (0..n).map(|i| format!("s{i:05}").as_str().into()).collect();
    let mut seen = with_labelled(view(&candidates), &at, &none);
    seen.classes = 4;
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| select_by("probcover", &seen, 40, 0).expect("picks"))
    };
    assert!(run(1) == run(2) && run(1) == run(5));
}
