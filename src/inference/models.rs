//! Small ONNX models for tests, made from scratch.

use onnx_rs::ast::{
    Attribute, AttributeType, DataType, Dimension, Graph, Model, Node, OpType, OperatorSetId,
    TensorProto, TensorShape, TensorShapeDimension, TensorTypeProto, TypeProto, TypeValue,
    ValueInfo,
};
use std::path::PathBuf;
use tempfile::TempDir;

/// A linear model, and the ways in which it can be a wrong one.
#[derive(Clone)]
pub(super) struct Linear {
    /// The input's declared shape; `None` is the open batch axis.
    pub(super) input: Vec<Option<i64>>,
    pub(super) element: DataType,
    pub(super) features: usize,
    pub(super) classes: usize,
    /// The name of the scores.
    pub(super) scores: &'static str,
    pub(super) embedding: bool,
    /// Whether there is a further output `map`: the features as rows of two.
    pub(super) map: bool,
    pub(super) softmax: bool,
    /// The weight of every feature for class `c` is `weight * (c + 1)`.
    pub(super) weight: f32,
}

impl Default for Linear {
    fn default() -> Self {
        Self {
            input: vec![None, Some(4)],
            element: DataType::Float,
            features: 4,
            classes: 3,
            scores: "logits",
            embedding: true,
            map: false,
            softmax: false,
            weight: 0.5,
        }
    }
}

impl Linear {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let weights = (0..self.features)
            .flat_map(|_| (0..self.classes).map(|class| self.weight * (class as f32 + 1.0)))
            .collect();
        let shape = vec![self.features as i64, self.classes as i64];
        let node = |op_type, input, output| Node { op_type, input, output, ..Node::default() };
        let cast = Node {
            attribute: vec![Attribute {
                name: "to",
                r#type: AttributeType::Int,
                i: DataType::Float as i64,
                ..Attribute::default()
            }],
            ..node(OpType::Cast, vec!["x"], vec!["cast"])
        };
        let mut nodes = vec![
            cast,
            node(OpType::Flatten, vec!["cast"], vec!["flat"]),
            node(OpType::MatMul, vec!["flat", "w"], vec!["product"]),
        ];
        let last = if self.softmax { OpType::Softmax } else { OpType::Identity };
        nodes.push(node(last, vec!["product"], vec![self.scores]));
        let classes = Some(self.classes as i64);
        let mut output = vec![value(self.scores, DataType::Float, &[None, classes])];
        if self.embedding {
            nodes.push(node(OpType::Identity, vec!["flat"], vec!["embedding"]));
            let features = Some(self.features as i64);
            output.push(value("embedding", DataType::Float, &[None, features]));
        }
        let mut initializer = vec![TensorProto::from_f32("w", shape, weights)];
        if self.map {
            nodes.push(node(OpType::Reshape, vec!["flat", "pairs"], vec!["map"]));
            initializer.push(TensorProto::from_i64("pairs", vec![3], vec![-1, 2, 2]));
            output.push(value("map", DataType::Float, &[None, Some(2), Some(2)]));
        }
        onnx_rs::encode(&Model {
            ir_version: 8,
            producer_name: "gleaner tests",
            opset_import: vec![OperatorSetId { domain: "", version: 17 }],
            graph: Some(Graph {
                name: "linear",
                node: nodes,
                initializer,
                input: vec![value("x", self.element, &self.input)],
                output,
                ..Graph::default()
            }),
            ..Model::default()
        })
    }

    /// Writes the model into a folder that goes away with the answer.
    pub(super) fn saved(&self) -> (TempDir, PathBuf) {
        saved(&self.bytes())
    }
}

pub(super) fn saved(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, bytes).expect("a model file");
    (folder, path)
}

fn value<'a>(name: &'a str, elem_type: DataType, dims: &[Option<i64>]) -> ValueInfo<'a> {
    let dim = dims.iter().map(|dim| TensorShapeDimension {
        value: dim.map_or(Dimension::Param("batch"), Dimension::Value),
        denotation: "",
    });
    let shape = Some(TensorShape { dim: dim.collect() });
    let tensor = TypeValue::Tensor(TensorTypeProto { elem_type, shape });
    ValueInfo {
        name,
        r#type: Some(TypeProto { value: Some(tensor), denotation: "" }),
        ..ValueInfo::default()
    }
}
