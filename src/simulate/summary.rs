//! What the curves say: means with standard errors, areas, labels to the target, and each strategy against another, paired
//! by seed.

use super::{Curve, Plan, Point};
use crate::domain::metric::Metric;
use serde::Serialize;
use std::collections::BTreeSet;

/// A comparison's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The workflow's name.
    pub workflow: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// What was measured on the test split.
    pub metric: Metric,
    /// The value to reach.
    pub target: f64,
    /// Labels at the most.
    pub labels: Option<usize>,
    /// With which strategy the others are compared.
    pub against: String,
    /// In the order asked for.
    pub strategies: Vec<StrategySummary>,
}

/// One strategy's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StrategySummary {
    /// Its text.
    pub strategy: String,
    /// The median over seeds of the labels with which the target was first reached; `None`: more than were bought.
    pub labels_to_target: Option<f64>,
    /// How many seeds never reached the target.
    pub never: u64,
    /// The area under the value over labels by the trapezoid rule, divided by its width: the mean value on the way.
    pub area: Estimate,
    /// The value at the end.
    pub last: Estimate,
    /// The area minus that of the other strategy on the same seed; `None` for the other strategy itself.
    pub difference: Option<Difference>,
    /// The mean curve, where all seeds have been measured.
    pub curve: Vec<MeanPoint>,
}

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error; `None` with one seed.
    pub standard_error: Option<f64>,
}

/// A mean difference over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// The mean difference and its standard error.
    pub estimate: Estimate,
    /// Student's 95 % interval; `None` with one seed.
    pub interval: Option<(f64, f64)>,
}

/// A point of a mean curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanPoint {
    /// Labels bought.
    pub labels: u64,
    /// The value.
    pub value: Estimate,
}

/// Sums up the curves of a plan.
#[must_use]
pub fn summarise(plan: &Plan, curves: &[Curve]) -> Summary {
    let of = |index: usize| -> Vec<&Curve> {
        curves.iter().filter(|curve| curve.strategy == index).collect()
    };
    let areas = |index: usize| -> Vec<(u64, f64)> {
        of(index).iter().map(|curve| (curve.seed, area(&curve.points))).collect()
    };
    let against = plan.strategies.iter().position(|name| name == "random").unwrap_or(0);
    let base = areas(against);
    let strategies = plan.strategies.iter().enumerate().map(|(index, name)| {
        let curves = of(index);
        let own = areas(index);
        let reached: Vec<Option<u64>> =
            curves.iter().map(|curve| labels_to(&curve.points, plan)).collect();
        let last: Vec<f64> =
            curves.iter().filter_map(|curve| Some(curve.points.last()?.value)).collect();
        let pairs: Vec<f64> = own
            .iter()
            .filter_map(|(seed, area)| {
                let (_, other) = base.iter().find(|(known, _)| known == seed)?;
                Some(area - other)
            })
            .collect();
        StrategySummary {
            strategy: name.clone(),
            labels_to_target: median(&reached),
            never: reached.iter().filter(|reached| reached.is_none()).count() as u64,
            area: estimate(&own.iter().map(|(_, area)| *area).collect::<Vec<f64>>()),
            last: estimate(&last),
            difference: (index != against).then(|| difference(&pairs)),
            curve: mean_curve(&curves),
        }
    });
    Summary {
        workflow: plan.name.clone(),
        seeds: plan.seeds.clone(),
        metric: plan.metric,
        target: plan.target,
        labels: plan.labels,
        against: plan.strategies.get(against).cloned().unwrap_or_default(),
        strategies: strategies.collect(),
    }
}

/// The mean height of a curve; that of its only point, if there is no more.
#[must_use]
pub fn area(points: &[Point]) -> f64 {
    let pairs = || points.iter().zip(points.iter().skip(1));
    let width = |(a, b): (&Point, &Point)| b.labels.saturating_sub(a.labels) as f64;
    let total: f64 = pairs().map(width).sum();
    if total > 0.0 {
        pairs().map(|(a, b)| width((a, b)) * 0.5 * (a.value + b.value)).sum::<f64>() / total
    } else {
        points.last().map_or(f64::NAN, |point| point.value)
    }
}

fn labels_to(points: &[Point], plan: &Plan) -> Option<u64> {
    let reaches = |point: &&Point| plan.metric.direction().gain(point.value, plan.target) >= 0.0;
    points.iter().find(reaches).map(|point| point.labels)
}

/// The median; what never came counts as more than everything.
fn median(reached: &[Option<u64>]) -> Option<f64> {
    let mut sorted: Vec<u64> = reached.iter().map(|reached| reached.unwrap_or(u64::MAX)).collect();
    sorted.sort_unstable();
    let low = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
    let high = *sorted.get(sorted.len() / 2)?;
    (high < u64::MAX).then_some(0.5 * (low as f64 + high as f64))
}

fn estimate(values: &[f64]) -> Estimate {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let standard_error = (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt());
    Estimate { mean, standard_error }
}

fn difference(pairs: &[f64]) -> Difference {
    let estimate = estimate(pairs);
    let interval = estimate.standard_error.map(|error| {
        let half = error * student_95(pairs.len().saturating_sub(1));
        (estimate.mean - half, estimate.mean + half)
    });
    Difference { estimate, interval }
}

/// The 97.5 % quantile of Student's t: a table to 30 degrees of freedom, beyond that the expansion of Abramowitz and Stegun,
/// "Handbook of Mathematical Functions", 26.7.5, which is right to five decimals there.
fn student_95(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010,
        2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739,
        2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
    ];
    if let Some(known) = freedom.checked_sub(1).and_then(|place| TABLE.get(place)) {
        return *known;
    }
    if freedom == 0 {
        return f64::INFINITY;
    }
    let (z, n) = (1.959_963_984_540_054_f64, freedom as f64);
    let (z3, z5) = (z * z * z, z * z * z * z * z);
    z + (z3 + z) / (4.0 * n) + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * n * n)
}

/// The mean of the curves at every number of labels that one of them has, between the ones and the others' ends; between
/// its points a curve is straight.
fn mean_curve(curves: &[&Curve]) -> Vec<MeanPoint> {
    let ends = |end: fn(&[Point]) -> Option<&Point>| {
        curves.iter().filter_map(move |curve| end(&curve.points)).map(|point| point.labels)
    };
    let low = ends(<[Point]>::first).max().unwrap_or(0);
    let high = ends(<[Point]>::last).min().unwrap_or(0);
    let places: BTreeSet<u64> = curves
        .iter()
        .flat_map(|curve| curve.points.iter().map(|point| point.labels))
        .filter(|labels| (low..=high).contains(labels))
        .collect();
    let at = |labels| {
        let heights: Vec<f64> =
            curves.iter().filter_map(|curve| height(&curve.points, labels)).collect();
        MeanPoint { labels, value: estimate(&heights) }
    };
    places.into_iter().map(at).collect()
}

fn height(points: &[Point], labels: u64) -> Option<f64> {
    let after = points.iter().position(|point| point.labels >= labels)?;
    let next = points.get(after)?;
    let Some(before) = after.checked_sub(1).and_then(|place| points.get(place)) else {
        return Some(next.value);
    };
    let share = labels.saturating_sub(before.labels) as f64
        / next.labels.saturating_sub(before.labels).max(1) as f64;
    Some(before.value + share * (next.value - before.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(all: &[(u64, f64)]) -> Vec<Point> {
        all.iter().map(|&(labels, accuracy)| Point { labels, value: accuracy }).collect()
    }

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
    }

    #[test]
    fn the_area_is_the_mean_height_by_trapezoids() {
        close(area(&points(&[(10, 0.0), (20, 1.0), (40, 1.0)])), 25.0 / 30.0);
        close(area(&points(&[(10, 0.5)])), 0.5);
    }

    #[test]
    fn a_target_that_half_the_seeds_never_reach_has_no_median() {
        assert_eq!(median(&[Some(10), Some(30), None]), Some(30.0));
        assert_eq!(median(&[Some(10), Some(30)]), Some(20.0));
        assert_eq!(median(&[Some(10), None]), None);
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn an_interval_is_the_standard_error_times_students_quantile() {
        let found = difference(&[1.0, 2.0, 3.0]);
        let error = (1.0_f64 / 3.0).sqrt();
        close(found.estimate.mean, 2.0);
        close(found.estimate.standard_error.unwrap(), error);
        close(found.interval.unwrap().1, 2.0 + 4.3027 * error);
        assert_eq!(difference(&[1.0]).interval, None);
        assert!((student_95(31) - 2.0395).abs() < 1e-4 && (student_95(120) - 1.9799).abs() < 1e-4);
    }

    #[test]
    fn the_mean_curve_lies_where_every_seed_was_measured() {
        let curve = |seed, all| Curve { strategy: 0, seed, points: points(all) };
        let (a, b) =
            (curve(1, &[(10, 0.0), (20, 0.4), (30, 0.6)]), curve(2, &[(15, 0.4), (25, 0.6)]));
        let found = mean_curve(&[&a, &b]);
        let places: Vec<u64> = found.iter().map(|point| point.labels).collect();
        assert_eq!(places, [15, 20, 25]);
        close(found[0].value.mean, 0.3);
        close(found[1].value.mean, 0.45);
    }
}
