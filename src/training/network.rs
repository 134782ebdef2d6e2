//! A graph with weights, run and updated by burn. The one file that names it.

use super::graph::{Graph, LinearWeights, Node, Weights};
use crate::domain::definition::{OptimizerSpec, TrainerSpec};
use crate::domain::matrix::Matrix;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{Adam, AdamConfig, Optimizer, Sgd, SgdConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// A network under training.
pub(super) trait Network {
    /// One step of gradient descent on a batch; answers the batch's mean cross-entropy, in nats.
    fn step(&mut self, inputs: &Matrix, labels: &[u32], learning_rate: f64) -> f64;

    /// The logits of every row.
    fn logits(&self, inputs: &Matrix) -> Matrix;

    /// The weights as they are now.
    fn weights(&self) -> Weights;
}

/// A network with the workflow's optimizer.
pub(super) fn network(graph: &Graph, spec: &TrainerSpec, seed: u64) -> Box<dyn Network> {
    let decay =
        (spec.weight_decay > 0.0).then(|| WeightDecayConfig::new(to_f32(spec.weight_decay)));
    let weights = graph.initial_weights(seed);
    match spec.optimizer {
        OptimizerSpec::Adam => {
            // The paper's epsilon; burn's own default is larger.
            let config = AdamConfig::new().with_epsilon(1e-8).with_weight_decay(decay);
            Box::new(Trained::<Adam>::new(graph, &weights, config.build()))
        }
        OptimizerSpec::Sgd { momentum } => {
            let momentum = (momentum > 0.0)
                .then(|| MomentumConfig::new().with_momentum(momentum).with_dampening(0.0));
            let config = SgdConfig::new().with_weight_decay(decay).with_momentum(momentum);
            Box::new(Trained::<Sgd>::new(graph, &weights, config.build()))
        }
    }
}

struct Trained<O: Optimizer> {
    nodes: Vec<Node>,
    layers: Vec<Layer<O>>,
    optimizer: O,
    device: Device,
}

/// The weights of one `Linear`, and what the optimizer remembers of them.
struct Layer<O: Optimizer> {
    matrix: Tensor<2>,
    matrix_state: Option<O::State<2>>,
    bias: Tensor<1>,
    bias_state: Option<O::State<1>>,
}

impl<O: Optimizer> Trained<O> {
    fn new(graph: &Graph, weights: &Weights, optimizer: O) -> Self {
        let device = Device::flex();
        let layers = weights
            .0
            .iter()
            .map(|linear| {
                let matrix =
                    TensorData::new(linear.matrix.clone(), [linear.inputs, linear.outputs]);
                let bias = TensorData::new(linear.bias.clone(), [linear.outputs]);
                Layer {
                    matrix: Tensor::from_data(matrix, &device),
                    matrix_state: None,
                    bias: Tensor::from_data(bias, &device),
                    bias_state: None,
                }
            })
            .collect();
        Self { nodes: graph.nodes.clone(), layers, optimizer, device }
    }

    fn tensor(&self, rows: &Matrix) -> Tensor<2> {
        let data = TensorData::new(rows.data().to_vec(), [rows.rows(), rows.cols()]);
        Tensor::from_data(data, &self.device)
    }

    /// The logits of `x`, with the layers' tensors replaced by `parameters`.
    fn forward(&self, mut x: Tensor<2>, parameters: &[(Tensor<2>, Tensor<1>)]) -> Tensor<2> {
        let mut parameters = parameters.iter();
        for node in &self.nodes {
            x = match node {
                Node::Flatten => x, // rows are flat already
                Node::Linear { .. } => match parameters.next() {
                    Some((matrix, bias)) => x.matmul(matrix.clone()) + bias.clone().unsqueeze(),
                    None => x,
                },
                Node::Relu => burn::tensor::activation::relu(x),
            };
        }
        x
    }

    fn parameters(&self) -> Vec<(Tensor<2>, Tensor<1>)> {
        self.layers.iter().map(|layer| (layer.matrix.clone(), layer.bias.clone())).collect()
    }
}

impl<O: Optimizer> Network for Trained<O> {
    fn step(&mut self, inputs: &Matrix, labels: &[u32], learning_rate: f64) -> f64 {
        let tracked: Vec<(Tensor<2>, Tensor<1>)> = self
            .parameters()
            .into_iter()
            .map(|(matrix, bias)| {
                (matrix.autodiff().require_grad(), bias.autodiff().require_grad())
            })
            .collect();
        let rows = labels.len();
        let classes: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let classes: Tensor<2, Int> =
            Tensor::from_data(TensorData::new(classes, [rows, 1]), &self.device);
        let logits = self.forward(self.tensor(inputs).autodiff(), &tracked);
        let loss = log_softmax(logits, 1).gather(1, classes.autodiff()).mean().neg();
        let value = f64::from(first(loss.clone().without_autodiff()));
        let gradients = loss.backward();
        for (layer, (matrix, bias)) in self.layers.iter_mut().zip(&tracked) {
            if let Some(gradient) = matrix.grad(&gradients) {
                let state = layer.matrix_state.take();
                let (next, state) =
                    self.optimizer.step(learning_rate, layer.matrix.clone(), gradient, state);
                (layer.matrix, layer.matrix_state) = (next, state);
            }
            if let Some(gradient) = bias.grad(&gradients) {
                let state = layer.bias_state.take();
                let (next, state) =
                    self.optimizer.step(learning_rate, layer.bias.clone(), gradient, state);
                (layer.bias, layer.bias_state) = (next, state);
            }
        }
        value
    }

    fn logits(&self, inputs: &Matrix) -> Matrix {
        if inputs.rows() == 0 {
            return Matrix::default();
        }
        let logits = self.forward(self.tensor(inputs), &self.parameters());
        let [rows, cols] = logits.dims();
        Matrix::new(rows, cols, values(logits)).unwrap_or_default()
    }

    fn weights(&self) -> Weights {
        let linears = self.layers.iter().map(|layer| {
            let [inputs, outputs] = layer.matrix.dims();
            LinearWeights {
                inputs,
                outputs,
                matrix: values(layer.matrix.clone()),
                bias: values(layer.bias.clone()),
            }
        });
        Weights(linears.collect())
    }
}

/// A tensor's numbers. Every tensor here is made of `f32`, so there is always something to take.
fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap_or_default()
}

fn first(tensor: Tensor<1>) -> f32 {
    values(tensor).first().copied().unwrap_or(f32::NAN)
}

#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
const fn to_f32(number: f64) -> f32 {
    number as f32
}
