//! A network as plain data. The trainer and the ONNX writer are two readers of the same list, so a new layer is one variant
//! here and one arm in each of them.

use crate::domain::chance::Chance;
use crate::domain::definition::GraphSpec;
use crate::domain::ids::CycleNumber;

/// One operation; its input is the output of the node before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// One vector a sample, whatever its shape was.
    Flatten,
    /// `x W + b`, with `W` of shape `[inputs, outputs]`.
    Linear {
        /// Values a sample has before.
        inputs: usize,
        /// Values a sample has after.
        outputs: usize,
    },
    /// `max(x, 0)`.
    Relu,
}

/// A network: samples of `shape` in, one logit a class out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Graph {
    /// The shape of one sample.
    pub(super) shape: Vec<usize>,
    /// The operations, first to last; the last is `Linear`, and what goes into it is the embedding.
    pub(super) nodes: Vec<Node>,
}

/// The weights of a graph: for each `Linear` in turn its matrix, row after row, and its bias.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights(pub(super) Vec<LinearWeights>);

/// The weights of one `Linear`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LinearWeights {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) matrix: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Weights {
    /// Whether every weight is a number.
    pub(super) fn is_finite(&self) -> bool {
        self.0
            .iter()
            .flat_map(|linear| linear.matrix.iter().chain(&linear.bias))
            .all(|x| x.is_finite())
    }
}

impl Graph {
    /// The graph that a workflow asks for.
    pub(super) fn new(spec: &GraphSpec, shape: &[usize], classes: usize) -> Self {
        let mut nodes = vec![Node::Flatten];
        let mut inputs = shape.iter().product();
        let hidden: &[usize] = match spec {
            GraphSpec::Softmax => &[],
            GraphSpec::Mlp(widths) => widths,
        };
        for &outputs in hidden {
            nodes.extend([Node::Linear { inputs, outputs }, Node::Relu]);
            inputs = outputs;
        }
        nodes.push(Node::Linear { inputs, outputs: classes });
        Self { shape: shape.to_vec(), nodes }
    }

    /// The weights before the first step: the last layer zero, so that training begins with no opinion; hidden ones uniform in
    /// `[-sqrt(6 / inputs), sqrt(6 / inputs))` (He et al., arXiv 1502.01852, section 2.2), biases zero.
    pub(super) fn initial_weights(&self, seed: u64) -> Weights {
        let linears: Vec<(usize, usize)> = self
            .nodes
            .iter()
            .filter_map(|node| match node {
                Node::Linear { inputs, outputs } => Some((*inputs, *outputs)),
                Node::Flatten | Node::Relu => None,
            })
            .collect();
        let last = linears.len().saturating_sub(1);
        let weights = linears.into_iter().enumerate().map(|(layer, (inputs, outputs))| {
            let count = inputs.saturating_mul(outputs);
            let matrix = if layer == last {
                vec![0.0; count]
            } else {
                let purpose = format!("weights of layer {layer}");
                let chance = Chance { seed, cycle: CycleNumber(0), purpose: &purpose };
                #[expect(clippy::cast_precision_loss, reason = "a layer's width")]
                let limit = (6.0 / inputs as f64).sqrt();
                #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
                let draw =
                    |place: usize| ((chance.unit(&place.to_string()) * 2.0 - 1.0) * limit) as f32;
                (0..count).map(draw).collect()
            };
            LinearWeights { inputs, outputs, matrix, bias: vec![0.0; outputs] }
        });
        Weights(weights.collect())
    }
}
