//! What selection saves: how many labels random selection would have taken for the quality that is there.
//!
//! The labels of the audit arm, and of a first batch drawn at random, are a random sample of the pool. Each cycle that trains
//! also trains on them alone, and a curve through what that gave says how many of them it would take.

use super::status::RunStatus;
use crate::domain::metric::Metric;
use crate::metrics::Settings;
use crate::metrics::learning_curve::{CannotTell, Curve, LabelsTo, Point};

/// The comparison of a run with random selection.
#[derive(Debug, Clone, PartialEq)]
pub struct Savings {
    /// What was measured, for example `accuracy`.
    pub metric: String,
    /// What the model in production had of it, on the validation split.
    pub quality: f64,
    /// How many labels were known then, the random ones among them.
    pub bought: u64,
    /// How many labels random selection would have taken; outside of the points it is extrapolated. Or why nothing can be said.
    pub random: Result<LabelsTo, CannotTell>,
}

/// Compares a run with random selection, as of its last training; `None` before there is one, or where the workflow compares
/// nothing (`kpi.savings`).
#[must_use]
pub fn savings(status: &RunStatus) -> Option<Savings> {
    let measured =
        || status.cycles.iter().filter_map(|line| Some((line.labelled, line.baseline.as_ref()?)));
    let (bought, last) = measured().next_back()?;
    let metric: Metric = last.metric.parse().ok()?;
    let points: Vec<Point> = measured()
        .map(|(_, baseline)| Point {
            labels: usize::try_from(baseline.labels).unwrap_or(usize::MAX),
            value: baseline.value,
            measured: baseline.n,
        })
        .collect();
    let settings = Settings { confidence: 0.9, seed: status.seed };
    let curve = Curve::fit(&points, metric.direction());
    // As exactly as it was measured, and no more: errors quote it.
    let quality = (last.production * 1e4).round() / 1e4;
    let random = curve.and_then(|curve| curve.labels_to(quality, settings));
    Some(Savings { metric: last.metric.clone(), quality: last.production, bought, random })
}

#[cfg(test)]
mod tests {
    use super::super::forecast::tests::{line, status};
    use super::*;
    use crate::domain::event::BaselineMeasured;
    use crate::domain::state::CycleSummary;

    #[test]
    fn a_random_curve_says_what_the_quality_would_have_cost() {
        // By chance the error is 4 / n; what is in production has 0.04, so random selection takes 100.
        let cycles = [10_u32, 15, 20, 30, 40].map(|labels| {
            let baseline = Some(BaselineMeasured {
                labels: labels.into(),
                metric: "accuracy".to_owned(),
                n: 100_000,
                value: 1.0 - 4.0 / f64::from(labels),
                production: 0.96,
            });
            CycleSummary { baseline, ..line(labels, u64::from(labels) + 10) }
        });
        let found = savings(&status(cycles.to_vec())).unwrap();
        assert_eq!(found.bought, 50);
        let random = found.random.unwrap();
        assert!((90.0..110.0).contains(&random.labels), "{random:?}");
        assert!(random.low <= random.labels);
    }

    #[test]
    fn two_points_are_no_curve_and_none_is_no_comparison() {
        assert_eq!(savings(&status(vec![line(1, 20)])), None);
        let baseline = BaselineMeasured {
            labels: 12,
            metric: "accuracy".to_owned(),
            n: 180,
            value: 0.6,
            production: 0.8,
        };
        let cycle = CycleSummary { baseline: Some(baseline), ..line(1, 20) };
        let found = savings(&status(vec![cycle])).unwrap();
        assert!(found.random.unwrap_err().to_string().contains("at least 3"));
    }
}
