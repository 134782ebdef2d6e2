//! Strategies that look at a whole pool's geometry, on one thread and on all, each beside a naive version in the same run.
//!
//! `cargo bench --bench selection` measures all of it; `-- kcenter` what has that in its name.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a bench prints"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a bench measures real time"
)]

use gleaner::data_selector::{Output, SelectRequest, View, build, select};
use gleaner::domain::chance::Chance;
use gleaner::domain::ids::{CycleNumber, SampleId};
use gleaner::domain::matrix::Matrix;
use std::borrow::Cow;
use std::time::Instant;

const SAMPLES: usize = 20_000;
const WIDTH: usize = 64;
const CLASSES: usize = 10;
const BATCH: usize = 100;

struct Pool {
    ids: Vec<SampleId>,
    embedding: Matrix,
    probabilities: Matrix,
    none: Matrix,
    none_probable: Matrix,
}

impl Pool {
    /// Ten clouds of points, and how likely each point belongs to each.
    fn new() -> Self {
        let chance = Chance { seed: 1, cycle: CycleNumber(0), purpose: "bench" };
        let normal = |key: &str| {
            let sum: f64 = (0..6).map(|part| chance.unit(&format!("{key} {part}"))).sum();
            (sum - 3.0) as f32
        };
        let centres: Vec<f32> =
            (0..CLASSES * WIDTH).map(|i| normal(&format!("centre {i}"))).collect();
        // One noise table, read from changing places: hashing 1.28 million draws would take longer than the bench.
        let noise: Vec<f32> = (0..65_521).map(|i| normal(&format!("noise {i}"))).collect();
        let mut embedding = Vec::with_capacity(SAMPLES * WIDTH);
        let mut probabilities = Vec::with_capacity(SAMPLES * CLASSES);
        for sample in 0..SAMPLES {
            let class = sample % CLASSES;
            for axis in 0..WIDTH {
                let noise = noise[(sample * 7919 + axis * 104_729) % noise.len()];
                embedding.push(centres[class * WIDTH + axis] + 0.8 * noise);
            }
            let logit = |c: usize| {
                let noise = noise[(sample * 31 + c * 6151) % noise.len()];
                (if c == class { 2.0 } else { 0.0 } + noise).exp()
            };
            let row: Vec<f32> = (0..CLASSES).map(logit).collect();
            let sum: f32 = row.iter().sum();
            probabilities.extend(row.iter().map(|p| p / sum));
        }
        Self {
            ids: (0..SAMPLES).map(|i| SampleId::from(format!("s{i:05}"))).collect(),
            embedding: Matrix::new(SAMPLES, WIDTH, embedding).unwrap(),
            probabilities: Matrix::new(SAMPLES, CLASSES, probabilities).unwrap(),
            none: Matrix::new(0, WIDTH, vec![]).unwrap(),
            none_probable: Matrix::new(0, CLASSES, vec![]).unwrap(),
        }
    }

    fn view(&self) -> View<'_> {
        let mut view = View::new(self.ids.as_slice(), 7, CycleNumber(1))
            .with("embedding", Output::flat(&self.embedding))
            .with("probabilities", Output::flat(&self.probabilities));
        view.classes = CLASSES;
        view.labelled.outputs.insert("embedding", Cow::Borrowed(&self.none));
        view.labelled.outputs.insert("probabilities", Cow::Borrowed(&self.none_probable));
        view
    }

    fn row(&self, index: usize) -> &[f32] {
        self.embedding.row(index)
    }
}

/// The least of several runs, in seconds.
fn seconds(times: usize, mut work: impl FnMut()) -> f64 {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..times).map(|_| time(&mut work)).fold(f64::INFINITY, f64::min)
}

fn by(pool: &Pool, strategy: &str, threads: usize, times: usize) -> Result<f64, String> {
    let built = build(&strategy.parse().unwrap()).map_err(|error| error.to_string())?;
    let view = pool.view();
    let request =
        SelectRequest { strategy: &*built, name: strategy, view: &view, batch: BATCH, audit: 0 };
    let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut picks = 0;
    let found = seconds(times, || {
        picks = threads.install(|| select(&request, None)).unwrap().picks.len();
    });
    assert_eq!(picks, BATCH);
    Ok(found)
}

fn squared(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Farthest first by plain loops.
fn naive_kcenter(pool: &Pool) {
    let mut nearest = vec![f32::INFINITY; SAMPLES];
    let mut pick = 0;
    for _ in 0..BATCH {
        for (index, nearest) in nearest.iter_mut().enumerate() {
            *nearest = nearest.min(squared(pool.row(index), pool.row(pick)));
        }
        pick = (0..SAMPLES).max_by(|&a, &b| nearest[a].total_cmp(&nearest[b])).unwrap();
    }
    std::hint::black_box(pick);
}

/// k-means++ on gradient embeddings that are built: 640 numbers a sample.
fn naive_badge(pool: &Pool) {
    let gradient = |index: usize| -> Vec<f32> {
        let row = pool.probabilities.row(index);
        let best = (0..CLASSES).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        let factor = |c: usize| row[c] - if c == best { 1.0 } else { 0.0 };
        (0..CLASSES).flat_map(|c| pool.row(index).iter().map(move |h| factor(c) * h)).collect()
    };
    let gradients: Vec<Vec<f32>> = (0..SAMPLES).map(gradient).collect();
    let chance = Chance { seed: 7, cycle: CycleNumber(1), purpose: "naive" };
    let mut nearest = vec![f32::INFINITY; SAMPLES];
    let mut pick = 0;
    for place in 0..BATCH {
        for (gradient, nearest) in gradients.iter().zip(&mut nearest) {
            *nearest = nearest.min(squared(gradient, &gradients[pick]));
        }
        let total: f64 = nearest.iter().map(|&d| f64::from(d)).sum();
        let target = chance.unit(&place.to_string()) * total;
        let mut sum = 0.0;
        pick = nearest
            .iter()
            .position(|&d| {
                sum += f64::from(d);
                sum > target
            })
            .unwrap_or(0);
    }
    std::hint::black_box(pick);
}

/// What coverage methods begin with, done once: the distances of all pairs, one row after the other.
fn naive_pairs(pool: &Pool) {
    let mut sum = 0.0;
    for a in 0..SAMPLES {
        for b in 0..SAMPLES {
            sum += f64::from(squared(pool.row(a), pool.row(b)));
        }
    }
    std::hint::black_box(sum);
}

fn main() {
    let wanted = std::env::args().skip(1).find(|text| !text.starts_with('-')).unwrap_or_default();
    let pool = Pool::new();
    let all = std::thread::available_parallelism().unwrap().get();
    println!(
        "{BATCH} of {SAMPLES} x {WIDTH}, {CLASSES} classes; seconds, the least of several runs"
    );
    println!(
        "{:<22} {:>9} {:>9} {:>9} {:>8}  goal",
        "strategy", "1 thread", "all", "naive", "ratio"
    );
    type Naive = Option<(&'static str, fn(&Pool))>;
    let cases: [(&str, Naive, f64, usize, &str); 9] = [
        ("kcenter", Some(("plain loops", naive_kcenter)), 0.033, 9, "NumPy 0.033, a library 0.51"),
        ("badge", Some(("gradients built", naive_badge)), 0.043, 9, "NumPy 0.043, a library 3.3"),
        ("typiclust", None, 0.9, 5, "elsewhere about 0.9"),
        ("max_herding", Some(("all pairs once", naive_pairs)), 26.0, 1, "elsewhere 26 to 44"),
        ("probcover", Some(("all pairs once", naive_pairs)), 26.0, 1, "elsewhere 26 to 44"),
        ("uncertainty_herding", None, f64::INFINITY, 1, "-"),
        ("kmeans", None, f64::INFINITY, 3, "-"),
        ("diverse_mini_batch", None, f64::INFINITY, 3, "-"),
        ("cluster_margin", None, f64::INFINITY, 3, "-"),
    ];
    let mut naive_times: Vec<(&str, f64)> = Vec::new();
    for (strategy, naive, goal, times, text) in cases {
        if !strategy.contains(&wanted) {
            continue;
        }
        let one = match by(&pool, strategy, 1, times) {
            Ok(found) => found,
            Err(error) => {
                println!("{strategy:<22} {error}");
                continue;
            }
        };
        let every = by(&pool, strategy, all, times).unwrap();
        let naive = naive.map(|(name, work)| {
            let known = naive_times.iter().find(|(known, _)| *known == name).map(|known| known.1);
            let found = known.unwrap_or_else(|| seconds(1, || work(&pool)));
            naive_times.push((name, found));
            (name, found)
        });
        let (beside, ratio) = naive.map_or(("-".to_owned(), "-".to_owned()), |(_, naive)| {
            (format!("{naive:.3}"), format!("{:.1}x", naive / one))
        });
        let verdict = if goal.is_infinite() {
            ""
        } else if one < goal {
            "met"
        } else {
            "MISSED"
        };
        let beside_what = naive.map_or("", |(name, _)| name);
        println!(
            "{strategy:<22} {one:>9.4} {every:>9.4} {beside:>9} {ratio:>8}  {text} {verdict}  {beside_what}"
        );
    }
}
