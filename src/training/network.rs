//! A graph with weights, run by burn, and the slope of its weights. The one file that names burn.
//!
//! What the weights become is not its business: they come in and gradients go out as plain numbers.

use super::graph::{Graph, Node, Op, Weights, volume};
use burn_core::tensor::module::{adaptive_avg_pool2d, conv2d, interpolate, max_pool2d};
use burn_core::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions};
use burn_core::tensor::{Device, Tensor, TensorData};

/// A value of a graph for a batch of samples.
#[derive(Clone)]
enum Values {
    /// A vector a sample; also samples of a shape that no operation looks into.
    Flat(Tensor<2>),
    /// `[channels, height, width]` a sample.
    Image(Tensor<4>),
}

/// A weight as a tensor of its rank.
enum Parameter {
    Bias(Tensor<1>),
    Matrix(Tensor<2>),
    Kernels(Tensor<4>),
}

/// Runs a graph.
pub(super) struct Network {
    graph: Graph,
    device: Device,
}

impl Network {
    pub(super) fn new(graph: Graph) -> Self {
        Self { graph, device: Device::flex() }
    }

    pub(super) const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What the network answers for these samples, row after row.
    pub(super) fn answers(&self, weights: &Weights, samples: &[f32]) -> Vec<f32> {
        let answer = self.forward(self.samples(samples.to_vec()), &self.parameters(weights));
        match answer {
            Values::Flat(answer) => numbers(answer),
            Values::Image(answer) => numbers(answer),
        }
    }

    /// The gradient of every weight, given how to turn the answers for these samples into the gradient by each answer.
    pub(super) fn gradients(
        &self,
        weights: &Weights,
        samples: Vec<f32>,
        slope: &mut dyn FnMut(&[f32]) -> Vec<f32>,
    ) -> Vec<Vec<f32>> {
        let tracked = self.parameters(weights).into_iter().map(Parameter::tracked);
        let tracked: Vec<Parameter> = tracked.collect();
        let samples = match self.samples(samples) {
            Values::Flat(samples) => Values::Flat(samples.autodiff()),
            Values::Image(samples) => Values::Image(samples.autodiff()),
        };
        let answer = match self.forward(samples, &tracked) {
            Values::Flat(answer) => answer,
            Values::Image(answer) => answer.flatten(1, 3),
        };
        let dims = answer.dims();
        let slope = slope(&numbers(answer.clone().without_autodiff()));
        // The derivative of sum(answer * slope) by the answer is the slope.
        let slope: Tensor<2> = Tensor::from_data(TensorData::new(slope, dims), &self.device);
        let gradients = (answer * slope.autodiff()).sum().backward();
        let gradient = |parameter: &Parameter| match parameter {
            Parameter::Bias(bias) => bias.grad(&gradients).map(numbers),
            Parameter::Matrix(matrix) => matrix.grad(&gradients).map(numbers),
            Parameter::Kernels(kernels) => kernels.grad(&gradients).map(numbers),
        };
        tracked.iter().map(|parameter| gradient(parameter).unwrap_or_default()).collect()
    }

    fn samples(&self, values: Vec<f32>) -> Values {
        let shape = self.graph.shape_of(self.graph.input());
        let width = volume(shape);
        let rows = values.len().checked_div(width).unwrap_or(0);
        match *shape {
            [channels, height, wide] => {
                let data = TensorData::new(values, [rows, channels, height, wide]);
                Values::Image(Tensor::from_data(data, &self.device))
            }
            _ => {
                let data = TensorData::new(values, [rows, width]);
                Values::Flat(Tensor::from_data(data, &self.device))
            }
        }
    }

    fn parameters(&self, weights: &Weights) -> Vec<Parameter> {
        let shapes = self.graph.weight_shapes();
        let parameters = weights.0.iter().zip(&shapes).map(|(values, shape)| {
            let values = values.clone();
            let device = &self.device;
            match *shape.as_slice() {
                [inputs, outputs] => Parameter::Matrix(Tensor::from_data(
                    TensorData::new(values, [inputs, outputs]),
                    device,
                )),
                [after, before, height, width] => Parameter::Kernels(Tensor::from_data(
                    TensorData::new(values, [after, before, height, width]),
                    device,
                )),
                _ => {
                    let count = values.len();
                    Parameter::Bias(Tensor::from_data(TensorData::new(values, [count]), device))
                }
            }
        });
        parameters.collect()
    }

    /// The graph's answer; operations that have weights take them from `parameters` in turn.
    fn forward(&self, samples: Values, parameters: &[Parameter]) -> Values {
        let mut parameters = parameters.chunks(2);
        let mut values = vec![samples.clone()];
        for node in self.graph.nodes() {
            let parameters = match node.op {
                Op::Linear { .. } | Op::Conv { .. } => parameters.next().unwrap_or_default(),
                Op::Scale { .. }
                | Op::Flatten
                | Op::Channel
                | Op::Relu
                | Op::MaxPool
                | Op::GlobalAveragePool
                | Op::Upsample
                | Op::Concat => &[],
            };
            let value = self.apply(node, &values, parameters);
            values.push(value.unwrap_or_else(|| samples.clone()));
        }
        values.pop().unwrap_or(samples)
    }

    /// What one operation makes. The graph was checked when it was built, so there is always something.
    fn apply(&self, node: &Node, values: &[Values], parameters: &[Parameter]) -> Option<Values> {
        let input = |place: usize| values.get(node.inputs.get(place)?.0).cloned();
        Some(match (&node.op, input(0)?, parameters) {
            (Op::Scale { factor, shift }, Values::Flat(x), _) => {
                let numbers = |numbers: &[f32]| {
                    Tensor::<2>::from_data(
                        TensorData::new(numbers.to_vec(), [1, numbers.len()]),
                        &self.device,
                    )
                };
                Values::Flat(x * numbers(factor) + numbers(shift))
            }
            (Op::Scale { factor, shift }, Values::Image(x), _) => {
                let numbers = |numbers: &[f32]| {
                    Tensor::<4>::from_data(
                        TensorData::new(numbers.to_vec(), [1, numbers.len(), 1, 1]),
                        &self.device,
                    )
                };
                Values::Image(x * numbers(factor) + numbers(shift))
            }
            (Op::Flatten, Values::Flat(x), _) => Values::Flat(x),
            (Op::Flatten, Values::Image(x), _) => Values::Flat(x.flatten(1, 3)),
            (Op::Channel, Values::Flat(x), _) => {
                let &[height, width] = self.graph.shape_of(*node.inputs.first()?) else {
                    return None;
                };
                let rows = x.dims()[0];
                Values::Image(x.reshape([rows, 1, height, width]))
            }
            (
                Op::Linear { .. },
                Values::Flat(x),
                [Parameter::Matrix(matrix), Parameter::Bias(bias)],
            ) => Values::Flat(x.matmul(matrix.clone()) + bias.clone().unsqueeze()),
            (Op::Relu, Values::Flat(x), _) => Values::Flat(burn_core::tensor::activation::relu(x)),
            (Op::Relu, Values::Image(x), _) => {
                Values::Image(burn_core::tensor::activation::relu(x))
            }
            (
                Op::Conv { kernel, stride, .. },
                Values::Image(x),
                [Parameter::Kernels(kernels), Parameter::Bias(bias)],
            ) => {
                let (stride, around) = (*stride, kernel / 2);
                let options = ConvOptions::new([stride, stride], [around, around], [1, 1], 1);
                Values::Image(conv2d(x, kernels.clone(), Some(bias.clone()), options))
            }
            (Op::MaxPool, Values::Image(x), _) => {
                let options = MaxPoolOptions {
                    kernel_size: [2, 2],
                    stride: [2, 2],
                    padding: [(0, 0), (0, 0)],
                    dilation: [1, 1],
                    ceil_mode: false,
                };
                Values::Image(max_pool2d(x, options))
            }
            (Op::GlobalAveragePool, Values::Image(x), _) => {
                Values::Flat(adaptive_avg_pool2d(x, [1, 1]).flatten(1, 3))
            }
            (Op::Upsample, Values::Image(x), _) => {
                let [_, _, height, width] = x.dims();
                let options = InterpolateOptions::new(InterpolateMode::Nearest)
                    .with_output_size([height * 2, width * 2]);
                Values::Image(interpolate(x, options))
            }
            (Op::Concat, Values::Image(x), _) => match input(1)? {
                Values::Image(y) => Values::Image(Tensor::cat(vec![x, y], 1)),
                Values::Flat(_) => return None,
            },
            (
                Op::Channel
                | Op::Linear { .. }
                | Op::Conv { .. }
                | Op::MaxPool
                | Op::GlobalAveragePool
                | Op::Upsample
                | Op::Concat,
                _,
                _,
            ) => return None,
        })
    }
}

impl Parameter {
    fn tracked(self) -> Self {
        match self {
            Self::Bias(bias) => Self::Bias(bias.autodiff().require_grad()),
            Self::Matrix(matrix) => Self::Matrix(matrix.autodiff().require_grad()),
            Self::Kernels(kernels) => Self::Kernels(kernels.autodiff().require_grad()),
        }
    }
}

/// A tensor's numbers. Every tensor here is made of `f32`, so there is always something to take.
fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap_or_default()
}
