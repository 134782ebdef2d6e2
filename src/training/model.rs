//! A network under training: its weights, and what the optimizer remembers of them.

use super::graph::{Graph, Weights};
use super::loader::Batch;
use super::network::Network;
use super::optimizer::Optimizer;
use crate::domain::definition::TrainerSpec;

/// The loss of one sample: of its answer and its label; the gradient by each answer is added to the last.
pub type SampleLoss<'a> = &'a dyn Fn(&[f32], &[f32], &mut [f32]) -> f64;

/// A network under training.
pub struct Model {
    network: Network,
    pub(super) weights: Weights,
    pub(super) optimizer: Optimizer,
}

impl Model {
    /// A network before its first step.
    pub(super) fn new(graph: Graph, spec: &TrainerSpec, seed: u64) -> Self {
        let weights = graph.initial_weights(seed);
        let optimizer = Optimizer::new(spec, &weights);
        Self { network: Network::new(graph), weights, optimizer }
    }

    pub(super) const fn graph(&self) -> &Graph {
        self.network.graph()
    }

    /// What it answers for samples given one after the other.
    #[must_use]
    pub fn answers(&self, samples: &[f32]) -> Vec<f32> {
        self.network.answers(&self.weights, samples)
    }

    /// One step at this learning rate towards a smaller mean of `loss` over the batch; answers that mean before the step.
    /// Where the loss is no finite number, there is no step.
    pub fn step(&mut self, batch: &Batch, rate: f64, loss: SampleLoss<'_>) -> f64 {
        let rows = batch.inputs.rows().max(1);
        #[expect(clippy::cast_precision_loss, reason = "a batch's size")]
        let share = 1.0 / rows as f64;
        #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
        let share32 = share as f32;
        let mut mean = 0.0;
        let gradients =
            self.network.gradients(&self.weights, batch.inputs.data().to_vec(), &mut |answers| {
                let mut slopes = vec![0.0; answers.len()];
                let width = (answers.len() / rows).max(1);
                let samples = answers.chunks(width).zip(slopes.chunks_mut(width));
                for ((answer, slope), label) in samples.zip(batch.labels.iter_rows()) {
                    mean += loss(answer, label, slope) * share;
                }
                slopes.iter_mut().for_each(|slope| *slope *= share32);
                slopes
            });
        if mean.is_finite() {
            self.optimizer.step(&mut self.weights, &gradients, rate);
        }
        mean
    }
}
