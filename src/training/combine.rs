//! Two ONNX files as one: a frozen backbone, and the head that was trained on its embeddings.
//!
//! The backbone stays as it is, its operator versions too. The head's operations are appended, its weights as constants,
//! under names that the backbone does not have; the outputs of the whole are the head's.

use crate::domain::digest::Digest;
use onnx_rs::ast::{
    Attribute, AttributeType, DataLocation, DataType, Dimension, Graph, Model, Node, OpType,
    StringStringEntry, TensorProto, TypeValue, ValueInfo,
};
use std::collections::{BTreeMap, BTreeSet};

/// Why two files cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CombineError {
    /// No ONNX file.
    #[error("the {which} is no ONNX file: {reason}")]
    Unreadable {
        /// `backbone` or `head`.
        which: &'static str,
        /// Why not.
        reason: String,
    },
    /// Weights that lie in another file.
    #[error(
        "the {which} keeps its tensor {tensor:?} in another file; save it as one file, for example with onnx.save_model(..., save_as_external_data=False)"
    )]
    ExternalData {
        /// `backbone` or `head`.
        which: &'static str,
        /// The first such tensor.
        tensor: String,
    },
    /// Inputs or outputs that do not fit.
    #[error("the {which} has {found}, but needs {needed}")]
    Ports {
        /// `backbone` or `head`.
        which: &'static str,
        /// What it has.
        found: String,
        /// What it would need.
        needed: &'static str,
    },
    /// The head takes other embeddings.
    #[error("the backbone answers with {found} values a sample, but the head takes {needed}")]
    Width {
        /// What the backbone answers with.
        found: i64,
        /// What the head takes.
        needed: i64,
    },
    /// An operation of the head may mean something else in the backbone's version of the operators.
    #[error(
        "the head's {operation} of opset {head} may mean something else in opset {backbone}, which is the backbone's; export the backbone with opset {head}"
    )]
    Opset {
        /// Which operation.
        operation: String,
        /// The head's opset.
        head: i64,
        /// The backbone's.
        backbone: i64,
    },
}

/// Under which keys the metadata of a combined file name its parts.
const BACKBONE: &str = "gleaner.backbone";
const HEAD: &str = "gleaner.head";

/// What a combined file is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The backbone's file.
    pub backbone: Digest,
    /// The head's.
    pub head: Digest,
}

/// The parts of a file that [`combine`] made; `None` for any other.
#[must_use]
pub fn parts_of(combined: &[u8]) -> Option<Parts> {
    let model = onnx_rs::parse(combined).ok()?;
    let named = |key: &str| {
        let entry = model.metadata_props.iter().find(|entry| entry.key == key)?;
        entry.value.parse().ok()
    };
    Some(Parts { backbone: named(BACKBONE)?, head: named(HEAD)? })
}

/// One ONNX file of a frozen backbone and a head that takes what the backbone answers: its output `embedding`, or its only
/// one, of 32-bit floats with the axes `[batch, values]`. The input is the backbone's, the outputs are the head's.
///
/// Its metadata name both files by their digests, see [`parts_of`].
///
/// # Errors
/// [`CombineError`] says what does not fit. Weights in other files are refused: the one file would not be whole.
pub fn combine(backbone: &[u8], head: &[u8]) -> Result<Vec<u8>, CombineError> {
    let digests = [(BACKBONE, backbone), (HEAD, head)];
    let digests = digests.map(|(key, bytes)| (key, Digest::of(bytes).to_string()));
    let mut model = parse("backbone", backbone)?;
    model.metadata_props.retain(|entry| ![BACKBONE, HEAD].contains(&entry.key));
    let named = digests.iter().map(|(key, value)| StringStringEntry { key, value });
    model.metadata_props.extend(named);
    let mut head = parse("head", head)?;
    let head_graph = std::mem::take(&mut head.graph).unwrap_or_default();
    let mut graph = std::mem::take(&mut model.graph).unwrap_or_default();
    one_input("backbone", &graph)?;
    let head_input = one_input("head", &head_graph)?;
    let embedding = embedding_of(&graph)?;
    fit(embedding, head_input)?;
    let (embedding, head_input) = (embedding.name, head_input.name);
    check_operators(&model, &head, &head_graph)?;

    // Names of the backbone that the head's outputs take over, and names of the head.
    let taken = names(&graph);
    let prefix = |word: &str| {
        let mut prefix = word.to_owned();
        while taken.iter().any(|name| name.starts_with(&prefix)) {
            prefix.push('_');
        }
        prefix
    };
    let (backbone_prefix, head_prefix) = (prefix("backbone."), prefix("head."));
    let outputs: BTreeSet<&str> = head_graph.output.iter().map(|port| port.name).collect();
    let moved: BTreeMap<&str, String> = outputs
        .iter()
        .filter(|name| taken.contains(*name))
        .map(|name| (*name, format!("{backbone_prefix}{name}")))
        .collect();
    let of_head: BTreeMap<&str, String> = names(&head_graph)
        .into_iter()
        .filter(|name| !outputs.contains(name) && *name != head_input)
        .map(|name| (name, format!("{head_prefix}{name}")))
        .collect();
    if let Some(port) = graph.input.iter().find(|port| moved.contains_key(port.name)) {
        let found = format!("an input {:?}, as the head has an output", port.name);
        return Err(CombineError::Ports {
            which: "backbone",
            found,
            needed: "another name for it",
        });
    }
    let backbone_name = |name| moved.get(name).map_or(name, String::as_str);
    rename(&mut graph, &backbone_name);
    let embedding = backbone_name(embedding);
    let head_name = |name| {
        if name == head_input { embedding } else { of_head.get(name).map_or(name, String::as_str) }
    };
    let (fixed, kept) =
        graph.initializer.into_iter().partition(|tensor| moved.contains_key(tensor.name()));
    graph.initializer = kept;
    let mut nodes: Vec<Node<'_>> = constants(fixed, &backbone_name);
    nodes.append(&mut graph.node);
    let mut head_graph = head_graph;
    nodes.extend(constants(std::mem::take(&mut head_graph.initializer), &head_name));
    rename(&mut head_graph, &head_name);
    nodes.append(&mut head_graph.node);
    graph.node = nodes;
    graph.output = head_graph.output;
    model.ir_version = model.ir_version.max(head.ir_version);
    model.graph = Some(graph);
    Ok(onnx_rs::encode(&model))
}

fn parse<'a>(which: &'static str, bytes: &'a [u8]) -> Result<Model<'a>, CombineError> {
    let unreadable = |reason: String| CombineError::Unreadable { which, reason };
    let model = onnx_rs::parse(bytes).map_err(|error| unreadable(error.to_string()))?;
    let Some(graph) = &model.graph else { return Err(unreadable("it has no graph".to_owned())) };
    let bodies = model.functions.iter().flat_map(|function| &function.node);
    let external = graph
        .initializer
        .iter()
        .chain(graph.node.iter().chain(bodies).flat_map(tensors))
        .find(|tensor| tensor.data_location() == DataLocation::External);
    match external.map(|tensor| tensor.name().to_owned()) {
        Some(tensor) => Err(CombineError::ExternalData { which, tensor }),
        None => Ok(model),
    }
}

/// Every tensor within an operation.
fn tensors<'n, 'a>(node: &'n Node<'a>) -> Vec<&'n TensorProto<'a>> {
    let mut found = Vec::new();
    for attribute in &node.attribute {
        found.extend(attribute.t.iter().chain(&attribute.tensors));
        for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
            found.extend(&graph.initializer);
            found.extend(graph.node.iter().flat_map(tensors));
        }
    }
    found
}

/// The one input that is no weight.
fn one_input<'g, 'a>(
    which: &'static str,
    graph: &'g Graph<'a>,
) -> Result<&'g ValueInfo<'a>, CombineError> {
    let is_weight =
        |port: &&ValueInfo<'_>| graph.initializer.iter().any(|tensor| tensor.name() == port.name);
    let inputs: Vec<&ValueInfo<'_>> = graph.input.iter().filter(|port| !is_weight(port)).collect();
    match inputs.as_slice() {
        [input] => Ok(input),
        others => {
            let names: Vec<&str> = others.iter().map(|port| port.name).collect();
            let found = format!("{} inputs ({})", names.len(), names.join(", "));
            Err(CombineError::Ports { which, found, needed: "exactly one" })
        }
    }
}

/// The output called `embedding`, or else the only one.
fn embedding_of<'g, 'a>(graph: &'g Graph<'a>) -> Result<&'g ValueInfo<'a>, CombineError> {
    let named = graph.output.iter().find(|port| port.name == "embedding");
    match (named, graph.output.as_slice()) {
        (Some(port), _) | (None, [port]) => Ok(port),
        (None, others) => {
            let names: Vec<&str> = others.iter().map(|port| port.name).collect();
            let found = format!("the outputs {}", names.join(", "));
            let needed = "one called `embedding`, or only one";
            Err(CombineError::Ports { which: "backbone", found, needed })
        }
    }
}

/// Whether the head can take what the backbone answers, as far as both say.
fn fit(embedding: &ValueInfo<'_>, input: &ValueInfo<'_>) -> Result<(), CombineError> {
    let mut widths = Vec::new();
    for (which, port) in [("backbone", embedding), ("head", input)] {
        let Some(TypeValue::Tensor(tensor)) =
            port.r#type.as_ref().and_then(|port| port.value.as_ref())
        else {
            continue;
        };
        let wrong = |found: String| {
            let found = format!("{found} at {:?}", port.name);
            let needed = "32-bit floats of shape [batch, values] there";
            CombineError::Ports { which, found, needed }
        };
        if tensor.elem_type != DataType::Float {
            return Err(wrong(format!("{:?} numbers", tensor.elem_type)));
        }
        let Some(shape) = &tensor.shape else { continue };
        match shape.dim.as_slice() {
            [_, values] => match values.value {
                Dimension::Value(values) if values > 0 => widths.push(values),
                Dimension::Value(_) | Dimension::Param(_) => {}
            },
            dims => return Err(wrong(format!("{} axes", dims.len()))),
        }
    }
    match *widths.as_slice() {
        [found, needed] if found != needed => Err(CombineError::Width { found, needed }),
        _ => Ok(()),
    }
}

/// Whether the head's operations mean the same by the backbone's operator versions, which stay.
fn check_operators(
    backbone: &Model<'_>,
    head: &Model<'_>,
    graph: &Graph<'_>,
) -> Result<(), CombineError> {
    let opset = |model: &Model<'_>| {
        let own = model.opset_import.iter().find(|set| matches!(set.domain, "" | "ai.onnx"));
        own.map_or(1, |set| set.version)
    };
    let (old, new) = (opset(backbone), opset(head));
    for node in &graph.node {
        let foreign = !matches!(node.domain, "" | "ai.onnx");
        if foreign {
            let found = format!("the operation {}.{}", node.domain, node.op_type);
            let needed = "operations of plain ONNX";
            return Err(CombineError::Ports { which: "head", found, needed });
        }
        let same = old == new || since(&node.op_type).is_some_and(|first| first <= old.min(new));
        if !same {
            let operation = node.op_type.to_string();
            return Err(CombineError::Opset { operation, head: new, backbone: old });
        }
    }
    Ok(())
}

/// The opset from which on an operation, used as `export` does, has meant the same (the operator changelog of ONNX; later
/// versions only admit more element types).
fn since(operation: &OpType<'_>) -> Option<i64> {
    const UNCHANGED: [(&str, i64); 6] =
        [("Flatten", 1), ("Identity", 1), ("Relu", 6), ("Mul", 7), ("Add", 7), ("Gemm", 7)];
    UNCHANGED.iter().find(|(name, _)| *name == operation.as_str()).map(|(_, since)| *since)
}

/// Every name of a value, subgraphs included.
fn names<'a>(graph: &Graph<'a>) -> BTreeSet<&'a str> {
    let ports = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    let mut names: BTreeSet<&str> = ports.map(|port| port.name).collect();
    names.extend(graph.initializer.iter().map(TensorProto::name));
    for node in &graph.node {
        names.extend(node.input.iter().chain(&node.output));
        for attribute in &node.attribute {
            for inner in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
                names.extend(self::names(inner));
            }
        }
    }
    names.remove(""); // an input that is left out
    names
}

/// Gives every value but the weights its new name, subgraphs included: within one file a name means one thing.
fn rename<'a>(graph: &mut Graph<'a>, name: &impl Fn(&'a str) -> &'a str) {
    let ports = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
    ports.for_each(|port| port.name = name(port.name));
    for annotation in &mut graph.quantization_annotation {
        annotation.tensor_name = name(annotation.tensor_name);
    }
    for node in &mut graph.node {
        let values = node.input.iter_mut().chain(&mut node.output);
        values.for_each(|value| *value = name(value));
        for attribute in &mut node.attribute {
            for inner in attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs) {
                rename(inner, name);
            }
        }
    }
}

/// Weights as operations without inputs, which can be given any name.
fn constants<'a>(
    tensors: Vec<TensorProto<'a>>,
    name: &impl Fn(&'a str) -> &'a str,
) -> Vec<Node<'a>> {
    let constant = |tensor: TensorProto<'a>| Node {
        op_type: OpType::Constant,
        output: vec![name(tensor.name())],
        attribute: vec![Attribute {
            name: "value",
            r#type: AttributeType::Tensor,
            t: Some(tensor),
            ..Attribute::default()
        }],
        ..Node::default()
    };
    tensors.into_iter().map(constant).collect()
}
