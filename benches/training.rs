//! How much processor time training takes, beside scikit-learn and PyTorch doing the same work: the same rows, network,
//! optimizer, learning rate, batch and epochs, one thread each, in the same run.
//!
//! `cargo bench --bench training`; the peers are those of `GLEANER_BENCH_PYTHON` (else `python3`), where they are installed.
//! Processor seconds, not wall time: a peer's OpenMP threads would otherwise be judged by what else the machine does. A ratio
//! above 1 means that we are faster.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a bench prints, and a broken one should stop"
)]

use gleaner::domain::definition::{GraphSpec, ScheduleSpec, TrainerSpec};
use gleaner::domain::matrix::Matrix;
use gleaner::domain::task::Task;
use gleaner::training::{Labelled, TaskRequest, TrainRequest, built_in, train};
use std::hint::black_box;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};

/// The program's own, see `main.rs`: tensors come and go by the megabyte.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLASSES: usize = 10;
const ROUNDS: usize = 3;

/// Work that is given to everybody.
struct Work {
    name: &'static str,
    graph: GraphSpec,
    /// Of one sample.
    shape: &'static [usize],
    rows: usize,
    batch: usize,
    epochs: usize,
    peer: Peer,
}

#[derive(Clone, Copy)]
enum Peer {
    Sklearn,
    Torch,
}

/// Overlapping clouds, one a class; the last tenth is held out.
fn clouds(rows: usize, width: usize) -> (Matrix, Matrix) {
    // A Weyl sequence: any spread will do.
    let noise = |place: usize| {
        let mixed = (place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let centre = |class: usize, column: usize| noise(class * 7919 + column) * 0.35;
    let class = |row: usize| row % CLASSES;
    let cell = |row: usize, column: usize| {
        centre(class(row), column) + noise(1_000_000 + row * width + column)
    };
    let cells = (0..rows).flat_map(|row| (0..width).map(move |column| (row, column)));
    let inputs = cells.map(|(row, column)| cell(row, column)).collect();
    let labels = (0..rows).map(|row| class(row) as f32).collect();
    (Matrix::new(rows, width, inputs).unwrap(), Matrix::new(rows, 1, labels).unwrap())
}

/// Seconds that this process has had a processor for, all threads together.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0 // Linux counts hundredths on every machine that we know
}

/// Our processor seconds and the accuracy on what was held out.
fn ours(work: &Work, inputs: &Matrix, labels: &Matrix) -> (f64, f64) {
    let kept = work.rows * 9 / 10;
    let part = |range: std::ops::Range<usize>| {
        let rows: Vec<usize> = range.collect();
        (inputs.select_rows(&rows), labels.select_rows(&rows))
    };
    let ((train_inputs, train_labels), (held_out, held_out_labels)) =
        (part(0..kept), part(kept..work.rows));
    let spec = TrainerSpec {
        graph: work.graph.clone(),
        epochs: work.epochs,
        batch: work.batch,
        learning_rate: 0.001,
        schedule: ScheduleSpec::Constant,
        checkpoints: 1,
        ..TrainerSpec::default()
    };
    let rows = Labelled { inputs: &train_inputs, labels: &train_labels };
    let nothing = Matrix::default();
    let mut request = TrainRequest {
        spec: &spec,
        train: rows,
        validation: Labelled { inputs: &nothing, labels: &nothing },
        seed: 7,
        resume: None,
    };
    let task = built_in(&TaskRequest {
        task: Task::Classification,
        spec: &spec,
        shape: work.shape,
        classes: CLASSES,
        train: rows,
    })
    .unwrap();
    let mut seconds = f64::MAX;
    for _ in 0..ROUNDS {
        let before = processor_seconds();
        let saved = train(&*task, &request, &mut |_| ControlFlow::Continue(())).unwrap();
        black_box(saved);
        seconds = seconds.min(processor_seconds() - before);
    }
    // Once more with what was held out, for the accuracy only.
    request.validation = Labelled { inputs: &held_out, labels: &held_out_labels };
    let saved = train(&*task, &request, &mut |_| ControlFlow::Continue(())).unwrap();
    (seconds, saved[0].metrics["validation.accuracy"])
}

/// Reads rows and labels, trains and prints processor seconds (the best of three) and the accuracy on the last tenth.
const SKLEARN: &str = r#"
import sys, time, warnings
import numpy as np
from sklearn.neural_network import MLPClassifier
warnings.filterwarnings("ignore")
path, rows, width, batch, epochs, layers = sys.argv[1], *map(int, sys.argv[2:6]), eval(sys.argv[6])
data = np.fromfile(path, dtype=np.float32)
x, y = data[: rows * width].reshape(rows, width), data[rows * width :].astype(int)
kept = rows * 9 // 10
best = None
for _ in range(3):
    model = MLPClassifier(layers, solver="adam", alpha=0.0, batch_size=batch, learning_rate_init=0.001,
                          max_iter=epochs, n_iter_no_change=epochs + 1, tol=0.0, random_state=7)
    before = time.process_time()
    model.fit(x[:kept], y[:kept])
    seconds = time.process_time() - before
    best = seconds if best is None else min(best, seconds)
print(best, model.score(x[kept:], y[kept:]))
"#;

const TORCH: &str = r#"
import sys, time
import numpy as np, torch
from torch import nn
torch.set_num_threads(1)
path, rows, width, batch, epochs, channels = sys.argv[1], *map(int, sys.argv[2:6]), eval(sys.argv[6])
data = torch.from_numpy(np.fromfile(path, dtype=np.float32))
side = int(width ** 0.5)
x, y = data[: rows * width].reshape(rows, 1, side, side), data[rows * width :].long()
kept = rows * 9 // 10
best = None
for _ in range(3):
    torch.manual_seed(7)
    layers, before_channels, now = [], 1, side
    for after in channels:
        layers += [nn.Conv2d(before_channels, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        before_channels, now = after, now // 2
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before_channels * now * now, 10))
    optimizer, loss = torch.optim.Adam(model.parameters(), lr=0.001), nn.CrossEntropyLoss()
    before = time.process_time()
    for _ in range(epochs):
        order = torch.randperm(kept)
        for first in range(0, kept, batch):
            rows_of_batch = order[first : first + batch]
            optimizer.zero_grad()
            loss(model(x[rows_of_batch]), y[rows_of_batch]).backward()
            optimizer.step()
    seconds = time.process_time() - before
    best = seconds if best is None else min(best, seconds)
with torch.no_grad():
    right = (model(x[kept:]).argmax(1) == y[kept:]).float().mean().item()
print(best, right)
"#;

/// The peer's processor seconds and accuracy; why not, where it is not there.
fn theirs(work: &Work, data: &Path) -> Result<(f64, f64), String> {
    let (script, layers) = match (work.peer, &work.graph) {
        (Peer::Sklearn, GraphSpec::Mlp(hidden)) => (SKLEARN, hidden.clone()),
        (Peer::Sklearn, GraphSpec::Softmax | GraphSpec::Cnn(_) | GraphSpec::Unet(_)) => {
            (SKLEARN, vec![])
        }
        (Peer::Torch, GraphSpec::Cnn(channels)) => (TORCH, channels.clone()),
        (Peer::Torch, GraphSpec::Softmax | GraphSpec::Mlp(_) | GraphSpec::Unet(_)) => {
            (TORCH, vec![])
        }
    };
    let python = std::env::var("GLEANER_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let width: usize = work.shape.iter().product();
    let numbers = [work.rows, width, work.batch, work.epochs].map(|number| number.to_string());
    let output = Command::new(&python)
        .args(["-c", script, data.to_str().unwrap()])
        .args(numbers)
        .arg(format!("{layers:?}"))
        .envs(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"].map(|key| (key, "1")))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{python}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match found.as_slice() {
        [seconds, accuracy] => Ok((*seconds, *accuracy)),
        _ => {
            let error = String::from_utf8_lossy(&output.stderr);
            Err(error.lines().last().unwrap_or("it said nothing").to_owned())
        }
    }
}

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    let dense = |name, graph, rows, batch| Work {
        name,
        graph,
        shape: &[64],
        rows,
        batch,
        epochs: 10,
        peer: Peer::Sklearn,
    };
    let mlp = || GraphSpec::Mlp(vec![128]);
    let works = [
        dense("softmax", GraphSpec::Softmax, 10_000, 64),
        dense("softmax, small batches", GraphSpec::Softmax, 10_000, 16),
        dense("mlp 128", mlp(), 10_000, 64),
        dense("mlp 128, small batches", mlp(), 10_000, 16),
        dense("mlp 128, a quarter", mlp(), 2_500, 64),
        dense("mlp 128, four times", mlp(), 40_000, 64),
        Work {
            name: "cnn 16 32",
            graph: GraphSpec::Cnn(vec![16, 32]),
            shape: &[1, 28, 28],
            rows: 10_000,
            batch: 64,
            epochs: 1,
            peer: Peer::Torch,
        },
    ];
    let only = std::env::args().nth(1).filter(|word| !word.starts_with('-'));
    println!(
        "processor seconds of one thread, the best of {ROUNDS} rounds; a tenth of the rows is held out"
    );
    for work in
        works.iter().filter(|work| only.as_ref().is_none_or(|only| work.name.contains(only)))
    {
        let (inputs, labels) = clouds(work.rows, work.shape.iter().product());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for value in inputs.data().iter().chain(labels.data()) {
            file.write_all(&value.to_le_bytes()).unwrap();
        }
        file.flush().unwrap();
        let (seconds, accuracy) = ours(work, &inputs, &labels);
        let peer = match work.peer {
            Peer::Sklearn => "scikit-learn",
            Peer::Torch => "PyTorch",
        };
        let beside = match theirs(work, file.path()) {
            Ok((their_seconds, their_accuracy)) => format!(
                "{peer} {their_seconds:.2} s, accuracy {their_accuracy:.3}; ratio {:.2}",
                their_seconds / seconds
            ),
            Err(reason) => format!("{peer} not measured: {reason}"),
        };
        println!(
            "{} ({} rows, batch {}, {} epochs): {seconds:.2} s, accuracy {accuracy:.3}; {beside}",
            work.name, work.rows, work.batch, work.epochs
        );
    }
}
