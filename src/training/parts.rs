//! Parts of networks that tasks share: each adds a few operations to a graph.

use super::graph::{Graph, GraphError, Op, Value};
use super::loader::Moments;
use crate::domain::definition::GraphSpec;

/// Brings samples to mean 0 and standard deviation 1.
///
/// # Errors
/// [`GraphError`] if `moments` are of samples of another shape.
pub fn standardise(graph: &mut Graph, moments: &Moments) -> Result<Value, GraphError> {
    // A value that never changes tells nothing; it becomes 0.
    let deviation = |deviation: &f64| if *deviation > 0.0 { *deviation } else { 1.0 };
    let factor = moments.deviation.iter().map(|sd| to_f32(1.0 / deviation(sd)));
    let shift = moments.mean.iter().zip(&moments.deviation);
    let shift = shift.map(|(mean, sd)| to_f32(-mean / deviation(sd)));
    graph.then(Op::Scale { factor: factor.collect(), shift: shift.collect() })
}

/// Brings answers that a network gives around 0 and 1 to the mean and standard deviation of the training labels.
///
/// # Errors
/// [`GraphError`] if `moments` are of labels of another width.
pub fn restore(graph: &mut Graph, moments: &Moments) -> Result<Value, GraphError> {
    let factor = moments.deviation.iter().map(|sd| to_f32(if *sd > 0.0 { *sd } else { 1.0 }));
    let shift = moments.mean.iter().map(|mean| to_f32(*mean));
    graph.then(Op::Scale { factor: factor.collect(), shift: shift.collect() })
}

/// Linear layers of these widths, each with ReLU, then one of `outputs`.
///
/// # Errors
/// [`GraphError`] if a width is 0.
pub fn mlp(graph: &mut Graph, hidden: &[usize], outputs: usize) -> Result<Value, GraphError> {
    graph.then(Op::Flatten)?;
    for &width in hidden {
        graph.then(Op::Linear { outputs: width })?;
        graph.then(Op::Relu)?;
    }
    graph.then(Op::Linear { outputs })
}

/// 3 x 3 convolutions with so many channels, each with ReLU and a maximum over 2 x 2 pixels, then a linear layer.
///
/// # Errors
/// [`GraphError`] if samples are no images, or so small that nothing is left.
pub fn cnn(graph: &mut Graph, channels: &[usize], outputs: usize) -> Result<Value, GraphError> {
    image(graph)?;
    for &channels in channels {
        convolve(graph, channels)?;
        graph.then(Op::MaxPool)?;
    }
    mlp(graph, &[], outputs)
}

/// A U-Net (Ronneberger et al., arXiv 1505.04597): down by halves to the last of `channels`, up again with the values of
/// the way down beside, then a logit a class for each pixel. Convolutions keep the size here, so the mask is as large as the
/// image.
///
/// # Errors
/// [`GraphError`] if samples are no images, or their sides cannot be halved so often.
pub fn unet(graph: &mut Graph, channels: &[usize], classes: usize) -> Result<Value, GraphError> {
    let input = image(graph)?;
    let sides = graph.shape_of(input).get(1..).unwrap_or_default().to_vec();
    let depth = channels.len().saturating_sub(1);
    let whole = u32::try_from(depth).ok().and_then(|depth| 2_usize.checked_pow(depth));
    if sides.iter().any(|side| whole.is_none_or(|whole| side % whole != 0)) {
        let needed = format!("sides that can be halved {depth} times");
        let found = format!("an image of {sides:?} pixels; see pool.size and trainer.channels");
        return Err(GraphError::Input { operation: "U-Net", needed, found });
    }
    let mut down = Vec::new();
    for (level, &channels) in channels.iter().enumerate() {
        if level > 0 {
            graph.then(Op::MaxPool)?;
        }
        convolve(graph, channels)?;
        down.push((convolve(graph, channels)?, channels));
    }
    for &(beside, channels) in down.iter().rev().skip(1) {
        let up = graph.then(Op::Upsample)?;
        graph.add(Op::Concat, &[beside, up])?;
        convolve(graph, channels)?;
        convolve(graph, channels)?;
    }
    graph.then(Op::Conv { channels: classes, kernel: 1, stride: 1 })
}

/// The samples as `[channels, height, width]`, whether or not they have an axis for channels.
fn image(graph: &mut Graph) -> Result<Value, GraphError> {
    match graph.shape_of(graph.answer()) {
        [_, _] => graph.then(Op::Channel),
        _ => Ok(graph.answer()),
    }
}

fn convolve(graph: &mut Graph, channels: usize) -> Result<Value, GraphError> {
    graph.then(Op::Conv { channels, kernel: 3, stride: 1 })?;
    graph.then(Op::Relu)
}

/// The network that a workflow asks for, with `outputs` values a sample, or a U-Net's a pixel; `answer` is the shape that the
/// task needs.
pub(super) fn chosen(
    spec: &GraphSpec,
    shape: &[usize],
    moments: Option<&Moments>,
    outputs: usize,
    answer: &[usize],
) -> Result<Graph, GraphError> {
    let mut graph = Graph::new(shape);
    if let Some(moments) = moments {
        standardise(&mut graph, moments)?;
    }
    let last = match spec {
        GraphSpec::Softmax => mlp(&mut graph, &[], outputs)?,
        GraphSpec::Mlp(hidden) => mlp(&mut graph, hidden, outputs)?,
        GraphSpec::Cnn(channels) => cnn(&mut graph, channels, outputs)?,
        GraphSpec::Unet(channels) => unet(&mut graph, channels, outputs)?,
    };
    if graph.shape_of(last) == answer {
        return Ok(graph);
    }
    Err(GraphError::Answer { found: graph.shape_of(last).to_vec(), needed: answer.to_vec() })
}

#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
const fn to_f32(number: f64) -> f32 {
    number as f32
}
