//! BADGE: diverse and uncertain at once, by the gradients that labels would give.

use super::pairs::{self, Columns, LANES};
use super::simd::{Kernel, dispatch};
use super::strategy::{Chosen, Needs, Plan, Strategy};
use super::{SelectorError, View};
use rayon::prelude::*;

/// Blocks that one thread goes through at a time.
const PIECE: usize = 32;

/// k-means++ seeding on gradient embeddings: each pick is drawn with a probability proportional to the squared distance of
/// its gradient embedding to the nearest one picked.
///
/// J. T. Ash et al. (2020), "Deep batch active learning by diverse, uncertain gradient lower bounds", arXiv 1906.03671,
/// algorithm 1. The gradient embedding of a sample with probabilities p, likeliest class c and embedding h is the gradient
/// of the last layer's weights if c were its label, `g = (p - e_c) (x) h` (section 3). It has classes x width numbers and is
/// never built: with `a = p - e_c`,
///
/// ```text
/// |g - g'|^2 = |a - a'|^2 |h|^2 + |a'|^2 |h - h'|^2 + 2 <a - a', a'> <h, h - h'>
/// ```
///
/// which is exactly 0 for equal samples, where the shorter formula of norms and products would leave noise.
///
/// The first pick is that of the largest gradient, as in the authors' program; the paper names k-means++, which begins with a
/// uniform draw. Published results come from the program, and a uniform first pick is often one that teaches nothing. Some
/// implementations draw with the fourth power of the distance: that is another law. Draws are by `view.chance`, one for
/// each place in the batch, through prefix sums in the order of ids. Where all distances are 0, the lowest id is picked.
///
/// The score of a pick is its squared distance (the first one's squared length), its probability that of the draw.
///
/// `O(n (d + k) batch)` time; memory for one more copy of embeddings and probabilities. Needs `probabilities` and an
/// embedding. Use it with larger batches, at any budget; at very few labels coverage does better.
pub(super) struct Badge {
    pub(super) output: String,
}

impl Strategy for Badge {
    fn needs(&self) -> Needs {
        Needs::output("probabilities").and_output(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let (points, width) = pairs::candidates(view, &self.output, false)?;
        let (probabilities, classes) = view.matrix("probabilities")?;
        let factors = factors(&probabilities, classes);
        let mut gradients = Gradients::new(&points, width, &factors, classes);
        let chance = view.chance("badge");
        let mut chosen: Vec<Chosen> = Vec::with_capacity(count);
        for place in 0..count {
            let pick = if place == 0 {
                gradients.longest()
            } else {
                gradients.draw(chance.unit(&place.to_string()))
            };
            chosen.push(pick);
            gradients.pick(pick.index);
        }
        Ok(Plan::picks(chosen))
    }
}

/// `p - e_c` for each row, c being its likeliest class, the first of equals.
pub(super) fn factors(probabilities: &[f32], classes: usize) -> Vec<f32> {
    let mut factors = probabilities.to_vec();
    for row in factors.chunks_exact_mut(classes) {
        let mut best = f32::NEG_INFINITY;
        let mut likeliest = 0;
        for (class, &p) in row.iter().enumerate() {
            if p > best {
                (best, likeliest) = (p, class);
            }
        }
        if let Some(p) = row.get_mut(likeliest) {
            *p -= 1.0;
        }
    }
    factors
}

/// Gradient embeddings by their two factors, and the squared distance of each to the nearest picked.
struct Gradients<'p> {
    points: &'p [f32],
    width: usize,
    factors: &'p [f32],
    classes: usize,
    embeddings: Columns,
    differences: Columns,
    /// `|h|^2` of each candidate, in lanes.
    lengths: Vec<f32>,
    /// Squared distances; 0 for what is picked and for lanes past the last.
    distances: Vec<f32>,
    picked: Vec<bool>,
}

impl<'p> Gradients<'p> {
    fn new(points: &'p [f32], width: usize, factors: &'p [f32], classes: usize) -> Self {
        let embeddings = Columns::new(points.chunks_exact(width), width);
        let differences = Columns::new(factors.chunks_exact(classes), classes);
        let origin = vec![0.0; width.max(classes)];
        let of = |columns: &Columns, cols: usize| -> Vec<f32> {
            let origin = origin.get(..cols).unwrap_or_default();
            columns.blocks().flat_map(|block| pairs::squared(block, origin)).collect()
        };
        let lengths = of(&embeddings, width);
        // Before the first pick, the distance to the gradient that teaches nothing: the squared length |a|^2 |h|^2.
        let distances: Vec<f32> =
            of(&differences, classes).iter().zip(&lengths).map(|(a, h)| a * h).collect();
        let picked = vec![false; embeddings.rows()];
        Self {
            points,
            width,
            factors,
            classes,
            embeddings,
            differences,
            lengths,
            distances,
            picked,
        }
    }

    fn longest(&self) -> Chosen {
        let mut best = (0, f32::NEG_INFINITY);
        for (index, &length) in self.distances.iter().take(self.picked.len()).enumerate() {
            if length > best.1 {
                best = (index, length);
            }
        }
        Chosen { index: best.0, score: f64::from(best.1), probability: None }
    }

    /// The candidate at which the sum of squared distances, in the order of candidates, passes this share of the whole.
    fn draw(&self, unit: f64) -> Chosen {
        let pieces: Vec<f64> = self
            .distances
            .par_chunks(PIECE * LANES)
            .map(|piece| piece.iter().fold(0.0, |sum, &d| sum + f64::from(d)))
            .collect();
        let total: f64 = pieces.iter().fold(0.0, |sum, piece| sum + piece);
        let target = unit * total;
        let (mut before, mut last) = (0.0, None);
        let distances = |piece: usize| self.distances.chunks(PIECE * LANES).nth(piece);
        let sums = pieces.iter().enumerate().filter(|(_, sum)| **sum > 0.0);
        for (piece, sum) in sums {
            last = Some(piece);
            if before + sum > target {
                break;
            }
            before += sum;
        }
        // Rounding may put the target past the end: then the last with a distance is meant.
        let mut found = None;
        for (place, &distance) in last.and_then(distances).into_iter().flatten().enumerate() {
            let distance = f64::from(distance);
            if distance > 0.0 {
                let index = last.unwrap_or_default() * PIECE * LANES + place;
                found =
                    Some(Chosen { index, score: distance, probability: Some(distance / total) });
            }
            before += distance;
            if found.is_some() && before > target {
                break;
            }
        }
        if let Some(found) = found {
            return found;
        }
        let index = self.picked.iter().position(|picked| !picked).unwrap_or(0);
        Chosen { index, score: 0.0, probability: None }
    }

    fn pick(&mut self, index: usize) {
        let first = !self.picked.contains(&true);
        let start = index * self.width;
        let point = self.points.get(start..start + self.width).unwrap_or_default();
        let start = index * self.classes;
        let factor = self.factors.get(start..start + self.classes).unwrap_or_default();
        let factor_length = factor.iter().fold(0.0, |sum, a| sum + a * a);
        let embeddings: Vec<&[f32]> = self.embeddings.blocks().collect();
        let differences: Vec<&[f32]> = self.differences.blocks().collect();
        let blocks = embeddings.par_chunks(PIECE).zip(differences.par_chunks(PIECE));
        let lanes = self.distances.par_chunks_mut(PIECE * LANES);
        let lengths = self.lengths.par_chunks(PIECE * LANES);
        lanes.zip(lengths).zip(blocks).for_each(
            |((distances, lengths), (embeddings, differences))| {
                dispatch(Approach {
                    point,
                    factor,
                    factor_length,
                    first,
                    embeddings,
                    differences,
                    lengths,
                    distances,
                });
            },
        );
        if let Some(picked) = self.picked.get_mut(index) {
            *picked = true;
        }
        // Lanes past the last point are nobody.
        let rows = self.picked.len();
        self.distances.iter_mut().skip(rows).for_each(|distance| *distance = 0.0);
        if let Some(distance) = self.distances.get_mut(index) {
            *distance = 0.0;
        }
    }
}

/// Has gradients know of a new pick.
struct Approach<'a> {
    point: &'a [f32],
    factor: &'a [f32],
    factor_length: f32,
    /// What was there before was no distance to a pick.
    first: bool,
    embeddings: &'a [&'a [f32]],
    differences: &'a [&'a [f32]],
    lengths: &'a [f32],
    distances: &'a mut [f32],
}

impl Kernel for Approach<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let lanes = self.distances.as_chunks_mut::<LANES>().0.iter_mut();
        let lengths = self.lengths.as_chunks::<LANES>().0;
        let blocks = self.embeddings.iter().zip(self.differences);
        for ((distances, lengths), (embedding, difference)) in lanes.zip(lengths).zip(blocks) {
            // |h - h'|^2 and <h, h - h'>; |a - a'|^2 and <a - a', a'>.
            let (h_squared, h_product) = apart::<false>(embedding, self.point);
            let (a_squared, a_product) = apart::<true>(difference, self.factor);
            for lane in 0..LANES {
                #[expect(clippy::indexing_slicing, reason = "arrays of LANES")]
                let distance = (a_squared[lane] * lengths[lane]
                    + self.factor_length * h_squared[lane])
                    + 2.0 * a_product[lane] * h_product[lane];
                #[expect(clippy::indexing_slicing, reason = "arrays of LANES")]
                let near = &mut distances[lane];
                let distance = if distance > 0.0 { distance } else { 0.0 };
                *near = if self.first || distance < *near { distance } else { *near };
            }
        }
    }
}

/// `|x - y|^2` and the product of `x - y` with y (`OTHER`) or with x, for each x of a block.
#[inline(always)]
fn apart<const OTHER: bool>(block: &[f32], y: &[f32]) -> ([f32; LANES], [f32; LANES]) {
    let mut squares = [0.0_f32; LANES];
    let mut products = [0.0_f32; LANES];
    for (y, lanes) in y.iter().zip(block.as_chunks::<LANES>().0) {
        for ((square, product), x) in squares.iter_mut().zip(&mut products).zip(lanes) {
            let difference = x - y;
            *square += difference * difference;
            *product += difference * if OTHER { *y } else { *x };
        }
    }
    (squares, products)
}
