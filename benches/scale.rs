//! Selection from large pools: how fast, beside the fastest that memory allows and beside the obvious way, and in how much
//! memory.
//!
//! `cargo bench --bench scale` measures everything; `-- margin`, `-- pool`, `-- kcenter`, `-- growth` one part of it. Pools
//! are made up by a counter-based generator; the one of ten million samples lies in a file of 400 MB in the temporary
//! folder while it is measured. Peak memory (VmHWM) is that of a process of its own. Times are the best of several, since
//! other programs can only add to them.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench prints"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a bench measures real time"
)]

use gleaner::data_selector::{
    Output, SampleIds, SelectRequest, Selection, SelectorError, View, build, select,
};
use gleaner::domain::ids::CycleNumber;
use gleaner::domain::matrix::Matrix;
use gleaner::domain::rows::{Rows, RowsError};
use std::borrow::Cow;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const CLASSES: usize = 10;
const DIMENSIONS: usize = 64;
/// Rows that are made or written at a time.
const PIECE: usize = 64 * 1024;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--child", strategy, candidates, batch, file] => {
            let file = (*file != "-").then(|| PathBuf::from(file));
            child(strategy, candidates.parse().unwrap(), batch.parse().unwrap(), file.as_deref());
        }
        [] => {
            margin();
            pool();
            kcenter();
            growth();
        }
        parts => {
            for part in parts {
                match *part {
                    "margin" => margin(),
                    "pool" => pool(),
                    "kcenter" => kcenter(),
                    "growth" => growth(),
                    other => println!("no part {other}: there are margin, pool, kcenter, growth"),
                }
            }
        }
    }
}

/// Uniform in [0, 1) from a counter: splitmix64's finaliser.
fn uniform(counter: u64) -> f32 {
    let mut x = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 40) as f32 / (1_u32 << 24) as f32
}

/// Distributions with a clear winner in most rows.
fn distributions(rows: Range<usize>) -> Vec<f32> {
    let mut values: Vec<f32> = (rows.start * CLASSES..rows.end * CLASSES)
        .map(|place| {
            let u = uniform(place as u64);
            let square = u * u;
            square * square * square + 0.001
        })
        .collect();
    for row in values.chunks_exact_mut(CLASSES) {
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
    }
    values
}

/// Vectors around 100 centres.
fn embeddings(rows: Range<usize>) -> Vec<f32> {
    rows.flat_map(|row| {
        let centre = row as u64 * 7919 % 100;
        (0..DIMENSIONS as u64)
            .map(move |d| uniform(centre * 64 + d) * 4.0 + uniform((1 << 40) + row as u64 * 64 + d))
    })
    .collect()
}

/// Ids that are worked out, not stored.
struct Numbered(usize);

impl SampleIds for Numbered {
    fn len(&self) -> usize {
        self.0
    }

    fn get(&self, index: usize) -> Cow<'_, str> {
        Cow::Owned(format!("s{index:09}"))
    }

    /// None is: they ascend as the numbers do.
    fn first_out_of_order(&self) -> Option<usize> {
        None
    }
}

/// Numbers in a file, row after row, read piece by piece.
struct InFile {
    file: File,
    rows: usize,
    cols: usize,
}

impl Rows for InFile {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        let end = range.end.min(self.rows);
        let first = range.start.min(end);
        let mut bytes = vec![0; (end - first) * self.cols * 4];
        self.file.read_exact_at(&mut bytes, (first * self.cols * 4) as u64).map_err(|error| {
            RowsError { what: "the pool".to_owned(), first, end, reason: error.to_string() }
        })?;
        Ok(Cow::Owned(bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect()))
    }
}

fn pick(strategy: &str, view: &View<'_>, batch: usize) -> Result<Selection, SelectorError> {
    let built = build(&strategy.parse().unwrap())?;
    select(&SelectRequest { strategy: &*built, name: strategy, view, batch, audit: 0 }, None)
}

fn best_of<T>(times: usize, mut work: impl FnMut() -> T) -> Duration {
    let once = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed()
    };
    (0..times).map(once).min().unwrap()
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A sum of everything, as fast as one thread can read it.
fn plain_sum(values: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 64];
    let (chunks, rest) = values.as_chunks::<64>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    sums.iter().chain(rest).sum()
}

/// The obvious way: sort each row, then sort all rows.
fn naive_margin(values: &[f32], batch: usize) -> Vec<usize> {
    let mut ranked: Vec<(f64, usize)> = values
        .chunks(CLASSES)
        .map(|row| {
            let mut sorted: Vec<f64> = row.iter().map(|&p| f64::from(p)).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            1.0 - (sorted[0] - sorted[1])
        })
        .enumerate()
        .map(|(index, score)| (score, index))
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().take(batch).map(|(_, index)| index).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn margin() {
    const N: usize = 1_000_000;
    const BATCH: usize = 1_000;
    println!("margin: {BATCH} of {N} x {CLASSES} in memory, checks included");
    let matrix = Matrix::new(N, CLASSES, distributions(0..N)).unwrap();
    let view =
        View::new(Numbered(N), 7, CycleNumber(1)).with("probabilities", Output::flat(&matrix));
    let naive = best_of(1, || naive_margin(matrix.data(), BATCH));
    let found = pick("margin", &view, BATCH).unwrap();
    let expected = naive_margin(matrix.data(), BATCH);
    let expected = expected.iter().map(|&index| view.sample(index));
    assert!(found.picks.iter().map(|pick| pick.sample.clone()).eq(expected), "other picks");
    // Turn by turn, so that what else the machine does slows all of them alike.
    let (mut sum, mut one, mut all) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let mut measures =
        [("least_confidence", Duration::MAX), ("ratio", Duration::MAX), ("entropy", Duration::MAX)];
    for _ in 0..5 {
        sum = sum.min(best_of(5, || plain_sum(black_box(matrix.data()))));
        one = one.min(on_threads(1, || best_of(5, || pick("margin", &view, BATCH))));
        all = all.min(on_threads(threads(), || best_of(5, || pick("margin", &view, BATCH))));
        for (strategy, time) in &mut measures {
            *time = (*time).min(on_threads(1, || best_of(1, || pick(strategy, &view, BATCH))));
        }
    }
    let gigabytes = (N * CLASSES * 4) as f64 / 1e9;
    let line = |what: &str, time: Duration| {
        println!(
            "  {what:<34} {:>9.2} ms  {:>6.2} GB/s  {:>5.2}x of the sum",
            milliseconds(time),
            gigabytes / time.as_secs_f64(),
            sum.as_secs_f64() / time.as_secs_f64()
        );
    };
    line("plain sum, one thread", sum);
    line("margin, one thread", one);
    line(&format!("margin, {} threads", threads()), all);
    for (strategy, time) in measures {
        line(&format!("{strategy}, one thread"), time);
    }
    line("naive margin (sorts), one thread", naive);
    let ratio = sum.as_secs_f64() / one.as_secs_f64();
    println!(
        "  goal: at least 0.50x of the sum on one thread: {ratio:.2}x, {}",
        verdict(ratio >= 0.5)
    );
    println!(
        "  tuned NumPy took 68 CPU-ms, the best-known library 127, on the machine of the issue"
    );
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// The highest memory of this process so far, in MB.
fn peak_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1024.0 / 1e6)
}

/// Selects once, in a process that does nothing else.
fn child(strategy: &str, candidates: usize, batch: usize, file: Option<&Path>) {
    let (name, cols) =
        if strategy == "margin" { ("probabilities", CLASSES) } else { ("embedding", DIMENSIONS) };
    let output = match file {
        Some(path) => {
            Output::flat(InFile { file: File::open(path).unwrap(), rows: candidates, cols })
        }
        None if strategy == "margin" => {
            Output::flat(Matrix::new(candidates, cols, distributions(0..candidates)).unwrap())
        }
        None => Output::flat(Matrix::new(candidates, cols, embeddings(0..candidates)).unwrap()),
    };
    let nothing = Matrix::new(0, cols, vec![]).unwrap();
    let mut view = View::new(Numbered(candidates), 7, CycleNumber(1)).with(name, output);
    view.labelled.outputs.insert(name, Cow::Borrowed(&nothing));
    let start = Instant::now();
    match pick(strategy, &view, batch) {
        Ok(found) => {
            let peak = peak_megabytes().map_or("?".to_owned(), |peak| format!("{peak:.0}"));
            println!("{} {} {peak}", start.elapsed().as_secs_f64(), found.picks.len());
        }
        Err(error) => println!("{error}"),
    }
}

/// What a child says: its seconds and its peak in MB; `None` where it says something else, which is printed.
fn measured(strategy: &str, candidates: usize, batch: usize, file: &str) -> Option<(f64, f64)> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--child", strategy, &candidates.to_string(), &batch.to_string(), file])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let numbers: Vec<f64> = said.split(' ').map_while(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        &[seconds, picked, peak] if picked as usize == batch => Some((seconds, peak)),
        _ => {
            println!("  no figure: {said}{}", String::from_utf8_lossy(&output.stderr).trim());
            None
        }
    }
}

/// A file of distributions that goes away with this value.
struct PoolFile(PathBuf);

impl PoolFile {
    fn new(candidates: usize) -> Self {
        let path = std::env::temp_dir().join(format!("gleaner-scale-{}.f32", std::process::id()));
        let mut to = BufWriter::new(File::create(&path).unwrap());
        for first in (0..candidates).step_by(PIECE) {
            for value in distributions(first..(first + PIECE).min(candidates)) {
                to.write_all(&value.to_le_bytes()).unwrap();
            }
        }
        to.flush().unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for PoolFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn pool() {
    const N: usize = 10_000_000;
    const BATCH: usize = 10_000;
    println!("pool: margin, {BATCH} of {N} x {CLASSES} in a file");
    let file = PoolFile::new(N);
    if let Some((seconds, peak)) = measured("margin", N, BATCH, file.path()) {
        println!("  {:.0} ms, peak memory {peak:.0} MB", seconds * 1e3);
        println!("  goal: under 300 MB: {}", verdict(peak < 300.0));
    }
}

fn kcenter() {
    const N: usize = 1_000_000;
    const BATCH: usize = 1_000;
    println!("k-center: {BATCH} of {N} x {DIMENSIONS} in memory");
    if let Some((seconds, peak)) = measured("kcenter", N, BATCH, "-") {
        println!("  {seconds:.1} s, peak memory {peak:.0} MB (the embeddings are 256)");
        println!("  goal: under 1000 MB: {}", verdict(peak < 1000.0));
    }
}

fn growth() {
    println!("growth: seconds and peak memory in MB; margin in a file, k-center in memory");
    for (strategy, batch, largest) in [("margin", 1_000, 10_000_000), ("kcenter", 100, 1_000_000)] {
        let mut candidates = 10_000;
        while candidates <= largest {
            let file = (strategy == "margin").then(|| PoolFile::new(candidates));
            let path = file.as_ref().map_or("-", PoolFile::path);
            match measured(strategy, candidates, batch, path) {
                Some((seconds, peak)) => {
                    println!(
                        "  {strategy:<8} {batch:>5} of {candidates:>9}  {seconds:>9.4} s  {peak:>6.0} MB"
                    );
                }
                None => break,
            }
            candidates *= 10;
        }
    }
}
