//! A graph with weights as an ONNX file. The one file that names the ONNX writer.
//!
//! Opset 17 and IR version 8: read by every onnxruntime since 1.12, and by tract. The bytes depend on graph and weights alone.

use super::graph::{Graph, Node, Weights};
use onnx_rs::ast::{
    DataType, Dimension, Graph as OnnxGraph, Model, Node as OnnxNode, OpType, OperatorSetId,
    TensorProto, TensorShape, TensorShapeDimension, TensorTypeProto, TypeProto, TypeValue,
    ValueInfo,
};

const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// The ONNX file of `graph` with `weights`: input `input` of shape `[batch, ...shape]`, outputs `logits` of shape
/// `[batch, classes]` and `embedding`, which is what the last layer sees.
pub(super) fn onnx(graph: &Graph, weights: &Weights) -> Vec<u8> {
    let last = graph.nodes.len().saturating_sub(1);
    let names: Vec<String> = (0..last).map(|place| format!("node{place}")).collect();
    let parameters: Vec<(String, String)> = (0..weights.0.len())
        .map(|layer| (format!("weight{layer}"), format!("bias{layer}")))
        .collect();

    let mut nodes = Vec::new();
    let mut linears = parameters.iter();
    let mut input = "input";
    let mut embedding = "input";
    let mut width = graph.shape.iter().product();
    let mut classes = width;
    for (place, node) in graph.nodes.iter().enumerate() {
        let output = names.get(place).map_or("logits", String::as_str);
        let (op_type, inputs) = match node {
            Node::Flatten => (OpType::Flatten, vec![input]),
            Node::Linear { inputs, outputs } => {
                (embedding, width, classes) = (input, *inputs, *outputs);
                let parameters = linears.next().map(|(weight, bias)| [weight.as_str(), bias]);
                (
                    OpType::Gemm,
                    std::iter::once(input).chain(parameters.into_iter().flatten()).collect(),
                )
            }
            Node::Relu => (OpType::Relu, vec![input]),
        };
        nodes.push(OnnxNode {
            op_type,
            input: inputs,
            output: vec![output],
            ..OnnxNode::default()
        });
        input = output;
    }
    nodes.push(OnnxNode {
        op_type: OpType::Identity,
        input: vec![embedding],
        output: vec!["embedding"],
        ..OnnxNode::default()
    });

    let initializer = weights
        .0
        .iter()
        .zip(&parameters)
        .flat_map(|(linear, (weight, bias))| {
            let (inputs, outputs) = (dim(linear.inputs), dim(linear.outputs));
            [
                TensorProto::from_f32(weight, vec![inputs, outputs], linear.matrix.clone()),
                TensorProto::from_f32(bias, vec![outputs], linear.bias.clone()),
            ]
        })
        .collect();
    onnx_rs::encode(&Model {
        ir_version: IR_VERSION,
        producer_name: "gleaner",
        opset_import: vec![OperatorSetId { domain: "", version: OPSET }],
        graph: Some(OnnxGraph {
            name: "gleaner",
            node: nodes,
            initializer,
            input: vec![rows("input", &graph.shape)],
            output: vec![rows("logits", &[classes]), rows("embedding", &[width])],
            ..OnnxGraph::default()
        }),
        ..Model::default()
    })
}

/// A tensor of 32-bit floats with an open batch axis in front.
fn rows<'a>(name: &'a str, sample: &[usize]) -> ValueInfo<'a> {
    let sample = sample.iter().map(|&size| Dimension::Value(dim(size)));
    let dim = std::iter::once(Dimension::Param("batch"))
        .chain(sample)
        .map(|value| TensorShapeDimension { value, denotation: "" })
        .collect();
    let tensor = TensorTypeProto { elem_type: DataType::Float, shape: Some(TensorShape { dim }) };
    let value = Some(TypeValue::Tensor(tensor));
    let r#type = Some(TypeProto { value, denotation: "" });
    ValueInfo { name, r#type, ..ValueInfo::default() }
}

fn dim(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
