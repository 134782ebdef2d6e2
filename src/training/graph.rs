//! A network as plain data. The trainer and the ONNX writer are two readers of the same list, so a new operation is one
//! variant here and one arm in each of them.
//!
//! Shapes are checked while a graph is built: what does not fit together is an error long before the first step.

use crate::domain::chance::Chance;
use crate::domain::ids::CycleNumber;

/// An operation on samples. The shapes are those of one sample, without the batch axis.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `x * factor + shift`; one number a channel of `[channels, height, width]`, one for all of `[height, width]`, else one
    /// a value.
    Scale {
        /// What each is multiplied with.
        factor: Vec<f32>,
        /// What is added then.
        shift: Vec<f32>,
    },
    /// One vector, whatever the shape was.
    Flatten,
    /// `[height, width]` to `[1, height, width]`.
    Channel,
    /// `x W + b` of a vector, with `W` of shape `[inputs, outputs]`.
    Linear {
        /// Values a sample has after.
        outputs: usize,
    },
    /// `max(x, 0)`.
    Relu,
    /// A convolution of `[channels, height, width]` with zeros around it, as wide as keeps the size at stride 1.
    Conv {
        /// Channels after.
        channels: usize,
        /// Side of the square kernel; odd.
        kernel: usize,
        /// Pixels from one place to the next; the size is divided by it, rounded up.
        stride: usize,
    },
    /// The maximum of each 2 x 2 pixels; an odd last row or column is left out.
    MaxPool,
    /// The mean of each channel: `[channels, height, width]` to `[channels]`.
    GlobalAveragePool,
    /// Each pixel becomes 2 x 2 of the same.
    Upsample,
    /// The channels of two values of the same height and width, one after the other.
    Concat,
}

impl Op {
    const fn name(&self) -> &'static str {
        match self {
            Self::Scale { .. } => "scale",
            Self::Flatten => "flatten",
            Self::Channel => "channel",
            Self::Linear { .. } => "linear",
            Self::Relu => "relu",
            Self::Conv { .. } => "conv",
            Self::MaxPool => "max pool",
            Self::GlobalAveragePool => "global average pool",
            Self::Upsample => "upsample",
            Self::Concat => "concat",
        }
    }
}

/// A value within a graph: the samples, or what an operation makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value(pub(super) usize);

/// An operation with the values it reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) op: Op,
    pub(super) inputs: Vec<Value>,
}

/// A network: samples of one shape in, what its last operation makes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// The operations; each reads only values made before it.
    nodes: Vec<Node>,
    /// The shape of each value; the samples first, then one a node.
    shapes: Vec<Vec<usize>>,
}

/// Parts of a network that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// An operation cannot work on what it is given.
    #[error("the network's {operation} needs {needed}, but is given {found}")]
    Input {
        /// Which operation.
        operation: &'static str,
        /// What it can work on.
        needed: String,
        /// What it would get.
        found: String,
    },
    /// A setting of an operation that makes no sense.
    #[error("the network's {operation} has {found}, but needs {needed}")]
    Setting {
        /// Which operation.
        operation: &'static str,
        /// The setting.
        found: String,
        /// What it may be.
        needed: &'static str,
    },
    /// The answer is not what the task needs.
    #[error(
        "the network answers with shape {found:?}, but the task needs {needed:?}; choose another trainer.graph"
    )]
    Answer {
        /// What it answers.
        found: Vec<usize>,
        /// What it should.
        needed: Vec<usize>,
    },
}

/// The most values of one sample, or weights of one layer: a gibibyte of them.
const VALUES_MAX: usize = 1 << 28;

/// How many values a shape has; as good as infinite where that cannot be counted.
pub(super) fn volume(shape: &[usize]) -> usize {
    shape.iter().fold(1, |product: usize, &side| product.saturating_mul(side))
}

/// How many numbers an [`Op::Scale`] of samples of this shape has.
pub(super) fn scales(shape: &[usize]) -> usize {
    match *shape {
        [channels, _, _] => channels,
        [_, _] => 1,
        _ => volume(shape),
    }
}

impl Graph {
    /// A network that does nothing yet to samples of `shape`.
    #[must_use]
    pub fn new(shape: &[usize]) -> Self {
        Self { nodes: Vec::new(), shapes: vec![shape.to_vec()] }
    }

    /// The samples.
    #[must_use]
    pub const fn input(&self) -> Value {
        Value(0)
    }

    /// What the last operation made; before there is one, the samples.
    #[must_use]
    pub const fn answer(&self) -> Value {
        Value(self.nodes.len())
    }

    /// The shape of a value, for one sample; empty for a value of another graph.
    #[must_use]
    pub fn shape_of(&self, value: Value) -> &[usize] {
        self.shapes.get(value.0).map_or(&[], Vec::as_slice)
    }

    /// An operation on the value that was made last.
    ///
    /// # Errors
    /// As [`Graph::add`].
    pub fn then(&mut self, op: Op) -> Result<Value, GraphError> {
        self.add(op, &[self.answer()])
    }

    /// An operation on values made before; answers what it makes.
    ///
    /// # Errors
    /// [`GraphError`] if it cannot work on them.
    pub fn add(&mut self, op: Op, inputs: &[Value]) -> Result<Value, GraphError> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|&value| self.shape_of(value)).collect();
        let shape = shape_after(&op, &shapes)?;
        self.nodes.push(Node { op, inputs: inputs.to_vec() });
        self.shapes.push(shape);
        Ok(self.answer())
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What goes into the last linear layer: the samples as the network sees them before it decides. `None` without one.
    pub(super) fn embedding(&self) -> Option<Value> {
        let last = self.nodes.iter().rfind(|node| matches!(node.op, Op::Linear { .. }))?;
        last.inputs.first().copied()
    }

    /// The shapes of all weights: for each layer in turn its matrix `[inputs, outputs]` or its kernels
    /// `[channels after, channels before, side, side]`, and its bias.
    pub(super) fn weight_shapes(&self) -> Vec<Vec<usize>> {
        let mut shapes = Vec::new();
        for node in &self.nodes {
            let before = node.inputs.first().map_or(&[][..], |&value| self.shape_of(value));
            let first = before.first().copied().unwrap_or(0);
            match node.op {
                Op::Linear { outputs } => shapes.extend([vec![first, outputs], vec![outputs]]),
                Op::Conv { channels, kernel, .. } => {
                    shapes.extend([vec![channels, first, kernel, kernel], vec![channels]]);
                }
                Op::Scale { .. }
                | Op::Flatten
                | Op::Channel
                | Op::Relu
                | Op::MaxPool
                | Op::GlobalAveragePool
                | Op::Upsample
                | Op::Concat => {}
            }
        }
        shapes
    }

    /// The weights before the first step: the last layer zero, so that training begins with no opinion; others uniform in
    /// `[-sqrt(6 / n), sqrt(6 / n))`, `n` being the values that each output reads (He et al., arXiv 1502.01852, section
    /// 2.2), biases zero.
    pub(super) fn initial_weights(&self, seed: u64) -> Weights {
        let shapes = self.weight_shapes();
        let last = (shapes.len() / 2).saturating_sub(1);
        let weights = shapes.iter().enumerate().map(|(place, shape)| {
            let (layer, count) = (place / 2, volume(shape));
            let read = match shape.as_slice() {
                [inputs, _] => *inputs,
                [_, channels, height, width] => channels * height * width,
                _ => return vec![0.0; count], // a bias
            };
            if layer == last {
                return vec![0.0; count];
            }
            let purpose = format!("weights of layer {layer}");
            let chance = Chance { seed, cycle: CycleNumber(0), purpose: &purpose };
            #[expect(clippy::cast_precision_loss, reason = "a layer's width")]
            let limit = (6.0 / read as f64).sqrt();
            #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
            let draw =
                |place: usize| ((chance.unit(&place.to_string()) * 2.0 - 1.0) * limit) as f32;
            (0..count).map(draw).collect()
        });
        Weights(weights.collect())
    }
}

/// The shape of what an operation makes of values of these shapes.
fn shape_after(op: &Op, inputs: &[&[usize]]) -> Result<Vec<usize>, GraphError> {
    let operation = op.name();
    let misfit = |needed: &str| GraphError::Input {
        operation,
        needed: needed.to_owned(),
        found: match inputs {
            [shape] => format!("the shape {shape:?}"),
            shapes => format!("the shapes {shapes:?}"),
        },
    };
    let senseless =
        |found: String, needed: &'static str| GraphError::Setting { operation, found, needed };
    let image = "an image of shape [channels, height, width]; see pool.shape";
    let shape = match (op, inputs) {
        (Op::Concat, &[&[first, height, width], &[second, h, w]]) if (height, width) == (h, w) => {
            vec![first.saturating_add(second), height, width]
        }
        (Op::Concat, _) => return Err(misfit("two images of the same height and width")),
        (Op::Scale { factor, shift }, &[shape]) => {
            let most = scales(shape);
            if factor.len() != most || shift.len() != most {
                let found = format!("{} factors and {} shifts", factor.len(), shift.len());
                return Err(senseless(found, "one of each a channel or value"));
            }
            shape.to_vec()
        }
        (Op::Relu, &[shape]) => shape.to_vec(),
        (Op::Flatten, &[shape]) => vec![volume(shape)],
        (Op::Channel, &[&[height, width]]) => vec![1, height, width],
        (Op::Channel, _) => {
            return Err(misfit("an image of shape [height, width]; see pool.shape"));
        }
        (Op::Linear { outputs: 0 }, _) => {
            return Err(senseless("no outputs".to_owned(), "a width of at least 1"));
        }
        (Op::Linear { outputs }, &[&[inputs]]) => {
            if inputs.saturating_mul(*outputs) > VALUES_MAX {
                let found = format!("{inputs} x {outputs} weights");
                return Err(senseless(found, "at most 2^28"));
            }
            vec![*outputs]
        }
        (Op::Linear { .. }, _) => return Err(misfit("a vector")),
        (Op::Conv { channels, kernel, stride }, &[&[before, height, width]]) => {
            let weights = [*channels, before, *kernel, *kernel];
            let found = || format!("{channels} channels, kernel {kernel}, stride {stride}");
            if *channels == 0 || *stride == 0 || kernel % 2 == 0 {
                return Err(senseless(found(), "at least 1 channel and stride, and an odd kernel"));
            }
            if volume(&weights) > VALUES_MAX {
                return Err(senseless(found(), "at most 2^28 weights"));
            }
            vec![*channels, height.div_ceil(*stride), width.div_ceil(*stride)]
        }
        (Op::MaxPool, &[&[channels, height, width]]) if height > 1 && width > 1 => {
            vec![channels, height / 2, width / 2]
        }
        (Op::MaxPool, &[&[_, height, width]]) => {
            return Err(misfit(&format!(
                "at least 2 x 2 pixels, and {height} x {width} are left: fewer trainer.channels"
            )));
        }
        (Op::GlobalAveragePool, &[&[channels, _, _]]) => vec![channels],
        (Op::Upsample, &[&[channels, height, width]]) => {
            vec![channels, height.saturating_mul(2), width.saturating_mul(2)]
        }
        (Op::Conv { .. } | Op::MaxPool | Op::GlobalAveragePool | Op::Upsample, _) => {
            return Err(misfit(image));
        }
        (Op::Scale { .. } | Op::Relu | Op::Flatten, _) => return Err(misfit("one value")),
    };
    if volume(&shape) > VALUES_MAX {
        return Err(misfit("less: 2^28 values of a sample are the most"));
    }
    Ok(shape)
}

/// The weights of a graph, shaped as [`Graph::weight_shapes`] says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights(pub(super) Vec<Vec<f32>>);

impl Weights {
    /// Whether every weight is a number.
    pub(super) fn is_finite(&self) -> bool {
        self.0.iter().flatten().all(|x| x.is_finite())
    }
}
