//! What a model must take and give, checked when it is loaded and again on everything it answers.
//!
//! Knows shapes, names and numbers only; which library runs the model is not its business.

use super::error::{InferenceError, Mismatch};
use super::{OutputKind, Predictions};
use crate::domain::matrix::Matrix;
use std::ops::Range;
use std::path::Path;

/// How far a row of probabilities may sum from 1: 32-bit softmax over many classes stays well within it.
const PROBABILITY_SLACK: f64 = 1e-3;

/// An input or output as a model declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    /// Its name.
    pub(super) name: String,
    /// Its element type; `None` for 32-bit floats, else the type's name.
    pub(super) other_element: Option<String>,
    /// Its shape, `None` for what is open; `None` as a whole if nothing is declared.
    pub(super) dims: Option<Vec<Option<usize>>>,
}

/// What was agreed with a model: how rows go in, and which outputs come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contract {
    /// The shape of one sample as the model takes it, without the batch axis.
    pub(super) sample: Vec<usize>,
    /// The input takes one sample at a time.
    pub(super) one_by_one: bool,
    /// The input's name.
    pub(super) input: String,
    /// The output that holds the scores.
    pub(super) scores: String,
    /// What the scores are.
    pub(super) kind: OutputKind,
    /// Whether there is an output `embedding`.
    pub(super) embedding: bool,
    /// How many classes there are.
    classes: usize,
    /// How many values a sample has.
    width: usize,
}

impl Contract {
    /// Agrees with a model that declares these inputs and outputs.
    pub(super) fn agree(
        model: &Path,
        inputs: &[Port],
        outputs: &[Port],
        shape: &[usize],
        classes: usize,
    ) -> Result<Self, InferenceError> {
        let options = |what: String| InferenceError::Options { what };
        let width = shape
            .iter()
            .try_fold(1_usize, |product, &dim| product.checked_mul(dim))
            .filter(|&width| width > 0)
            .ok_or_else(|| options(format!("samples of shape {shape:?} hold no values")))?;
        if classes == 0 {
            return Err(options("a model needs at least one class".into()));
        }
        let mismatch = |mismatch| InferenceError::Mismatch { path: model.to_owned(), mismatch };
        let input = match inputs {
            [input] => input,
            other => {
                let names = other.iter().map(|port| port.name.clone()).collect();
                return Err(mismatch(Mismatch::Inputs { names }));
            }
        };
        let (sample, one_by_one) = fit_input(input, shape, width).map_err(mismatch)?;
        let (scores, kind) = find_scores(outputs, classes).map_err(mismatch)?;
        let embedding = outputs.iter().find(|port| port.name == EMBEDDING);
        if let Some(port) = embedding {
            require_floats(port).map_err(mismatch)?;
        }
        Ok(Self {
            sample,
            one_by_one,
            input: input.name.clone(),
            scores,
            kind,
            embedding: embedding.is_some(),
            classes,
            width,
        })
    }

    /// The batches in which `inputs` are run: their rows and values.
    pub(super) fn batches<'m>(
        &self,
        inputs: &'m Matrix,
        batch: usize,
    ) -> impl Iterator<Item = (Range<usize>, &'m [f32])> {
        let size = if self.one_by_one { 1 } else { batch.max(1) };
        let rows = inputs.rows();
        let values = inputs.data().chunks(size.saturating_mul(self.width));
        values.enumerate().map(move |(place, values)| {
            let first = place.saturating_mul(size);
            (first..first.saturating_add(size).min(rows), values)
        })
    }

    /// The shape of a batch of `rows` samples.
    pub(super) fn batch_shape(&self, rows: usize) -> Vec<usize> {
        std::iter::once(rows).chain(self.sample.iter().copied()).collect()
    }

    /// Starts collecting what the model answers for `inputs`.
    pub(super) fn collect<'a>(
        &'a self,
        model: &'a Path,
        inputs: &'a Matrix,
    ) -> Result<Collector<'a>, InferenceError> {
        if inputs.cols() != self.width && inputs.rows() > 0 {
            return Err(InferenceError::Width { found: inputs.cols(), expected: self.width });
        }
        let capacity = inputs.rows().saturating_mul(self.classes);
        Ok(Collector {
            contract: self,
            model,
            inputs,
            scores: Vec::with_capacity(capacity),
            embedding: Vec::new(),
            embedding_width: None,
        })
    }
}

/// The name of the output that holds what the last layer saw.
pub(super) const EMBEDDING: &str = "embedding";

fn require_floats(port: &Port) -> Result<(), Mismatch> {
    port.other_element.as_ref().map_or(Ok(()), |found| {
        Err(Mismatch::Element { tensor: port.name.clone(), found: found.clone() })
    })
}

/// The sample shape to feed and whether the batch axis is fixed to 1. A model may take samples flat, or with axes of
/// length 1 that the pool does not have: only the number of values and their order count then.
fn fit_input(input: &Port, shape: &[usize], width: usize) -> Result<(Vec<usize>, bool), Mismatch> {
    require_floats(input)?;
    let Some(dims) = &input.dims else { return Ok((shape.to_vec(), false)) };
    let wrong = || Mismatch::InputShape {
        input: input.name.clone(),
        found: shown(dims),
        expected: shown(
            &std::iter::once(None).chain(shape.iter().copied().map(Some)).collect::<Vec<_>>(),
        ),
    };
    let (batch, sample) = dims.split_first().ok_or_else(wrong)?;
    let one_by_one = match batch {
        None => false,
        Some(1) => true,
        Some(size) => {
            return Err(Mismatch::FixedBatch { input: input.name.clone(), size: *size });
        }
    };
    let same_axes = sample.len() == shape.len()
        && sample.iter().zip(shape).all(|(dim, want)| dim.is_none_or(|dim| dim == *want));
    if same_axes {
        return Ok((shape.to_vec(), one_by_one));
    }
    if let [None] = sample {
        return Ok((vec![width], one_by_one));
    }
    let known: Option<Vec<usize>> = sample.iter().copied().collect();
    known
        .filter(|dims| dims.iter().try_fold(1_usize, |p, &d| p.checked_mul(d)) == Some(width))
        .map(|dims| (dims, one_by_one))
        .ok_or_else(wrong)
}

fn find_scores(outputs: &[Port], classes: usize) -> Result<(String, OutputKind), Mismatch> {
    let named = |name: &str| outputs.iter().find(|port| port.name == name);
    let others: Vec<&Port> = outputs.iter().filter(|port| port.name != EMBEDDING).collect();
    let (port, kind) = match (named("logits"), named("probabilities"), others.as_slice()) {
        (Some(port), _, _) => (port, OutputKind::Logits),
        (None, Some(port), _) => (port, OutputKind::Probabilities),
        (None, None, [port]) => (*port, OutputKind::Logits),
        (None, None, _) => {
            let names = outputs.iter().map(|port| port.name.clone()).collect();
            return Err(Mismatch::NoScores { names });
        }
    };
    require_floats(port)?;
    let fits = port.dims.as_ref().is_none_or(
        |dims| matches!(dims.as_slice(), [_, last] if last.is_none_or(|last| last == classes)),
    );
    if fits {
        return Ok((port.name.clone(), kind));
    }
    Err(Mismatch::ScoreShape {
        output: port.name.clone(),
        found: shown(port.dims.as_deref().unwrap_or_default()),
        expected: shown(&[None, Some(classes)]),
    })
}

fn shown(dims: &[Option<usize>]) -> String {
    let dims: Vec<String> =
        dims.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

/// Puts the answers for all batches together and refuses what is not a score.
pub(super) struct Collector<'a> {
    contract: &'a Contract,
    model: &'a Path,
    inputs: &'a Matrix,
    scores: Vec<f32>,
    embedding: Vec<f32>,
    embedding_width: Option<usize>,
}

impl Collector<'_> {
    /// Takes the scores of the batch `rows`.
    pub(super) fn scores(
        &mut self,
        rows: &Range<usize>,
        dims: &[usize],
        values: &[f32],
    ) -> Result<(), InferenceError> {
        let contract = self.contract;
        if *dims != [rows.len(), contract.classes] {
            return Err(self.mismatch(Mismatch::ScoreShape {
                output: contract.scores.clone(),
                found: format!("{dims:?}"),
                expected: format!("[{}, {}]", rows.len(), contract.classes),
            }));
        }
        self.check_finite(&contract.scores, rows, contract.classes, values)?;
        if contract.kind == OutputKind::Probabilities {
            for (row, values) in rows.clone().zip(values.chunks(contract.classes)) {
                let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
                let within = values.iter().all(|value| (0.0..=1.0 + 1e-6).contains(value));
                if !within || (sum - 1.0).abs() > PROBABILITY_SLACK {
                    return Err(InferenceError::NotProbabilities { row, sum });
                }
            }
        }
        self.scores.extend_from_slice(values);
        Ok(())
    }

    /// Takes the embedding of the batch `rows`; whatever shape a row has is laid flat.
    pub(super) fn embedding(
        &mut self,
        rows: &Range<usize>,
        dims: &[usize],
        values: &[f32],
    ) -> Result<(), InferenceError> {
        let width = values.len().checked_div(rows.len()).unwrap_or(0);
        let same = self.embedding_width.is_none_or(|before| before == width);
        if dims.first() != Some(&rows.len()) || width == 0 || !same {
            let found = format!("{dims:?}");
            return Err(self.mismatch(Mismatch::EmbeddingShape { found }));
        }
        self.check_finite(EMBEDDING, rows, width, values)?;
        self.embedding_width = Some(width);
        self.embedding.extend_from_slice(values);
        Ok(())
    }

    /// Everything that was taken.
    pub(super) fn finish(self) -> Result<Predictions, InferenceError> {
        let incomplete = |end| InferenceError::Run {
            first: 0,
            end,
            reason: "an output is missing for some rows".into(),
        };
        let rows = self.inputs.rows();
        let scores = Matrix::new(rows, self.contract.classes, self.scores)
            .ok_or_else(|| incomplete(rows))?;
        let embedding = match self.embedding_width {
            Some(width) => {
                Some(Matrix::new(rows, width, self.embedding).ok_or_else(|| incomplete(rows))?)
            }
            None => None,
        };
        Ok(Predictions { logits: scores, embedding, kind: self.contract.kind })
    }

    fn mismatch(&self, mismatch: Mismatch) -> InferenceError {
        InferenceError::Mismatch { path: self.model.to_owned(), mismatch }
    }

    fn check_finite(
        &self,
        output: &str,
        rows: &Range<usize>,
        width: usize,
        values: &[f32],
    ) -> Result<(), InferenceError> {
        let Some((index, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite())
        else {
            return Ok(());
        };
        let row = rows.start.saturating_add(index.checked_div(width).unwrap_or(0));
        Err(InferenceError::NonFinite {
            output: output.to_owned(),
            row,
            place: index.checked_rem(width).unwrap_or(0),
            value,
            input_finite: self.inputs.row(row).iter().all(|value| value.is_finite()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, dims: &[Option<usize>]) -> Port {
        Port { name: name.into(), other_element: None, dims: Some(dims.to_vec()) }
    }

    fn agree(inputs: &[Port], outputs: &[Port]) -> Result<Contract, String> {
        Contract::agree("m.onnx".as_ref(), inputs, outputs, &[2, 3], 4)
            .map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(inputs: &[Port], outputs: &[Port], words: &str) {
        let error = agree(inputs, outputs).expect_err("this must not pass");
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }

    #[test]
    fn whatever_a_model_leaves_open_is_filled_in() {
        let unknown = |name: &str| Port { name: name.into(), other_element: None, dims: None };
        let open = [None, None, None];
        for input in [unknown("x"), port("x", &open), port("x", &[None, Some(2), None])] {
            let contract = agree(&[input], &[unknown("y")]).expect("it may fit");
            assert_eq!((contract.sample.as_slice(), contract.scores.as_str()), (&[2, 3][..], "y"));
            assert_eq!(contract.batch_shape(7), [7, 2, 3]);
        }
        let flat = agree(&[port("x", &[None, None])], &[unknown("y")]).expect("it may fit");
        assert_eq!(flat.sample, [6]);
    }

    #[test]
    fn a_model_that_cannot_fit_is_refused_in_words() {
        let x = || port("x", &[None, Some(2), Some(3)]);
        let y = || port("logits", &[None, Some(4)]);
        refused(&[], &[y()], "has 0 inputs");
        refused(&[x(), port("mask", &[None])], &[y()], "has 2 inputs (x, mask)");
        refused(&[port("x", &[])], &[y()], "has shape []");
        refused(&[x()], &[], "none of them called `logits`");
        refused(
            &[port("x", &[None, Some(7)])],
            &[y()],
            "has shape [?, 7], but samples have shape [?, 2, 3]",
        );
        refused(&[x()], &[port("a", &[]), port("b", &[])], "has outputs a, b");
        refused(&[x()], &[port("embedding", &[None, Some(9)])], "has outputs embedding");
        refused(&[x()], &[port("logits", &[None, Some(4), Some(1)])], "has shape [?, 4, 1]");
        let double = Port { other_element: Some("f64".into()), ..port("embedding", &[None]) };
        refused(&[x()], &[y(), double], "`embedding` holds f64");
    }

    #[test]
    fn answers_of_another_shape_than_declared_are_refused() {
        let y = Port { name: "logits".into(), other_element: None, dims: None };
        let contract = agree(&[port("x", &[None, Some(6)])], &[y]).expect("it may fit");
        let inputs = Matrix::new(2, 6, vec![0.0; 12]).unwrap();
        let mut collector = contract.collect("m.onnx".as_ref(), &inputs).unwrap();
        assert!(collector.scores(&(0..2), &[2, 5], &[0.0; 10]).is_err());
        assert!(collector.scores(&(0..2), &[1, 4], &[0.0; 4]).is_err());
        assert!(collector.embedding(&(0..2), &[3, 2], &[0.0; 6]).is_err());
        assert!(collector.embedding(&(0..1), &[1, 2, 2], &[0.0; 4]).is_ok());
        assert!(collector.embedding(&(1..2), &[1, 3], &[0.0; 3]).is_err());
        // Rows without an answer are an error, too.
        assert!(collector.scores(&(0..1), &[1, 4], &[0.0; 4]).is_ok());
        assert!(collector.finish().is_err());
    }
}
