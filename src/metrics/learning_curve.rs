//! How a model's quality grows with labels, and how many labels a quality takes.
//!
//! Errors fall as a power of the number of labels, towards what no number of labels removes: J. Hestness et al., "Deep
//! learning scaling is predictable, empirically", arXiv 1712.00409. Three points are the least that tell anything, and
//! a curve read beyond its points is a guess; so every answer has an interval, or says why there is none.

use super::bootstrap::{RESAMPLES, chance, percentile, unit};
use super::measure::Settings;
use super::quantile::normal_quantile;
use crate::domain::definition::Direction;

/// The powers that are tried, each a fixed factor larger than the one before.
const POWERS: usize = 200;
const POWER_LEAST: f64 = 0.05;
const POWER_MOST: f64 = 4.0;

/// More labels than this are no answer.
const LABELS_MOST: f64 = 1e9;

/// How good a model was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// How many labels it was trained with, at least 1.
    pub labels: usize,
    /// What was measured: a share in [0, 1] where more is better, a loss or an error of at least 0 where less is.
    pub value: f64,
    /// On how many samples, at least 1.
    pub measured: u64,
}

/// `error(n) = a (n / n_0)^-b + c`, where `n_0` is the least number of labels and the error of a share is 1 less the
/// share.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    direction: Direction,
    points: Vec<Point>,
    shape: Shape,
    /// How much further than by the sampling of the test the points are from the curve, squared; at least 1.
    dispersion: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    fall: f64,
    power: f64,
    rest: f64,
}

/// How many labels a quality takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelsTo {
    /// The estimate, at least 1. Outside the labels of the points it is extrapolated.
    pub labels: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end; `None` where the points leave open whether the quality is reached at all.
    pub high: Option<f64>,
    /// In what share of the resamples the quality is reached, in [0.5, 1].
    pub reached: f64,
}

/// Why a curve cannot answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CannotTell {
    /// Too few.
    #[error(
        "{found} different numbers of labels were measured, and a curve takes at least 3; wait for more cycles"
    )]
    FewPoints {
        /// How many there are.
        found: usize,
    },
    /// A point that is none.
    #[error("the point at {labels} labels, {value} on {measured} samples, is no measurement")]
    Point {
        /// Its labels.
        labels: usize,
        /// Its value.
        value: f64,
        /// Its samples.
        measured: u64,
    },
    /// More labels do not help.
    #[error("the quality does not grow with labels over the {points} points measured")]
    NoSlope {
        /// How many points there are.
        points: usize,
    },
    /// Better than the curve ever gets.
    #[error(
        "the curve levels off at {asymptote:.4} and does not reach {target}; another model or other data may"
    )]
    BeyondAsymptote {
        /// What was asked for.
        target: f64,
        /// Where the curve ends.
        asymptote: f64,
    },
    /// Further than anybody labels.
    #[error(
        "by the curve, {target} takes more than 1,000,000,000 labels; another model or other data may reach it"
    )]
    TooFar {
        /// What was asked for.
        target: f64,
    },
    /// As likely not as yes.
    #[error("only {percent:.0} % of the curves that fit the points reach {target}; wait for more cycles", percent = 100.0 * reached)]
    Unsure {
        /// What was asked for.
        target: f64,
        /// The share of resamples that reach it.
        reached: f64,
    },
    /// A target or a confidence that is none.
    #[error(
        "the target {target} at confidence {confidence} is no question; the first must be finite, the second between 0 and 1"
    )]
    Question {
        /// What was asked for.
        target: f64,
        /// How sure.
        confidence: f64,
    },
}

impl Curve {
    /// The curve nearest to the points: least squares over 200 powers between 0.05 and 4, the other two numbers solved
    /// for each and kept at or above 0 (G. H. Golub and V. Pereyra, 1973, "The differentiation of pseudo-inverses and
    /// nonlinear least squares problems whose variables separate"). Each point weighs as much as its test tells: the
    /// samples over the variance of one, `e (1 - e)` for a share and `e^2` for a loss.
    ///
    /// # Errors
    ///
    /// [`CannotTell::FewPoints`], [`CannotTell::Point`], [`CannotTell::NoSlope`].
    pub fn fit(points: &[Point], direction: Direction) -> Result<Self, CannotTell> {
        let most = match direction {
            Direction::Max => 1.0,
            Direction::Min => f64::MAX,
        };
        let fits = |p: &&Point| p.labels > 0 && p.measured > 0 && (0.0..=most).contains(&p.value);
        if let Some(&Point { labels, value, measured }) = points.iter().find(|p| !fits(p)) {
            return Err(CannotTell::Point { labels, value, measured });
        }
        let mut points = points.to_vec();
        points.sort_by_key(|point| point.labels);
        let different = points.chunk_by(|a, b| a.labels == b.labels).count();
        if different < 3 {
            return Err(CannotTell::FewPoints { found: different });
        }
        let errors: Vec<f64> = points.iter().map(|point| error(direction, point.value)).collect();
        let fitter = Fitter::new(&points, &errors, direction);
        let shape = fitter.fit(&errors).ok_or(CannotTell::NoSlope { points: points.len() })?;
        let dispersion = fitter.dispersion(&errors, shape);
        Ok(Self { direction, points, shape, dispersion })
    }

    /// The quality at a number of labels, by the curve.
    #[must_use]
    pub fn value_at(&self, labels: f64) -> f64 {
        let error = self.shape.error(labels.max(1.0) / self.least());
        match self.direction {
            Direction::Max => 1.0 - error.min(1.0),
            Direction::Min => error,
        }
    }

    /// Where the curve levels off.
    #[must_use]
    pub fn asymptote(&self) -> f64 {
        match self.direction {
            Direction::Max => 1.0 - self.shape.rest,
            Direction::Min => self.shape.rest,
        }
    }

    /// How many labels `target` takes. The interval is a parametric bootstrap (Efron and Tibshirani, 1993): 1,000 times
    /// the points are moved by the noise of their tests, more where they scatter more around the curve than that
    /// explains, and the curve is fitted again.
    ///
    /// # Errors
    ///
    /// [`CannotTell::BeyondAsymptote`], [`CannotTell::TooFar`], [`CannotTell::Unsure`], [`CannotTell::Question`].
    pub fn labels_to(&self, target: f64, settings: Settings) -> Result<LabelsTo, CannotTell> {
        let Settings { confidence, seed } = settings;
        if !(target.is_finite() && confidence > 0.0 && confidence < 1.0) {
            return Err(CannotTell::Question { target, confidence });
        }
        let wanted = error(self.direction, target);
        let times = match self.shape.times_to(wanted) {
            Some(times) if times * self.least() <= LABELS_MOST => times,
            Some(_) => return Err(CannotTell::TooFar { target }),
            None => {
                return Err(CannotTell::BeyondAsymptote { target, asymptote: self.asymptote() });
            }
        };
        let fitted: Vec<f64> =
            self.points.iter().map(|p| self.shape.error(self.times(p))).collect();
        let fitter = Fitter::new(&self.points, &fitted, self.direction);
        let chance = chance(seed, "learning curve");
        let mut found: Vec<f64> = (0..RESAMPLES)
            .map(|round| {
                let key = chance.draw(&round.to_string());
                let moved = fitter.moved(&fitted, self.dispersion, key);
                let times = fitter.fit(&moved).and_then(|shape| shape.times_to(wanted));
                times.filter(|times| times * self.least() <= LABELS_MOST).unwrap_or(f64::INFINITY)
            })
            .collect();
        found.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "a count of resamples")]
        let reached =
            found.iter().filter(|times| times.is_finite()).count() as f64 / RESAMPLES as f64;
        if reached < 0.5 {
            return Err(CannotTell::Unsure { target, reached });
        }
        let end = |p: f64| percentile(&found, p).unwrap_or(f64::INFINITY);
        let tail = 0.5 - confidence / 2.0;
        let labels = |times: f64| (times * self.least()).max(1.0);
        let high = end(1.0 - tail).max(times);
        Ok(LabelsTo {
            labels: labels(times),
            low: labels(end(tail).min(times)),
            high: high.is_finite().then(|| labels(high)),
            reached,
        })
    }

    /// The least number of labels of all points.
    #[expect(clippy::cast_precision_loss, reason = "a count of labels")]
    fn least(&self) -> f64 {
        self.points.first().map_or(1, |point| point.labels) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of labels")]
    fn times(&self, point: &Point) -> f64 {
        point.labels as f64 / self.least()
    }
}

impl Shape {
    /// The error at so many times the least number of labels.
    fn error(self, times: f64) -> f64 {
        self.fall * libm::pow(times, -self.power) + self.rest
    }

    /// Where the error is down to `wanted`; `None` where it never is.
    fn times_to(self, wanted: f64) -> Option<f64> {
        let fall = wanted - self.rest;
        (fall > 0.0 && self.fall > 0.0).then(|| libm::pow(self.fall / fall, 1.0 / self.power))
    }
}

fn error(direction: Direction, value: f64) -> f64 {
    match direction {
        Direction::Max => 1.0 - value,
        Direction::Min => value,
    }
}

/// What is the same for all resamples: for each power the points' places, and how much each point weighs.
struct Fitter {
    direction: Direction,
    powers: Vec<(f64, Vec<f64>)>,
    /// The variance of each point's error by the sampling of its test.
    variances: Vec<f64>,
}

impl Fitter {
    /// For points ascending by labels, whose noise is that of `errors`.
    #[expect(clippy::cast_precision_loss, reason = "counts of labels, samples and powers")]
    fn new(points: &[Point], errors: &[f64], direction: Direction) -> Self {
        let least = points.first().map_or(1, |point| point.labels) as f64;
        let step = libm::pow(POWER_MOST / POWER_LEAST, 1.0 / (POWERS as f64 - 1.0));
        let powers = (0..POWERS)
            .map(|index| {
                let power = POWER_LEAST * libm::pow(step, index as f64);
                let place = |point: &Point| libm::pow(point.labels as f64 / least, -power);
                (power, points.iter().map(place).collect())
            })
            .collect();
        // No error is so small that its noise is none.
        let mean = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
        let variance = |(point, error): (&Point, &f64)| {
            let n = point.measured as f64;
            match direction {
                Direction::Max => {
                    let error = (error * n + 1.0) / (n + 2.0);
                    error * (1.0 - error) / n
                }
                Direction::Min => {
                    let size = error.max(1e-3 * mean).max(f64::MIN_POSITIVE.sqrt());
                    size * size / n
                }
            }
        };
        Self { direction, powers, variances: points.iter().zip(errors).map(variance).collect() }
    }

    /// The nearest curve; `None` where none that falls is nearer than a level one.
    fn fit(&self, errors: &[f64]) -> Option<Shape> {
        let mut best: Option<(f64, Shape)> = None;
        for (power, places) in &self.powers {
            let Some((fall, rest)) = self.line(places, errors) else { continue };
            let shape = Shape { fall, power: *power, rest };
            let at = places.iter().map(|place| fall * place + rest);
            let squares = at
                .zip(errors)
                .zip(&self.variances)
                .map(|((at, error), v)| (at - error) * (at - error) / v);
            let apart: f64 = squares.sum();
            if best.is_none_or(|(least, _)| apart < least) {
                best = Some((apart, shape));
            }
        }
        best.map(|(_, shape)| shape)
    }

    /// The weighted least-squares line `error = fall * place + rest` with `fall > 0` and `rest >= 0`.
    fn line(&self, places: &[f64], errors: &[f64]) -> Option<(f64, f64)> {
        let (mut w, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for ((place, error), variance) in places.iter().zip(errors).zip(&self.variances) {
            let weight = 1.0 / variance;
            w += weight;
            x += weight * place;
            y += weight * error;
            xx += weight * place * place;
            xy += weight * place * error;
        }
        let fall = (w * xy - x * y) / (w * xx - x * x);
        let rest = (y - fall * x) / w;
        let (fall, rest) = if rest < 0.0 { (xy / xx, 0.0) } else { (fall, rest) };
        // Rounding alone is no slope.
        (fall.is_finite() && rest.is_finite() && fall > 1e-12 * (y / w)).then_some((fall, rest))
    }

    /// The mean squared distance from the curve in units of the tests' noise; 1 where there are no points to spare.
    #[expect(clippy::cast_precision_loss, reason = "a count of points")]
    fn dispersion(&self, errors: &[f64], shape: Shape) -> f64 {
        let Some((_, places)) =
            self.powers.iter().find(|(power, _)| power.total_cmp(&shape.power).is_eq())
        else {
            return 1.0;
        };
        let squares =
            places.iter().zip(errors).zip(&self.variances).map(|((place, error), variance)| {
                let away = shape.fall * place + shape.rest - error;
                away * away / variance
            });
        let spare = errors.len().saturating_sub(3);
        if spare == 0 { 1.0 } else { (squares.sum::<f64>() / spare as f64).max(1.0) }
    }

    /// The errors, moved by noise.
    fn moved(&self, errors: &[f64], dispersion: f64, key: u64) -> Vec<f64> {
        let most = match self.direction {
            Direction::Max => 1.0,
            Direction::Min => f64::MAX,
        };
        let move_one = |((error, variance), counter): ((&f64, &f64), u64)| {
            let noise = (dispersion * variance).sqrt() * normal_quantile(unit(key, counter));
            (error + noise).clamp(0.0, most)
        };
        errors.iter().zip(&self.variances).zip(0..).map(move_one).collect()
    }
}

#[cfg(test)]
mod tests;
