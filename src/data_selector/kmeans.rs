//! k-means: so many centres that the points are near to them. A tool of other strategies, and a cold start of its own.

use super::pairs::{self, Columns, LANES};
use super::simd::{Kernel, dispatch};
use super::strategy::{Chosen, Needs, Plan, Strategy};
use super::{SelectorError, View};
use crate::domain::chance::Chance;
use rayon::prelude::*;

/// Blocks that one thread goes through at a time.
const PIECE: usize = 16;
/// Rounds after which centres are taken as they are; they rarely need half of them.
const ROUNDS_MAX: usize = 100;

/// The sample nearest to each centre of a k-means clustering with as many clusters as picks.
///
/// A plain cold start: it needs no model, only an embedding (features will do). Each centre takes the nearest sample
/// that none before it took; larger clusters go first. The score is minus the distance to the centre.
///
/// `O(n d batch)` for each of at most 100 rounds; memory for one more copy of the embeddings. Use it for the first batch;
/// TypiClust picks more typical samples where density differs.
pub(super) struct KMeans {
    pub(super) output: String,
}

impl Strategy for KMeans {
    fn needs(&self) -> Needs {
        Needs::output(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let (points, cols) = pairs::candidates(view, &self.output, false)?;
        let clusters = Clusters::find(&points, cols, count, None, &view.chance("kmeans"));
        Ok(Plan::picks(clusters.nearest_samples(&points, count)))
    }
}

/// A clustering.
pub(super) struct Clusters {
    /// The centres, row after row.
    pub(super) centres: Vec<f32>,
    cols: usize,
    /// The cluster of each point.
    pub(super) of: Vec<usize>,
    /// How many points each cluster has.
    pub(super) sizes: Vec<usize>,
}

impl Clusters {
    /// Clusters points into `k` (or as many as there are points), by S. Lloyd (1982), "Least squares quantization in PCM",
    /// from the seeds of D. Arthur and S. Vassilvitskii (2007), "k-means++", with one draw for each seed. A cluster that
    /// loses all its points gets the point farthest from its centre. With `weights`, a point counts so many times.
    pub(super) fn find(
        points: &[f32],
        cols: usize,
        k: usize,
        weights: Option<&[f64]>,
        chance: &Chance<'_>,
    ) -> Self {
        let columns = Columns::new(points.chunks_exact(cols), cols);
        let rows = columns.rows();
        let k = k.min(rows).max(1);
        let mut centres = seeds(points, &columns, cols, k, weights, chance);
        let mut of = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let (assigned, distances) = assign(&columns, &centres, cols);
            let settled = assigned == of;
            of = assigned;
            if settled {
                break;
            }
            centres = means(points, cols, k, weights, &mut of, distances, &centres);
        }
        let mut sizes = vec![0; k];
        for &cluster in &of {
            if let Some(size) = sizes.get_mut(cluster) {
                *size += 1;
            }
        }
        Self { centres, cols, of, sizes }
    }

    /// For each cluster, the largest first, the nearest of all points that is not taken yet.
    pub(super) fn nearest_samples(&self, points: &[f32], count: usize) -> Vec<Chosen> {
        let columns = Columns::new(points.chunks_exact(self.cols), self.cols);
        let mut order: Vec<usize> = (0..self.sizes.len()).collect();
        order.sort_by_key(|&cluster| (std::cmp::Reverse(self.sizes.get(cluster)), cluster));
        let mut taken = vec![false; columns.rows()];
        let mut chosen = Vec::with_capacity(count);
        for cluster in order.into_iter().take(count) {
            let start = cluster * self.cols;
            let centre = self.centres.get(start..start + self.cols).unwrap_or_default();
            let mut best: Option<(usize, f32)> = None;
            for (index, distance) in columns.each(centre).enumerate() {
                let free = taken.get(index) == Some(&false);
                if free && best.is_none_or(|(_, least)| distance < least) {
                    best = Some((index, distance));
                }
            }
            if let Some((index, distance)) = best {
                if let Some(taken) = taken.get_mut(index) {
                    *taken = true;
                }
                chosen.push(Chosen {
                    index,
                    score: -f64::from(distance).sqrt(),
                    probability: None,
                });
            }
        }
        chosen
    }
}

/// The first seed by weight, each other by weight times squared distance to the nearest seed; where all distances are 0,
/// the first point is taken again.
fn seeds(
    points: &[f32],
    columns: &Columns,
    cols: usize,
    k: usize,
    weights: Option<&[f64]>,
    chance: &Chance<'_>,
) -> Vec<f32> {
    let weight = |index: usize| weights.map_or(1.0, |w| w.get(index).copied().unwrap_or(0.0));
    let mut nearest = vec![f32::INFINITY; columns.rows()];
    let mut centres: Vec<f32> = Vec::with_capacity(k * cols);
    for seed in 0..k {
        let mass = |index: usize, distance: f32| {
            if seed == 0 { weight(index) } else { weight(index) * f64::from(distance) }
        };
        let masses = || nearest.iter().enumerate().map(|(index, &d)| mass(index, d));
        let total: f64 = masses().fold(0.0, |sum, mass| sum + mass);
        let target = chance.unit(&seed.to_string()) * total;
        let (mut before, mut index) = (0.0, 0);
        for (place, mass) in masses().enumerate().filter(|(_, mass)| *mass > 0.0) {
            index = place;
            before += mass;
            if before > target {
                break;
            }
        }
        let centre = points.get(index * cols..(index + 1) * cols).unwrap_or_default();
        centres.extend_from_slice(centre);
        let blocks: Vec<&[f32]> = columns.blocks().collect();
        nearest.par_chunks_mut(PIECE * LANES).zip(blocks.par_chunks(PIECE)).for_each(
            |(nearest, blocks)| {
                let found = dispatch(Squares { blocks, point: centre });
                for (near, squared) in nearest.iter_mut().zip(found) {
                    *near = near.min(squared);
                }
            },
        );
    }
    centres
}

struct Squares<'a> {
    blocks: &'a [&'a [f32]],
    point: &'a [f32],
}

impl Kernel for Squares<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run(self) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.blocks.len() * LANES);
        for block in self.blocks {
            all.extend_from_slice(&pairs::squared(block, self.point));
        }
        all
    }
}

/// The nearest centre of each point, the first of equals, and the squared distance to it.
pub(super) fn assign(columns: &Columns, centres: &[f32], cols: usize) -> (Vec<usize>, Vec<f32>) {
    let blocks: Vec<&[f32]> = columns.blocks().collect();
    let pieces: Vec<Vec<(u32, f32)>> = blocks
        .par_chunks(PIECE)
        .map(|blocks| dispatch(Nearest { blocks, centres, cols }))
        .collect();
    let all = pieces.into_iter().flatten().take(columns.rows());
    all.map(|(cluster, distance)| (cluster as usize, distance)).unzip()
}

struct Nearest<'a> {
    blocks: &'a [&'a [f32]],
    centres: &'a [f32],
    cols: usize,
}

impl Kernel for Nearest<'_> {
    type Output = Vec<(u32, f32)>;

    #[inline(always)]
    fn run(self) -> Vec<(u32, f32)> {
        let mut all = Vec::with_capacity(self.blocks.len() * LANES);
        for block in self.blocks {
            let mut nearest = [f32::INFINITY; LANES];
            let mut cluster = [0_u32; LANES];
            for (number, centre) in (0_u32..).zip(self.centres.chunks_exact(self.cols)) {
                let squared = pairs::squared(block, centre);
                for ((near, cluster), squared) in nearest.iter_mut().zip(&mut cluster).zip(squared)
                {
                    *cluster = if squared < *near { number } else { *cluster };
                    *near = if squared < *near { squared } else { *near };
                }
            }
            all.extend(cluster.into_iter().zip(nearest));
        }
        all
    }
}

/// The weighted mean of each cluster; sums run in the order of points. An empty cluster takes the point farthest from its
/// centre, the first of equals, for itself.
fn means(
    points: &[f32],
    cols: usize,
    k: usize,
    weights: Option<&[f64]>,
    of: &mut [usize],
    mut distances: Vec<f32>,
    before: &[f32],
) -> Vec<f32> {
    let mut counts = vec![0_usize; k];
    for &cluster in of.iter() {
        if let Some(count) = counts.get_mut(cluster) {
            *count += 1;
        }
    }
    let empty: Vec<usize> =
        counts.iter().enumerate().filter(|(_, count)| **count == 0).map(|(c, _)| c).collect();
    for cluster in empty {
        let mut farthest = (0, f32::NEG_INFINITY);
        for (index, (&distance, old)) in distances.iter().zip(of.iter()).enumerate() {
            // A point that is alone stays where it is, or its cluster would be the next empty one.
            if distance > farthest.1 && counts.get(*old).is_some_and(|&count| count > 1) {
                farthest = (index, distance);
            }
        }
        if let (Some(old), Some(distance)) = (of.get_mut(farthest.0), distances.get_mut(farthest.0))
            && farthest.1 > 0.0
        {
            if let Some(count) = counts.get_mut(*old) {
                *count -= 1;
            }
            (*old, *distance) = (cluster, 0.0);
            if let Some(count) = counts.get_mut(cluster) {
                *count = 1;
            }
        }
    }
    let mut sums = vec![0.0_f64; k * cols];
    let mut masses = vec![0.0_f64; k];
    for (index, (point, &cluster)) in points.chunks_exact(cols).zip(of.iter()).enumerate() {
        let weight = weights.map_or(1.0, |w| w.get(index).copied().unwrap_or(0.0));
        let sum = sums.get_mut(cluster * cols..(cluster + 1) * cols).unwrap_or_default();
        sum.iter_mut().zip(point).for_each(|(sum, &x)| *sum += weight * f64::from(x));
        if let Some(mass) = masses.get_mut(cluster) {
            *mass += weight;
        }
    }
    let centres = sums.chunks_exact(cols).zip(&masses).zip(before.chunks_exact(cols));
    centres
        .flat_map(|((sum, &mass), before)| {
            #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
            let mean = move |(sum, before): (&f64, &f32)| {
                if mass > 0.0 { (sum / mass) as f32 } else { *before }
            };
            sum.iter().zip(before).map(mean)
        })
        .collect()
}
