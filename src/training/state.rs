//! A training between two epochs, as bytes: all that the rest of it depends on, so that taking it up again ends with the same
//! bits.
//!
//! Bytes that do not belong to a training, or are damaged, are no error: the training begins anew, which ends the same.

use super::TrainRequest;
use super::agent::Snapshot;
use super::graph::{Graph, Weights};
use super::model::Model;
use super::task::Evaluation;
use crate::domain::digest::Digest;
use crate::domain::matrix::Matrix;
use std::collections::BTreeMap;

/// In front of the bytes. Arithmetic may change from version to version, so a state ends with the version that wrote it.
const HEAD: &str = concat!("gleaner training state 1, ", env!("CARGO_PKG_VERSION"), "\n");

/// Whose state it is: a print of all that decides how a training goes but the inputs, which their labels stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket(Digest);

impl Ticket {
    pub(super) fn new(graph: &Graph, request: &TrainRequest<'_>) -> Self {
        let mut out = Writer::default();
        out.bytes(format!("{graph:?} {:?}", request.spec).as_bytes());
        out.number(request.seed);
        for labels in [request.train.labels, request.validation.labels] {
            out.matrix(labels);
        }
        Self(Digest::of_parts([out.0.as_slice()]))
    }
}

/// A training between two epochs, but for the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct State {
    /// Epochs done.
    pub(super) epoch: usize,
    /// Steps taken.
    pub(super) step: u64,
    /// Whether that was all.
    pub(super) is_done: bool,
    /// The lowest validation loss so far.
    pub(super) best: Option<Snapshot>,
    /// The end of the last epoch.
    pub(super) last: Option<Snapshot>,
    /// What becomes a checkpoint.
    pub(super) saved: Vec<Snapshot>,
}

impl State {
    /// The snapshots to answer with: with room for one only, the best (the last, if nothing was measured).
    pub(super) fn keep(self, most: usize) -> Vec<Snapshot> {
        let (mut saved, best) = (self.saved, self.best);
        if let Some(best) = best {
            if most == 1 {
                return vec![best];
            }
            saved.retain(|snapshot| snapshot.step != best.step);
            saved.push(best);
            saved.sort_by_key(|snapshot| snapshot.step);
        } else if most == 1 {
            saved.drain(..saved.len().saturating_sub(1));
        }
        saved
    }

    /// State and model as bytes.
    pub(super) fn write(&self, ticket: &Ticket, model: &Model) -> Vec<u8> {
        let mut out = Writer::default();
        out.0.extend_from_slice(HEAD.as_bytes());
        out.0.extend_from_slice(ticket.0.as_bytes());
        out.number(self.epoch as u64);
        out.number(self.step);
        out.number(u64::from(self.is_done));
        out.number(model.optimizer.steps);
        for layers in [&model.weights.0, &model.optimizer.first, &model.optimizer.second] {
            out.layers(layers);
        }
        for snapshots in [self.best.as_slice(), self.last.as_slice(), self.saved.as_slice()] {
            out.number(snapshots.len() as u64);
            snapshots.iter().for_each(|snapshot| out.snapshot(snapshot));
        }
        let digest = Digest::of_parts([out.0.as_slice()]);
        out.0.extend_from_slice(digest.as_bytes());
        out.0
    }

    /// Puts the model where it was; `None`, and nothing changed, if the bytes are not of this very training.
    pub(super) fn read(bytes: &[u8], ticket: &Ticket, model: &mut Model) -> Option<Self> {
        let (body, digest) = bytes.split_last_chunk::<32>()?;
        if Digest::of_parts([body]).as_bytes() != digest {
            return None;
        }
        let body = body.strip_prefix(HEAD.as_bytes())?.strip_prefix(ticket.0.as_bytes())?;
        let mut from = Reader(body);
        let (epoch, step) = (usize::try_from(from.number()?).ok()?, from.number()?);
        let (is_done, steps) = (from.number()? == 1, from.number()?);
        let (weights, first, second) = (from.layers()?, from.layers()?, from.layers()?);
        let (best, last, saved) =
            (from.snapshots()?.pop(), from.snapshots()?.pop(), from.snapshots()?);
        if !from.0.is_empty() {
            return None;
        }
        model.weights = Weights(weights);
        (model.optimizer.steps, model.optimizer.first, model.optimizer.second) =
            (steps, first, second);
        Some(Self { epoch, step, is_done, best, last, saved })
    }
}

/// Little-endian numbers; lists with their length in front.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn floats(&mut self, floats: &[f32]) {
        self.number(floats.len() as u64);
        self.0.extend(floats.iter().flat_map(|float| float.to_le_bytes()));
    }

    fn layers(&mut self, layers: &[Vec<f32>]) {
        self.number(layers.len() as u64);
        layers.iter().for_each(|layer| self.floats(layer));
    }

    fn matrix(&mut self, matrix: &Matrix) {
        self.number(matrix.rows() as u64);
        self.number(matrix.cols() as u64);
        self.floats(matrix.data());
    }

    fn snapshot(&mut self, snapshot: &Snapshot) {
        self.number(snapshot.step);
        self.number(snapshot.epoch as u64);
        self.number(snapshot.train_loss.to_bits());
        self.layers(&snapshot.weights.0);
        self.number(u64::from(snapshot.measured.is_some()));
        if let Some(measured) = &snapshot.measured {
            self.number(measured.loss.to_bits());
            self.matrix(&measured.answers);
            self.number(measured.metrics.len() as u64);
            for (name, value) in &measured.metrics {
                self.bytes(name.as_bytes());
                self.number(value.to_bits());
            }
        }
    }
}

/// What [`Writer`] wrote; `None` where it did not.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&[u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn floats(&mut self) -> Option<Vec<f32>> {
        let len = usize::try_from(self.number()?).ok()?.checked_mul(4)?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// So many of what `one` reads.
    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len = self.number()?;
        (0..len).map(|_| one(self)).collect()
    }

    fn layers(&mut self) -> Option<Vec<Vec<f32>>> {
        self.list(Self::floats)
    }

    fn matrix(&mut self) -> Option<Matrix> {
        let rows = usize::try_from(self.number()?).ok()?;
        let cols = usize::try_from(self.number()?).ok()?;
        Matrix::new(rows, cols, self.floats()?)
    }

    fn snapshots(&mut self) -> Option<Vec<Snapshot>> {
        self.list(|from| {
            let (step, epoch) = (from.number()?, usize::try_from(from.number()?).ok()?);
            let train_loss = f64::from_bits(from.number()?);
            let weights = Weights(from.layers()?);
            let measured = if from.number()? == 1 { Some(from.evaluation()?) } else { None };
            Some(Snapshot { step, epoch, train_loss, weights, measured })
        })
    }

    fn evaluation(&mut self) -> Option<Evaluation> {
        let loss = f64::from_bits(self.number()?);
        let answers = self.matrix()?;
        let metrics = self.list(|from| {
            let name = String::from_utf8(from.bytes()?.to_vec()).ok()?;
            Some((name, f64::from_bits(from.number()?)))
        })?;
        Some(Evaluation { answers, loss, metrics: BTreeMap::from_iter(metrics) })
    }
}
