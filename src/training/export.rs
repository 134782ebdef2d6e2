//! A graph with weights as an ONNX file. With `combine`, the place that names the ONNX writer.
//!
//! Opset 17 and IR version 8: read by every onnxruntime since 1.12, and by tract. The bytes depend on graph and weights alone.

use super::graph::{Graph, Node, Op, Value, Weights};
use onnx_rs::ast::{
    Attribute, AttributeType, DataType, Dimension, Graph as OnnxGraph, Model, Node as OnnxNode,
    OpType, OperatorSetId, TensorProto, TensorShape, TensorShapeDimension, TensorTypeProto,
    TypeProto, TypeValue, ValueInfo,
};

const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// The ONNX file of `graph` with `weights`: input `input` of shape `[batch, ...shape]`, an output called `answer`, and where
/// there is a linear layer the output `embedding`, which is what the last one sees.
pub(super) fn onnx(graph: &Graph, weights: &Weights, answer: &str) -> Vec<u8> {
    let names = Names::new(graph, weights, answer);
    let mut file = File::default();
    let mut layer = 0;
    for (place, node) in graph.nodes().iter().enumerate() {
        file.add(graph, node, &names, place, &mut layer);
    }
    let mut outputs = vec![rows(answer, graph.shape_of(graph.answer()))];
    if let Some(embedding) = graph.embedding() {
        file.node(OpType::Identity, vec![names.value(embedding)], "embedding", vec![]);
        outputs.push(rows("embedding", graph.shape_of(embedding)));
    }
    let tensors = weights.0.iter().zip(graph.weight_shapes()).zip(&names.weights);
    for ((values, shape), name) in tensors {
        let dims = shape.iter().map(|&size| dim(size)).collect();
        file.initializers.push(TensorProto::from_f32(name, dims, values.clone()));
    }
    onnx_rs::encode(&Model {
        ir_version: IR_VERSION,
        producer_name: "gleaner",
        opset_import: vec![OperatorSetId { domain: "", version: OPSET }],
        graph: Some(OnnxGraph {
            name: "gleaner",
            node: file.nodes,
            initializer: file.initializers,
            input: vec![rows("input", graph.shape_of(graph.input()))],
            output: outputs,
            ..OnnxGraph::default()
        }),
        ..Model::default()
    })
}

/// What everything is called in the file.
struct Names {
    /// By value of the graph.
    values: Vec<String>,
    /// By weight: `weight0`, `bias0`, `weight1` ...
    weights: Vec<String>,
    /// By node: `factor3`, `shift3`, `axes3`, `scaled3` ...
    parts: Vec<[String; 3]>,
}

impl Names {
    fn new(graph: &Graph, weights: &Weights, answer: &str) -> Self {
        let count = graph.nodes().len();
        let mut values: Vec<String> = vec!["input".to_owned()];
        values.extend((1..count).map(|place| format!("node{}", place - 1)));
        values.push(answer.to_owned());
        let weight = |place: usize| match place % 2 {
            0 => format!("weight{}", place / 2),
            _ => format!("bias{}", place / 2),
        };
        let parts = |place: usize| ["factor", "shift", "part"].map(|part| format!("{part}{place}"));
        Self {
            values,
            weights: (0..weights.0.len()).map(weight).collect(),
            parts: (0..count).map(parts).collect(),
        }
    }

    fn value(&self, value: Value) -> &str {
        self.values.get(value.0).map_or("", String::as_str)
    }
}

/// The list of operations while it is written.
#[derive(Default)]
struct File<'a> {
    nodes: Vec<OnnxNode<'a>>,
    initializers: Vec<TensorProto<'a>>,
}

impl<'a> File<'a> {
    fn node(
        &mut self,
        op_type: OpType<'a>,
        input: Vec<&'a str>,
        output: &'a str,
        attribute: Vec<Attribute<'a>>,
    ) {
        let output = vec![output];
        self.nodes.push(OnnxNode { op_type, input, output, attribute, ..OnnxNode::default() });
    }

    /// The operation at `place`; `layer` counts those with weights.
    fn add(
        &mut self,
        graph: &Graph,
        node: &Node,
        names: &'a Names,
        place: usize,
        layer: &mut usize,
    ) {
        let output = names.value(Value(place + 1));
        let mut inputs: Vec<&'a str> =
            node.inputs.iter().map(|&value| names.value(value)).collect();
        let [factor_name, shift_name, part] = match names.parts.get(place) {
            Some(parts) => parts.each_ref().map(String::as_str),
            None => [""; 3],
        };
        match &node.op {
            Op::Scale { factor, shift } => {
                let shape = node.inputs.first().map_or(&[][..], |&value| graph.shape_of(value));
                let count = dim(factor.len());
                let dims = if shape.len() == 3 { vec![count, 1, 1] } else { vec![count] };
                for (name, values) in [(factor_name, factor), (shift_name, shift)] {
                    let tensor = TensorProto::from_f32(name, dims.clone(), values.clone());
                    self.initializers.push(tensor);
                }
                inputs.push(factor_name);
                self.node(OpType::Mul, inputs, part, vec![]);
                self.node(OpType::Add, vec![part, shift_name], output, vec![]);
            }
            Op::Flatten => self.node(OpType::Flatten, inputs, output, vec![]),
            Op::Channel => {
                self.initializers.push(TensorProto::from_i64(part, vec![1], vec![1]));
                inputs.push(part);
                self.node(OpType::Unsqueeze, inputs, output, vec![]);
            }
            Op::Relu => self.node(OpType::Relu, inputs, output, vec![]),
            Op::Linear { .. } => {
                inputs.extend(weights_of(names, layer));
                self.node(OpType::Gemm, inputs, output, vec![]);
            }
            Op::Conv { kernel, stride, .. } => {
                inputs.extend(weights_of(names, layer));
                let (kernel, stride, around) = (dim(*kernel), dim(*stride), dim(kernel / 2));
                let attributes = vec![
                    ints("kernel_shape", vec![kernel; 2]),
                    ints("strides", vec![stride; 2]),
                    ints("pads", vec![around; 4]),
                ];
                self.node(OpType::Conv, inputs, output, attributes);
            }
            Op::MaxPool => {
                let attributes =
                    vec![ints("kernel_shape", vec![2; 2]), ints("strides", vec![2; 2])];
                self.node(OpType::MaxPool, inputs, output, attributes);
            }
            Op::GlobalAveragePool => {
                self.node(OpType::GlobalAveragePool, inputs, part, vec![]);
                self.node(OpType::Flatten, vec![part], output, vec![]);
            }
            Op::Upsample => {
                let scales = TensorProto::from_f32(part, vec![4], vec![1.0, 1.0, 2.0, 2.0]);
                self.initializers.push(scales);
                inputs.extend(["", part]); // no region of interest
                let attributes = vec![
                    text("mode", "nearest"),
                    text("coordinate_transformation_mode", "asymmetric"),
                    text("nearest_mode", "floor"),
                ];
                self.node(OpType::Resize, inputs, output, attributes);
            }
            Op::Concat => {
                let axis = Attribute {
                    name: "axis",
                    r#type: AttributeType::Int,
                    i: 1,
                    ..Attribute::default()
                };
                self.node(OpType::Concat, inputs, output, vec![axis]);
            }
        }
    }
}

/// The names of the next layer's weights.
fn weights_of<'a>(names: &'a Names, layer: &mut usize) -> impl Iterator<Item = &'a str> + use<'a> {
    let first = 2 * *layer;
    *layer += 1;
    names.weights.iter().skip(first).take(2).map(String::as_str)
}

fn ints<'a>(name: &'a str, ints: Vec<i64>) -> Attribute<'a> {
    Attribute { name, r#type: AttributeType::Ints, ints, ..Attribute::default() }
}

fn text<'a>(name: &'a str, value: &'a str) -> Attribute<'a> {
    Attribute { name, r#type: AttributeType::String, s: value.as_bytes(), ..Attribute::default() }
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
