//! What a model must take and give, checked when it is loaded and again on everything it answers.
//!
//! Knows shapes, names and numbers only; which library runs the model is not its business.

use super::error::{InferenceError, Mismatch};
use super::{
    AUTOMATIC, DEFAULT_BATCH, Extra, LoadOptions, Output, OutputKind, Predictions, Scores,
};
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

impl Port {
    /// As callers see it.
    pub(super) fn told(&self) -> Output {
        let shape = self.dims.as_ref().map(|dims| dims.get(1..).unwrap_or_default().to_vec());
        Output { name: self.name.clone(), shape }
    }
}

/// An output that is read, and what it is read for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its name.
    pub(super) name: String,
    /// Its place among the model's outputs.
    pub(super) place: usize,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Scores,
    Embedding,
    Extra,
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
    /// The outputs that are read.
    pub(super) wanted: Vec<Wanted>,
    /// All outputs of the model.
    pub(super) outputs: Vec<Output>,
    kind: OutputKind,
    /// How many classes there are, if the scores are one for each.
    classes: Option<usize>,
    /// How many numbers the scores are in all, where that was asked for.
    numbers: Option<usize>,
    /// How many values a sample has.
    width: usize,
}

impl Contract {
    /// Agrees with a model that declares these inputs and outputs.
    pub(super) fn agree(
        inputs: &[Port],
        outputs: &[Port],
        options: &LoadOptions<'_>,
    ) -> Result<Self, InferenceError> {
        let LoadOptions { model, shape, .. } = *options;
        let senseless = |what: String| InferenceError::Options { what };
        let width = shape
            .iter()
            .try_fold(1_usize, |product, &dim| product.checked_mul(dim))
            .filter(|&width| width > 0)
            .ok_or_else(|| senseless(format!("samples of shape {shape:?} hold no values")))?;
        if options.scores == Scores::PerClass(0) {
            return Err(senseless("a model needs at least one class".into()));
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
        let (wanted, kind) = find_outputs(outputs, options).map_err(mismatch)?;
        let classes = match options.scores {
            Scores::PerClass(classes) => Some(classes),
            Scores::Values(_) | Scores::Free | Scores::Unused => None,
        };
        let numbers = match options.scores {
            Scores::Values(numbers) => Some(numbers),
            Scores::PerClass(_) | Scores::Free | Scores::Unused => None,
        };
        Ok(Self {
            sample,
            one_by_one,
            input: input.name.clone(),
            wanted,
            outputs: outputs.iter().map(Port::told).collect(),
            kind,
            classes,
            numbers,
            width,
        })
    }

    /// The batches in which `values` are run: their rows and values.
    pub(super) fn batches<'v>(
        &self,
        values: &'v [f32],
        batch: usize,
    ) -> impl Iterator<Item = (Range<usize>, &'v [f32])> {
        let size = match batch {
            _ if self.one_by_one => 1,
            AUTOMATIC => DEFAULT_BATCH,
            size => size,
        };
        let width = self.width;
        let batches = values.chunks(size.saturating_mul(width));
        batches.enumerate().map(move |(place, values)| {
            let first = place.saturating_mul(size);
            (first..first.saturating_add(values.len().checked_div(width).unwrap_or(0)), values)
        })
    }

    /// The shape of a batch of `rows` samples.
    pub(super) fn batch_shape(&self, rows: usize) -> Vec<usize> {
        std::iter::once(rows).chain(self.sample.iter().copied()).collect()
    }

    /// Starts collecting what the model answers for `rows` rows of these values.
    pub(super) fn collect<'a>(
        &'a self,
        model: &'a Path,
        rows: usize,
        values: &'a [f32],
    ) -> Result<Collector<'a>, InferenceError> {
        if rows.checked_mul(self.width) != Some(values.len()) {
            let found = values.len().checked_div(rows).unwrap_or(0);
            return Err(InferenceError::Width { found, expected: self.width });
        }
        let taken = self.wanted.iter().map(|_| Taken::default()).collect();
        Ok(Collector { contract: self, model, rows, inputs: values, taken })
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

/// The outputs to read, and what the scores are.
fn find_outputs(
    outputs: &[Port],
    options: &LoadOptions<'_>,
) -> Result<(Vec<Wanted>, OutputKind), Mismatch> {
    let mut wanted = Vec::new();
    let mut kind = OutputKind::default();
    if options.scores != Scores::Unused {
        let (place, port, found) = find_scores(outputs, options.outputs)?;
        kind = found;
        let fits = |classes: usize| {
            port.dims.as_ref().is_none_or(|dims| {
                matches!(dims.as_slice(), [_, last] if last.is_none_or(|last| last == classes))
            })
        };
        if let Scores::PerClass(classes) = options.scores
            && !fits(classes)
        {
            return Err(Mismatch::ScoreShape {
                output: port.name.clone(),
                found: shown(port.dims.as_deref().unwrap_or_default()),
                expected: shown(&[None, Some(classes)]),
            });
        }
        wanted.push(Wanted { name: port.name.clone(), place, part: Part::Scores });
    }
    if let Some(place) = outputs.iter().position(|port| port.name == EMBEDDING) {
        wanted.push(Wanted { name: EMBEDDING.to_owned(), place, part: Part::Embedding });
    }
    for &name in options.outputs {
        let place = outputs.iter().position(|port| port.name == name).ok_or_else(|| {
            let names = outputs.iter().map(|port| port.name.clone()).collect();
            Mismatch::NoOutput { wanted: name.to_owned(), names }
        })?;
        if wanted.iter().all(|taken| taken.place != place) {
            wanted.push(Wanted { name: name.to_owned(), place, part: Part::Extra });
        }
    }
    let ports = wanted.iter().filter_map(|wanted| outputs.get(wanted.place));
    ports.into_iter().try_for_each(require_floats)?;
    Ok((wanted, kind))
}

/// The output called `logits` or `probabilities`, or the only one that is nothing else.
fn find_scores<'p>(
    outputs: &'p [Port],
    extra: &[&str],
) -> Result<(usize, &'p Port, OutputKind), Mismatch> {
    let named = |name: &str| outputs.iter().enumerate().find(|(_, port)| port.name == name);
    let others: Vec<(usize, &Port)> = outputs
        .iter()
        .enumerate()
        .filter(|(_, port)| port.name != EMBEDDING && !extra.contains(&port.name.as_str()))
        .collect();
    match (named("logits"), named("probabilities"), others.as_slice()) {
        (Some((place, port)), _, _) => Ok((place, port, OutputKind::Logits)),
        (None, Some((place, port)), _) => Ok((place, port, OutputKind::Probabilities)),
        (None, None, [(place, port)]) => Ok((*place, port, OutputKind::Logits)),
        (None, None, _) => {
            let names = outputs.iter().map(|port| port.name.clone()).collect();
            Err(Mismatch::NoScores { names })
        }
    }
}

fn shown(dims: &[Option<usize>]) -> String {
    let dims: Vec<String> =
        dims.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

/// What one output gave so far.
#[derive(Default)]
struct Taken {
    values: Vec<f32>,
    /// The shape of a row, once there was one.
    shape: Option<Vec<usize>>,
}

/// Puts the answers for all batches together and refuses what is not a score.
pub(super) struct Collector<'a> {
    contract: &'a Contract,
    model: &'a Path,
    rows: usize,
    inputs: &'a [f32],
    /// As `contract.wanted`.
    taken: Vec<Taken>,
}

impl Collector<'_> {
    /// Takes what the output at `place` of the wanted ones gave for the batch `rows`. However a row is shaped, it is
    /// laid flat.
    pub(super) fn take(
        &mut self,
        place: usize,
        rows: &Range<usize>,
        dims: &[usize],
        values: &[f32],
    ) -> Result<(), InferenceError> {
        let contract = self.contract;
        let Some(wanted) = contract.wanted.get(place) else { return Ok(()) };
        let (head, shape) =
            dims.split_first().map_or((None, dims), |(head, rest)| (Some(*head), rest));
        if wanted.part == Part::Scores
            && let Some(classes) = contract.classes
            && (head != Some(rows.len()) || *shape != [classes])
        {
            return Err(self.mismatch(Mismatch::ScoreShape {
                output: wanted.name.clone(),
                found: format!("{dims:?}"),
                expected: format!("[{}, {classes}]", rows.len()),
            }));
        }
        if wanted.part == Part::Scores
            && let Some(numbers) = contract.numbers
            && shape.iter().product::<usize>() != numbers
        {
            return Err(self.mismatch(Mismatch::ScoreShape {
                output: wanted.name.clone(),
                found: format!("{dims:?}"),
                expected: format!("{numbers} numbers for each of {}", rows.len()),
            }));
        }
        let before = self.taken.get(place).and_then(|taken| taken.shape.as_ref());
        let same = before.is_none_or(|before| before == shape);
        if head != Some(rows.len()) || values.is_empty() || !same {
            let (output, found) = (wanted.name.clone(), format!("{dims:?}"));
            return Err(self.mismatch(Mismatch::OutputShape { output, found }));
        }
        let width = values.len().checked_div(rows.len()).unwrap_or(0);
        self.check_finite(&wanted.name, rows, width, values)?;
        if wanted.part == Part::Scores
            && contract.classes.is_some()
            && contract.kind == OutputKind::Probabilities
        {
            check_probabilities(rows, width, values)?;
        }
        let capacity = self.rows.saturating_mul(width);
        if let Some(taken) = self.taken.get_mut(place) {
            if taken.shape.is_none() {
                taken.values.reserve_exact(capacity);
                taken.shape = Some(shape.to_vec());
            }
            taken.values.extend_from_slice(values);
        }
        Ok(())
    }

    /// Everything that was taken.
    pub(super) fn finish(self) -> Result<Predictions, InferenceError> {
        let (rows, contract) = (self.rows, self.contract);
        let mut predictions = Predictions {
            logits: Matrix::new(rows, 0, Vec::new()).unwrap_or_default(),
            kind: contract.kind,
            ..Predictions::default()
        };
        for (wanted, taken) in contract.wanted.iter().zip(self.taken) {
            let shape = match (wanted.part, taken.shape) {
                (_, Some(shape)) => shape,
                (Part::Scores, None) => contract.classes.into_iter().collect(),
                (Part::Embedding | Part::Extra, None) if rows == 0 => continue,
                (Part::Embedding | Part::Extra, None) => Vec::new(),
            };
            let width = shape.iter().product();
            let values = Matrix::new(rows, width, taken.values).ok_or_else(|| {
                let reason = format!("`{}` is missing for some rows", wanted.name);
                InferenceError::Run { first: 0, end: rows, reason }
            })?;
            match wanted.part {
                Part::Scores => (predictions.logits, predictions.score_shape) = (values, shape),
                Part::Embedding => predictions.embedding = Some(values),
                Part::Extra => {
                    predictions.extra.insert(wanted.name.clone(), Extra { values, shape });
                }
            }
        }
        Ok(predictions)
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
            input_finite: self
                .inputs
                .chunks(self.contract.width)
                .nth(row)
                .is_none_or(|values| values.iter().all(|value| value.is_finite())),
        })
    }
}

fn check_probabilities(
    rows: &Range<usize>,
    width: usize,
    values: &[f32],
) -> Result<(), InferenceError> {
    for (row, values) in rows.clone().zip(values.chunks(width.max(1))) {
        let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
        let within = values.iter().all(|value| (0.0..=1.0 + 1e-6).contains(value));
        if !within || (sum - 1.0).abs() > PROBABILITY_SLACK {
            return Err(InferenceError::NotProbabilities { row, sum });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, dims: &[Option<usize>]) -> Port {
        Port { name: name.into(), other_element: None, dims: Some(dims.to_vec()) }
    }

    fn agree(inputs: &[Port], outputs: &[Port]) -> Result<Contract, String> {
        agree_on(inputs, outputs, Scores::PerClass(4), &[])
    }

    fn agree_on(
        inputs: &[Port],
        outputs: &[Port],
        scores: Scores,
        wanted: &[&str],
    ) -> Result<Contract, String> {
        let options =
            LoadOptions { scores, outputs: wanted, ..LoadOptions::new("m.onnx".as_ref(), &[2, 3]) };
        Contract::agree(inputs, outputs, &options).map_err(|error| error.to_string())
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
            assert_eq!(
                (contract.sample.as_slice(), contract.wanted[0].name.as_str()),
                (&[2, 3][..], "y")
            );
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
        let unknown = |name: &str| Port { name: name.into(), other_element: None, dims: None };
        let outputs = [unknown("logits"), unknown("embedding")];
        let contract = agree(&[port("x", &[None, Some(6)])], &outputs).expect("it may fit");
        let inputs = [0.0; 12];
        let mut collector = contract.collect("m.onnx".as_ref(), 2, &inputs).unwrap();
        assert!(collector.take(0, &(0..2), &[2, 5], &[0.0; 10]).is_err());
        assert!(collector.take(0, &(0..2), &[1, 4], &[0.0; 4]).is_err());
        assert!(collector.take(1, &(0..2), &[3, 2], &[0.0; 6]).is_err());
        assert!(collector.take(1, &(0..1), &[1, 2, 2], &[0.0; 4]).is_ok());
        assert!(collector.take(1, &(1..2), &[1, 3], &[0.0; 3]).is_err());
        // Rows without an answer are an error, too.
        assert!(collector.take(0, &(0..1), &[1, 4], &[0.0; 4]).is_ok());
        assert!(collector.finish().is_err());
    }

    #[test]
    fn an_output_that_was_asked_for_must_be_there_and_scores_may_have_any_shape() {
        let x = [port("x", &[None, Some(6)])];
        let map = port("logits", &[None, Some(4), Some(8), Some(8)]);
        let error =
            agree_on(&x, std::slice::from_ref(&map), Scores::Free, &["embedding"]).unwrap_err();
        assert!(error.contains("needs output `embedding`, but the model has logits"), "{error}");
        let outputs = [map, port("loss", &[None])];
        let contract = agree_on(&x, &outputs, Scores::Free, &["loss", "logits"]).unwrap();
        let inputs = [0.0; 6];
        let mut collector = contract.collect("m.onnx".as_ref(), 1, &inputs).unwrap();
        collector.take(0, &(0..1), &[1, 4, 8, 8], &[0.5; 256]).unwrap();
        collector.take(1, &(0..1), &[1], &[3.0]).unwrap();
        let predictions = collector.finish().unwrap();
        assert_eq!(predictions.score_shape, [4, 8, 8]);
        let loss = &predictions.extra["loss"];
        assert_eq!((loss.values.data(), loss.shape.as_slice()), (&[3.0][..], &[][..]));
        // A backbone has no scores at all.
        let only = [port("embedding", &[None, Some(9)])];
        let contract = agree_on(&x, &only, Scores::Unused, &["embedding"]).unwrap();
        assert_eq!(contract.wanted.len(), 1);
    }
}
