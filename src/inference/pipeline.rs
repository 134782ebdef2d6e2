//! A pool through one or several models: rows are read and decoded ahead while earlier ones are run, and what came out is
//! handed on in order. Nothing of the size of the pool is held.
//!
//! Threads hand over pieces. A piece is one batch, or several where a model gets through a batch faster than threads wake
//! each other. Batches begin at multiples of their size either way.

use super::warm_up::{fastest_batch, now};
use super::{AUTOMATIC, InferenceError, Predictions, Predictor};
use crate::domain::rows::Rows;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often somebody who waits for an answer asks whether to stop.
const PATIENCE: Duration = Duration::from_millis(20);

/// A piece that took less than this is followed by one of twice the batches: waking a thread costs some hundredth of it.
const WORTH_WAKING: Duration = Duration::from_millis(1);

/// Numbers in a piece of several batches, at the most.
const PIECE: usize = 1 << 20;

/// What is to go through the models.
pub struct Pipeline<'a> {
    /// The rows; reading them may be costly. Some rows only: a [`Subset`](crate::domain::rows::Subset).
    pub source: &'a dyn Rows,
    /// Rows per call of the runtime; a few hundred suit a processor. [`AUTOMATIC`]: the size with which
    /// the first predictor gets through the first rows fastest.
    pub batch: usize,
    /// Threads that only read ahead. Whoever runs a model and finds nothing read reads for itself, so 0 is right where
    /// the rows lie in memory.
    pub readers: usize,
    /// Asked now and then; `true` ends the work soon.
    pub stop: &'a dyn Fn() -> bool,
}

impl Pipeline<'_> {
    /// Runs everything, each predictor on a thread of its own, and gives `sink` the answers in the order of the rows:
    /// the number of the first row, and what the model says about it and the rows after it, one batch or several. Break if `sink` or `stop` ended it early.
    ///
    /// # Errors
    /// The first error in the order of the rows, which are numbered as `source` numbers them; what came before it has
    /// been handed on.
    pub fn run(
        &self,
        predictors: &mut [Box<dyn Predictor>],
        sink: &mut dyn FnMut(usize, Predictions) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, InferenceError> {
        let batch = match (self.batch, predictors.first_mut()) {
            (AUTOMATIC, Some(first)) => fastest_batch(&mut **first, self.source),
            (batch, _) => batch.max(1),
        };
        let shared = Shared {
            source: self.source,
            batch,
            sessions: predictors.len(),
            // Two pieces for everybody: one at work, one waiting.
            window: 2 * (predictors.len() + self.readers),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        if predictors.is_empty() && shared.batches() > 0 {
            return Err(InferenceError::Options { what: "no model is loaded".into() });
        }
        std::thread::scope(|scope| {
            // Whatever ends this thread's part ends the others', too.
            let _ended = Ended(&shared);
            for predictor in predictors {
                let shared = &shared;
                scope.spawn(move || shared.work(&mut **predictor));
            }
            for _ in 0..self.readers {
                scope.spawn(|| shared.read_ahead());
            }
            shared.deliver(self.stop, sink)
        })
    }
}

/// Sets the end for everybody when its holder panics or is done.
struct Ended<'s, 'a>(&'s Shared<'a>);

impl Drop for Ended<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

/// Ends everything if its holder panics: the others would wait for its answer.
struct Alarm<'s, 'a>(&'s Shared<'a>);

impl Drop for Alarm<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(Ended(self.0));
        }
    }
}

type Read<'a> = Result<Cow<'a, [f32]>, InferenceError>;

#[derive(Default)]
struct State<'a> {
    /// The next batch that nobody has begun to read.
    unread: usize,
    /// How many batches were handed on.
    delivered: usize,
    /// Pieces that were claimed and not handed on.
    under_way: usize,
    read: BTreeMap<usize, (Range<usize>, Read<'a>)>,
    /// By first batch: the batch after the last one, and the answer.
    done: BTreeMap<usize, (usize, Result<Predictions, InferenceError>)>,
    ended: bool,
}

struct Shared<'a> {
    source: &'a dyn Rows,
    batch: usize,
    sessions: usize,
    /// Pieces that may be under way at once.
    window: usize,
    state: Mutex<State<'a>>,
    changed: Condvar,
}

impl<'a> Shared<'a> {
    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        // Nobody panics while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn batches(&self) -> usize {
        self.source.rows().div_ceil(self.batch)
    }

    fn rows(&self, piece: &Range<usize>) -> Range<usize> {
        let most = self.source.rows();
        piece.start * self.batch..piece.end.saturating_mul(self.batch).min(most)
    }

    fn read(&self, piece: &Range<usize>) -> Read<'a> {
        Ok(self.source.read(self.rows(piece))?)
    }

    /// Claims a piece of at most so many batches, if one may be.
    fn claim(&self, state: &mut State<'a>, most: usize) -> Option<Range<usize>> {
        let first = state.unread;
        let left = self.batches() - first;
        if left == 0 || state.under_way >= self.window {
            return None;
        }
        // Towards the end pieces get smaller, so that all sessions end together.
        let batches = most.min(left.div_ceil(2 * self.sessions)).max(1);
        state.unread = first + batches;
        state.under_way += 1;
        Some(first..state.unread)
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State<'a>>) -> MutexGuard<'g, State<'a>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn read_ahead(&self) {
        let _alarm = Alarm(self);
        let mut state = self.lock();
        while !state.ended && state.unread < self.batches() {
            if let Some(piece) = self.claim(&mut state, 1) {
                drop(state);
                let values = self.read(&piece);
                state = self.lock();
                state.read.insert(piece.start, (piece, values));
                self.changed.notify_all();
            } else {
                state = self.wait(state);
            }
        }
    }

    fn work(&self, predictor: &mut dyn Predictor) {
        let _alarm = Alarm(self);
        let most = (PIECE / (self.batch.saturating_mul(self.source.cols())).max(1)).max(1);
        let mut batches = 1;
        let mut state = self.lock();
        while !state.ended && state.delivered < self.batches() {
            let (piece, values) = if let Some((_, (piece, values))) = state.read.pop_first() {
                (piece, Some(values))
            } else if let Some(piece) = self.claim(&mut state, batches) {
                (piece, None)
            } else {
                state = self.wait(state);
                continue;
            };
            drop(state);
            let begun = now();
            let answer = self.run(predictor, &piece, values);
            if begun.elapsed() < WORTH_WAKING {
                batches = (2 * batches).min(most);
            }
            if answer.is_ok() || piece.len() == 1 {
                state = self.lock();
                state.done.insert(piece.start, (piece.end, answer));
            } else {
                // One after the other, so that what comes before the error is handed on.
                let alone =
                    |batch| (batch, (batch + 1, self.run(predictor, &(batch..batch + 1), None)));
                let answers: Vec<_> = piece.clone().map(alone).collect();
                state = self.lock();
                state.under_way += piece.len() - 1;
                state.done.extend(answers);
            }
            self.changed.notify_all();
        }
    }

    fn run(
        &self,
        predictor: &mut dyn Predictor,
        piece: &Range<usize>,
        values: Option<Read<'a>>,
    ) -> Result<Predictions, InferenceError> {
        let rows = self.rows(piece);
        let values = values.unwrap_or_else(|| self.read(piece))?;
        predictor
            .predict_values(rows.len(), &values, self.batch)
            .map_err(|error| error.renumbered(|row| rows.start.saturating_add(row)))
    }

    fn deliver(
        &self,
        stop: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(usize, Predictions) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, InferenceError> {
        let mut next = 0;
        while next < self.batches() {
            let (end, answer) = loop {
                if stop() {
                    return Ok(ControlFlow::Break(()));
                }
                let mut state = self.lock();
                if let Some(done) = state.done.remove(&next) {
                    state.delivered = done.0;
                    state.under_way -= 1;
                    self.changed.notify_all();
                    break done;
                }
                if state.ended {
                    // A thread panicked; the scope goes on with that.
                    return Ok(ControlFlow::Break(()));
                }
                drop(self.changed.wait_timeout(state, PATIENCE));
            };
            let first = next * self.batch;
            next = end;
            if sink(first, answer?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::matrix::Matrix;
    use crate::inference::FixedPredictor;

    fn several(count: usize) -> Vec<Box<dyn Predictor>> {
        (0..count).map(|_| Box::new(FixedPredictor::new(3)) as Box<dyn Predictor>).collect()
    }

    #[test]
    fn every_row_comes_out_once_in_order_whatever_the_batch_and_the_threads() {
        let values = (0..97 * 4_u16).map(f32::from).collect();
        let pool = Matrix::new(97, 4, values).unwrap();
        let whole = several(1)[0].predict(&pool).unwrap();
        for (sessions, readers, batch) in [(1, 0, 1), (1, 2, 7), (3, 0, 5), (3, 2, 1), (2, 1, 500)]
        {
            let mut scores = Vec::new();
            let pipeline = Pipeline { source: &pool, batch, readers, stop: &|| false };
            let mut sink = |first, answer: Predictions| {
                assert_eq!(first * 3, scores.len());
                scores.extend_from_slice(answer.logits.data());
                ControlFlow::Continue(())
            };
            assert!(pipeline.run(&mut several(sessions), &mut sink).unwrap().is_continue());
            assert_eq!(scores, whole.logits.data());
        }
    }

    #[test]
    fn it_ends_when_told_to() {
        let pool = Matrix::new(100, 1, vec![0.0; 100]).unwrap();
        let pipeline = Pipeline { source: &pool, batch: 1, readers: 1, stop: &|| false };
        let mut seen = 0;
        let mut sink = |_, _| {
            seen += 1;
            if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert!(pipeline.run(&mut several(2), &mut sink).unwrap().is_break());
        assert_eq!(seen, 3);
        let pipeline = Pipeline { stop: &|| true, ..pipeline };
        let mut never = |_, _| panic!("nothing comes out");
        assert!(pipeline.run(&mut several(2), &mut never).unwrap().is_break());
    }
}
