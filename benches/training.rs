//! How fast the training agent is on the digits, beside the same network written by hand.
//!
//! `cargo bench --bench training`. The yardstick is plain loops over `f32` with the same rows, batches, epochs, Adam and
//! validation after each epoch, on one thread. A ratio above 1 means that the agent is faster.
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

use gleaner::domain::definition::{GraphSpec, TrainerSpec};
use gleaner::domain::matrix::Matrix;
use gleaner::pool::Pool;
use gleaner::training::{Labelled, TrainRequest, train};
use gleaner::workflow;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// Labels of a typical training: what the digits campaign has when it reaches its target.
const LABELS: usize = 120;
const ROUNDS: usize = 3;

/// One linear layer of the yardstick with Adam's moments; weights row after row of `[inputs, outputs]`, the bias as a last row.
struct Dense {
    inputs: usize,
    outputs: usize,
    weights: Vec<f32>,
    gradient: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Dense {
    fn new(inputs: usize, outputs: usize) -> Self {
        let count = (inputs + 1) * outputs;
        let limit = (6.0 / inputs as f32).sqrt();
        // Any spread will do for a yardstick: a Weyl sequence over [-limit, limit).
        let weights = (0..count).map(|i| ((i as f32 * 0.618_034).fract() * 2.0 - 1.0) * limit);
        let zeros = vec![0.0; count];
        let (weights, gradient, first) = (weights.collect(), zeros.clone(), zeros.clone());
        Self { inputs, outputs, weights, gradient, first, second: zeros }
    }

    fn forward(&self, input: &[f32]) -> Vec<f32> {
        let mut output = self.weights[self.inputs * self.outputs..].to_vec();
        for (x, row) in input.iter().zip(self.weights.chunks_exact(self.outputs)) {
            for (sum, weight) in output.iter_mut().zip(row) {
                *sum += x * weight;
            }
        }
        output
    }

    /// Adds to the gradient; answers what flows back to the input.
    fn backward(&mut self, input: &[f32], upstream: &[f32]) -> Vec<f32> {
        let ones = [1.0];
        let rows = self.gradient.chunks_exact_mut(self.outputs);
        for (x, row) in input.iter().chain(&ones).zip(rows) {
            for (sum, up) in row.iter_mut().zip(upstream) {
                *sum += x * up;
            }
        }
        let rows = self.weights.chunks_exact(self.outputs).take(self.inputs);
        rows.map(|row| row.iter().zip(upstream).map(|(weight, up)| weight * up).sum()).collect()
    }

    fn adam(&mut self, rate: f32, step: i32) {
        let (correct1, correct2) = (1.0 - 0.9_f32.powi(step), 1.0 - 0.999_f32.powi(step));
        for i in 0..self.weights.len() {
            let gradient = std::mem::take(&mut self.gradient[i]);
            self.first[i] = 0.9 * self.first[i] + 0.1 * gradient;
            self.second[i] = 0.999 * self.second[i] + 0.001 * gradient * gradient;
            let slope = (self.second[i] / correct2).sqrt() + 1e-8;
            self.weights[i] -= rate * (self.first[i] / correct1) / slope;
        }
    }
}

/// The input of each layer, and the logits last.
fn activations(layers: &[Dense], row: &[f32]) -> Vec<Vec<f32>> {
    let mut all = vec![row.to_vec()];
    for (place, layer) in layers.iter().enumerate() {
        let mut output = layer.forward(all.last().unwrap());
        if place + 1 < layers.len() {
            output.iter_mut().for_each(|x| *x = x.max(0.0));
        }
        all.push(output);
    }
    all
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::MIN, f32::max);
    let powers: Vec<f32> = logits.iter().map(|x| (x - highest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// Trains by hand; answers the accuracy on the validation rows after the last epoch.
fn yardstick(
    spec: &TrainerSpec,
    classes: usize,
    rows: Labelled<'_>,
    held_out: Labelled<'_>,
) -> f64 {
    let hidden: &[usize] = match &spec.graph {
        GraphSpec::Softmax => &[],
        GraphSpec::Mlp(widths) => widths,
    };
    let widths: Vec<usize> =
        [rows.inputs.cols()].into_iter().chain(hidden.iter().copied()).chain([classes]).collect();
    let mut layers: Vec<Dense> = widths.windows(2).map(|w| Dense::new(w[0], w[1])).collect();
    let order: Vec<usize> = (0..rows.labels.len()).collect();
    let steps = spec.epochs * order.len().div_ceil(spec.batch);
    let (mut step, mut accuracy) = (0, 0.0);
    for _ in 0..spec.epochs {
        for batch in order.chunks(spec.batch) {
            for &row in batch {
                let all = activations(&layers, rows.inputs.row(row));
                let mut upstream = softmax(all.last().unwrap());
                upstream[rows.labels[row] as usize] -= 1.0;
                upstream.iter_mut().for_each(|x| *x /= batch.len() as f32);
                for (layer, input) in layers.iter_mut().zip(&all).rev() {
                    upstream = layer.backward(input, &upstream);
                    upstream.iter_mut().zip(input).for_each(|(up, x)| {
                        if *x <= 0.0 {
                            *up = 0.0;
                        }
                    });
                }
            }
            let progress = step as f64 / steps as f64;
            let rate = spec.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
            step += 1;
            layers.iter_mut().for_each(|layer| layer.adam(rate as f32, step));
        }
        let right = held_out.inputs.iter_rows().zip(held_out.labels).filter(|(row, label)| {
            let probabilities = softmax(activations(&layers, row).last().unwrap());
            gleaner::metrics::argmax(&probabilities) == Some(**label)
        });
        accuracy = right.count() as f64 / held_out.labels.len() as f64;
    }
    accuracy
}

/// The seconds of a call.
fn seconds(call: impl FnOnce()) -> f64 {
    let start = Instant::now();
    call();
    start.elapsed().as_secs_f64()
}

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows");
    let definition = workflow::load(&folder.join("digits.toml"), &Vec::new()).unwrap();
    let pool = Pool::load(&definition.pool, &folder).unwrap();
    let rows_of = |indexes: &[usize]| -> (Matrix, Vec<u32>) {
        let labels = indexes.iter().map(|&index| pool.label(index).unwrap()).collect();
        (pool.gather(indexes).unwrap(), labels)
    };
    let (inputs, labels) = rows_of(&pool.split().train.iter().take(LABELS).collect::<Vec<_>>());
    let (held_out, held_out_labels) = rows_of(&pool.split().validation);
    let rows = Labelled { inputs: &inputs, labels: &labels };
    let validation = Labelled { inputs: &held_out, labels: &held_out_labels };
    println!("{LABELS} labels, {} validation rows; the best of {ROUNDS} rounds", held_out.rows());
    for graph in [GraphSpec::Softmax, GraphSpec::Mlp(vec![128]), GraphSpec::Mlp(vec![256, 256])] {
        let spec = TrainerSpec { graph, ..definition.trainer.clone() };
        let classes = pool.classes().len();
        let request = TrainRequest {
            spec: &spec,
            shape: pool.shape(),
            classes,
            train: rows,
            validation,
            seed: 7,
        };
        let (mut ours, mut by_hand) = (f64::MAX, f64::MAX);
        let (mut accuracy, mut accuracy_by_hand) = (0.0, 0.0);
        // In turn, so that whatever else the machine does falls on both.
        for _ in 0..ROUNDS {
            ours = ours.min(seconds(|| {
                let saved = train(&request, &mut |_| ControlFlow::Continue(())).unwrap();
                accuracy = black_box(saved).last().unwrap().metrics["validation.accuracy"];
            }));
            by_hand = by_hand.min(seconds(|| {
                accuracy_by_hand = black_box(yardstick(&spec, classes, rows, validation));
            }));
        }
        println!(
            "{:?}: {ours:.3} s a training, {:.0} epochs/s, validation accuracy {accuracy:.3}; by hand {by_hand:.3} s, {accuracy_by_hand:.3}; ratio {:.2}",
            spec.graph,
            spec.epochs as f64 / ours,
            by_hand / ours
        );
    }
}
