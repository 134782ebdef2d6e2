//! How much of the runtime's speed the pipeline keeps, and how fast a head scores what a backbone said long ago.
//!
//! `cargo bench --bench inference`. Both ways of running a model take turns over the same rows in the same batches, on one
//! session with one thread, and read the same output; the yardstick is a loop over `ort` and nothing else.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a bench prints"
)]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

use gleaner::domain::definition::ProviderChoice;
use gleaner::domain::digest::Digest;
use gleaner::domain::matrix::Matrix;
use gleaner::domain::rows::Rows;
use gleaner::inference::cache::EmbeddingCache;
use gleaner::inference::pipeline::Pipeline;
use gleaner::inference::{AUTOMATIC, LoadOptions, Predictor, Scores, bare, load_several};
use onnx_rs::ast::{
    DataType, Dimension, Graph, Model, Node, OpType, OperatorSetId, TensorProto, TensorShape,
    TensorShapeDimension, TensorTypeProto, TypeProto, TypeValue, ValueInfo,
};
use ort::session::Session;
use ort::value::TensorRef;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

const CLASSES: usize = 10;
const BATCHES: [usize; 3] = [32, 256, 1024];
/// Each way is timed so often, in turns, and its fastest time counts: whatever else the machine does only adds.
const ROUNDS: usize = 15;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let backbone = folder.path().join("mlp.onnx");
    std::fs::write(&backbone, layers(&[784, 128, CLASSES])).unwrap();
    let head = folder.path().join("head.onnx");
    std::fs::write(&head, layers(&[64, CLASSES])).unwrap();

    beside_a_bare_loop("a network 784-128-10 over 20,000 rows", &backbone, &pool(20_000, 784));
    beside_a_bare_loop("a linear head 64-10 over 60,000 rows", &head, &pool(60_000, 64));
    from_the_cache(folder.path(), &head, &pool(60_000, 64));
}

fn beside_a_bare_loop(what: &str, model: &Path, pool: &Matrix) {
    println!("{what}, one session, one thread");
    let mut predictors = load(model, pool, 1);
    let shape = [pool.cols()];
    let mut session = bare(&LoadOptions::new(model, &shape)).unwrap().0;
    for batch in BATCHES {
        let (mut piped, mut looped) = (f64::INFINITY, f64::INFINITY);
        let mut sums = (0.0, 0.0);
        for _ in 0..ROUNDS {
            piped = piped.min(seconds(|| sums.0 = pipeline(pool, batch, &mut predictors)));
            looped = looped.min(seconds(|| sums.1 = bare_loop(pool, batch, &mut session)));
        }
        assert!((sums.0 - sums.1).abs() <= f64::EPSILON, "both give the same scores");
        let rate = |seconds: f64| pool.rows() as f64 / seconds / 1e6;
        let share = looped / piped;
        println!(
            "  batches of {batch}: {:.3} million rows/s, bare loop {:.3}: {share:.3} of it (goal: at least 0.95: {})",
            rate(piped),
            rate(looped),
            verdict(share >= 0.95)
        );
    }
    let found = seconds(|| {
        black_box(pipeline(pool, AUTOMATIC, &mut predictors));
    });
    println!("  batch size found by a warm-up, which is counted: {:.0} ms", found * 1e3);
    let mut several = load(model, pool, 2);
    let two = (0..ROUNDS)
        .map(|_| {
            seconds(|| {
                black_box(pipeline(pool, 256, &mut several));
            })
        })
        .fold(f64::INFINITY, f64::min);
    println!(
        "  two sessions, batches of 256: {:.3} million rows/s",
        pool.rows() as f64 / two / 1e6
    );
}

fn from_the_cache(folder: &Path, head: &Path, embeddings: &Matrix) {
    let rows = embeddings.rows();
    println!(
        "{rows} cached embeddings of 64 numbers, scored by a linear head that is loaded for it"
    );
    let model = Digest::of(b"backbone");
    let samples: Vec<Digest> = (0..rows).map(|row| Digest::of(&row.to_le_bytes())).collect();
    let kept = seconds(|| {
        let mut cache = EmbeddingCache::open(folder, model, 64).unwrap();
        cache.append(&samples, embeddings).unwrap();
    });
    println!("  kept in {:.0} ms", kept * 1e3);
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        best = best.min(seconds(|| {
            let cache = EmbeddingCache::open(folder, model, 64).unwrap();
            let cached = cache.rows(&samples).unwrap();
            let mut predictors = load(head, &cached, 1);
            black_box(pipeline(&cached, 256, &mut predictors));
        }));
    }
    println!(
        "  opened, checked, read and scored in {:.0} ms (goal: under 1000: {})",
        best * 1e3,
        verdict(best < 1.0)
    );
}

fn load(model: &Path, pool: &dyn Rows, sessions: usize) -> Vec<Box<dyn Predictor>> {
    let shape = [pool.cols()];
    let options = LoadOptions {
        scores: Scores::PerClass(CLASSES),
        provider: ProviderChoice::Cpu,
        ..LoadOptions::new(model, &shape)
    };
    load_several(&options, sessions).unwrap()
}

/// Runs a pool; the sum of all scores shows that the same was done.
fn pipeline(pool: &dyn Rows, batch: usize, predictors: &mut [Box<dyn Predictor>]) -> f64 {
    let mut sum = 0.0;
    let pipeline = Pipeline { source: pool, batch, readers: 0, stop: &|| false };
    let ended = pipeline.run(predictors, &mut |_, answer| {
        sum += answer.logits.data().iter().map(|&score| f64::from(score)).sum::<f64>();
        ControlFlow::Continue(())
    });
    assert!(ended.unwrap().is_continue());
    sum
}

fn bare_loop(pool: &Matrix, batch: usize, session: &mut Session) -> f64 {
    let mut sum = 0.0;
    for values in pool.data().chunks(batch * pool.cols()) {
        let shape = [values.len() / pool.cols(), pool.cols()];
        let input = TensorRef::from_array_view((shape, values)).unwrap();
        let outputs = session.run(ort::inputs![input]).unwrap();
        let (_, scores) = outputs["logits"].try_extract_tensor::<f32>().unwrap();
        sum += scores.iter().map(|&score| f64::from(score)).sum::<f64>();
    }
    sum
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn pool(rows: usize, cols: usize) -> Matrix {
    Matrix::new(rows, cols, spread(rows * cols)).unwrap()
}

/// Any spread will do: a Weyl sequence over -0.5 to 0.5.
fn spread(count: usize) -> Vec<f32> {
    (0..count).map(|index| ((index % 1_000_003) as f32 * 0.618_034).fract() - 0.5).collect()
}

/// A network of linear layers of these widths with rectifiers between them.
fn layers(widths: &[usize]) -> Vec<u8> {
    let count = widths.len() - 1;
    let names: Vec<[String; 3]> =
        (0..count).map(|n| ["w", "z", "h"].map(|letter| format!("{letter}{n}"))).collect();
    let node = |op_type, input, output| Node { op_type, input, output, ..Node::default() };
    let (mut nodes, mut initializer, mut before) = (Vec::new(), Vec::new(), "x");
    for (n, [weights, sums, rectified]) in names.iter().enumerate() {
        let (rows, cols) = (widths[n], widths[n + 1]);
        let dims = [rows, cols].map(|dim| i64::try_from(dim).unwrap());
        initializer.push(TensorProto::from_f32(weights, dims.to_vec(), spread(rows * cols)));
        let last = n + 1 == count;
        let output = if last { "logits" } else { sums };
        nodes.push(node(OpType::MatMul, vec![before, weights], vec![output]));
        if !last {
            nodes.push(node(OpType::Relu, vec![sums], vec![rectified]));
        }
        before = rectified;
    }
    onnx_rs::encode(&Model {
        ir_version: 8,
        producer_name: "gleaner benches",
        opset_import: vec![OperatorSetId { domain: "", version: 17 }],
        graph: Some(Graph {
            name: "layers",
            node: nodes,
            initializer,
            input: vec![value("x", widths[0])],
            output: vec![value("logits", widths[count])],
            ..Graph::default()
        }),
        ..Model::default()
    })
}

fn value(name: &str, width: usize) -> ValueInfo<'_> {
    let dim = [Dimension::Param("batch"), Dimension::Value(i64::try_from(width).unwrap())]
        .map(|value| TensorShapeDimension { value, denotation: "" });
    let shape = Some(TensorShape { dim: dim.to_vec() });
    let tensor = TypeValue::Tensor(TensorTypeProto { elem_type: DataType::Float, shape });
    ValueInfo {
        name,
        r#type: Some(TypeProto { value: Some(tensor), denotation: "" }),
        ..ValueInfo::default()
    }
}
