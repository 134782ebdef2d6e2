//! k-center greedy: no sample far from what is labelled.

use super::memory::{self, Distances};
use super::pairs::{self, Columns, LANES};
use super::simd::{Kernel, dispatch};
use super::strategy::{Chosen, Needs, Plan, Strategy};
use super::{SelectorError, View};
use rayon::prelude::*;

/// Blocks that one thread goes through at a time.
const PIECE: usize = 64;
/// Columns after which a block is given up if none of its points can come closer.
const LOOK: usize = 16;
/// The distance of what is picked, or no candidate: nothing is farther from being the farthest.
const OUT: f32 = -1.0;

/// The candidate farthest from all that is labelled or picked, again and again: `argmax_x min_s |x - s|`.
///
/// O. Sener and S. Savarese (2018), "Active learning for convolutional neural networks: a core-set approach", arXiv
/// 1708.00489, algorithm 1; T. F. Gonzalez (1985) shows that the radius is at most twice the least possible. The mixed
/// integer program that the paper adds (algorithm 2) is left out: it takes minutes and gains little. Where nothing is
/// labelled, the authors begin with a random sample; here it is the one nearest to the mean of the candidates, because
/// the outcome should not hang on a draw.
///
/// The score of a pick is its distance to the nearest centre at the time (to the mean, for such a first one), so the batch's
/// cutoff is the radius before the last pick. With `metric=cosine` rows are scaled to length 1 first, and the distance is
/// `sqrt(2 - 2 cos)`, in the same order as the cosine distance. Distances are sums in `f32`, column after column.
///
/// Distances to what was labelled before are remembered from cycle to cycle while the embeddings stay as they are.
///
/// `O(n d (batch + labelled))` time, `O(n d (batch + newly labelled))` where they are remembered; memory for one more copy of the embeddings, and 4 bytes for each candidate. Needs an
/// embedding, also of the labelled samples. Use it while labels are few and classes balanced; it goes for outliers, and knows
/// nothing of the model's doubts.
pub(super) struct KCenter {
    pub(super) output: String,
    pub(super) cosine: bool,
}

impl Strategy for KCenter {
    fn needs(&self) -> Needs {
        Needs::output(&self.output).and_labelled(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let (points, cols) = pairs::candidates(view, &self.output, self.cosine)?;
        let labelled = pairs::labelled(view, &self.output, self.cosine)?;
        let centres: Vec<&[f32]> = labelled.chunks_exact(cols).collect();
        let name = format!(
            "kcenter of {} by {}",
            self.output,
            if self.cosine { "angle" } else { "distance" }
        );
        let prints = view.memory.map(|_| memory::prints(&points, cols)).unwrap_or_default();
        let remembered: Option<Distances> = view.memory.and_then(|memory| memory.take(&name));
        let recalled = remembered.and_then(|known| known.recall(&prints, &centres));
        let (nearest, fresh) = match recalled {
            Some((nearest, fresh)) => (Some(nearest), fresh),
            None => (None, centres.clone()),
        };
        let mut cover = Cover::new(&points, cols, nearest);
        let mut chosen = Vec::with_capacity(count);
        for centre in fresh {
            cover.add(centre);
        }
        if let Some(memory) = view.memory {
            memory.put(&name, Distances::new(prints, cover.nearest(), &centres));
        }
        if labelled.is_empty() {
            let first = nearest_to_the_mean(&points, cols);
            chosen.push(first);
            cover.pick(first.index);
        }
        while chosen.len() < count {
            let (index, squared) = cover.farthest();
            let score = f64::from(squared).sqrt();
            chosen.push(Chosen { index, score, probability: None });
            cover.pick(index);
        }
        Ok(Plan::picks(chosen))
    }
}

fn nearest_to_the_mean(points: &[f32], cols: usize) -> Chosen {
    let mut mean = vec![0.0_f64; cols];
    for point in points.chunks_exact(cols) {
        mean.iter_mut().zip(point).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let count = (points.len() / cols) as f64;
    mean.iter_mut().for_each(|sum| *sum /= count);
    let squared = |point: &[f32]| {
        point.iter().zip(&mean).fold(0.0, |sum, (&x, m)| {
            let difference = f64::from(x) - m;
            sum + difference * difference
        })
    };
    let mut best = (0, f64::INFINITY);
    for (index, point) in points.chunks_exact(cols).enumerate() {
        let distance = squared(point);
        if distance < best.1 {
            best = (index, distance);
        }
    }
    Chosen { index: best.0, score: best.1.sqrt(), probability: None }
}

/// The distance of each point to its nearest centre; centres may be added.
pub(super) struct Cover<'p> {
    points: &'p [f32],
    cols: usize,
    columns: Columns,
    /// Squared, in lanes as in `columns`; [`OUT`] for what is picked and for lanes past the last point.
    nearest: Vec<f32>,
}

impl<'p> Cover<'p> {
    /// Points whose distances to the centres so far are `nearest`, squared; infinite where nothing is said.
    pub(super) fn new(points: &'p [f32], cols: usize, nearest: Option<Vec<f32>>) -> Self {
        let columns = Columns::new(points.chunks_exact(cols), cols);
        let mut nearest = nearest.unwrap_or_else(|| vec![f32::INFINITY; columns.rows()]);
        nearest.resize(columns.rows().div_ceil(LANES) * LANES, OUT);
        Self { points, cols, columns, nearest }
    }

    /// The squared distance of each point to its nearest centre.
    pub(super) fn nearest(&self) -> &[f32] {
        self.nearest.get(..self.columns.rows()).unwrap_or_default()
    }

    /// Adds a centre.
    pub(super) fn add(&mut self, centre: &[f32]) {
        let piece = PIECE * LANES;
        let blocks: Vec<&[f32]> = self.columns.blocks().collect();
        self.nearest
            .par_chunks_mut(piece)
            .zip(blocks.par_chunks(PIECE))
            .for_each(|(nearest, blocks)| dispatch(Approach { centre, blocks, nearest }));
    }

    /// Adds a point as a centre, and picks it.
    pub(super) fn pick(&mut self, index: usize) {
        let start = index * self.cols;
        let centre = self.points.get(start..start + self.cols).unwrap_or_default();
        self.add(centre);
        if let Some(picked) = self.nearest.get_mut(index) {
            *picked = OUT;
        }
    }

    /// The point that is farthest from all centres, the first of equals, and its squared distance.
    pub(super) fn farthest(&self) -> (usize, f32) {
        let pieces: Vec<(usize, f32)> = self
            .nearest
            .par_chunks(PIECE * LANES)
            .map(|nearest| {
                let most = dispatch(Most(nearest));
                (nearest.iter().position(|d| d.total_cmp(&most).is_eq()).unwrap_or(0), most)
            })
            .collect();
        let mut best = (0, f32::NEG_INFINITY);
        for (piece, (index, squared)) in pieces.into_iter().enumerate() {
            if squared > best.1 {
                best = (piece * PIECE * LANES + index, squared);
            }
        }
        best
    }
}

/// Has points know of a new centre.
struct Approach<'a> {
    centre: &'a [f32],
    blocks: &'a [&'a [f32]],
    nearest: &'a mut [f32],
}

impl Kernel for Approach<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (first, rest) = self.centre.split_at(self.centre.len().min(LOOK));
        for (block, nearest) in self.blocks.iter().zip(self.nearest.as_chunks_mut::<LANES>().0) {
            let (head, tail) = block.split_at(first.len() * LANES);
            let mut sums = [0.0_f32; LANES];
            add_squares(&mut sums, head, first);
            // A sum of squares never shrinks, rounded or not: if it is too long already, so is the whole.
            if sums.iter().zip(nearest.iter()).all(|(sum, near)| sum >= near) {
                continue;
            }
            add_squares(&mut sums, tail, rest);
            for (near, sum) in nearest.iter_mut().zip(sums) {
                *near = if sum < *near { sum } else { *near };
            }
        }
    }
}

/// The same sum as [`pairs::squared`], gone on with.
#[inline(always)]
fn add_squares(sums: &mut [f32; LANES], block: &[f32], point: &[f32]) {
    for (x, lanes) in point.iter().zip(block.as_chunks::<LANES>().0) {
        for (sum, y) in sums.iter_mut().zip(lanes) {
            let difference = x - y;
            *sum += difference * difference;
        }
    }
}

/// The greatest of some numbers.
struct Most<'a>(&'a [f32]);

impl Kernel for Most<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let mut most = [f32::NEG_INFINITY; LANES];
        for lanes in self.0.as_chunks::<LANES>().0 {
            for (most, &x) in most.iter_mut().zip(lanes) {
                *most = if x > *most { x } else { *most };
            }
        }
        most.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}
