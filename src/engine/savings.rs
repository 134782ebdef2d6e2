//! What selection saves: how many labels random selection would have taken for the quality that is there.
//!
//! The labels of the audit arm, and of a first batch drawn at random, were chosen by chance. Each cycle that trains also trains
//! on them alone, and a curve through what that gave says how many of them it would take. The audit arm is drawn from what is
//! not labelled yet: of a pool of which a strategy has taken a good part, it has lost the hard ones, and random selection looks
//! better than it is.

use super::status::RunStatus;
use crate::domain::ids::Name;
use crate::domain::metric::Metric;
use crate::metrics::Settings;
use crate::metrics::learning_curve::{CannotTell, Curve, LabelsTo, Point};

/// The comparison of a run with random selection.
#[derive(Debug, Clone, PartialEq)]
pub struct Savings {
    /// What was measured, for example `accuracy`.
    pub metric: Name,
    /// What the newest training gave, on the validation split.
    pub quality: f64,
    /// How many labels it learnt from, the random ones among them.
    pub bought: u64,
    /// How many labels random selection would have taken; outside of the points it is extrapolated. Or why nothing can be said.
    pub random: Result<LabelsTo, CannotTell>,
}

/// Compares a run with random selection, as of its last training; `None` before there is one, or where the workflow compares
/// nothing (`kpi.savings`).
#[must_use]
pub fn savings(status: &RunStatus) -> Option<Savings> {
    let measured = || status.cycles.iter().filter_map(|line| line.baseline.as_ref());
    let last = measured().next_back()?;
    let metric: Metric = last.metric.parse().ok()?;
    let points: Vec<Point> = measured()
        .map(|baseline| Point {
            labels: usize::try_from(baseline.random_labels).unwrap_or(usize::MAX),
            value: baseline.random,
            measured: baseline.n,
        })
        .collect();
    let settings = Settings { confidence: 0.9, seed: status.seed };
    let curve = Curve::fit(&points, metric.direction());
    // To four digits: errors quote it.
    let quality = format!("{:.3e}", last.all).parse().unwrap_or(last.all);
    let random = curve.and_then(|curve| curve.labels_to(quality, settings));
    Some(Savings {
        metric: last.metric.clone(),
        quality: last.all,
        bought: last.all_labels,
        random,
    })
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
                random_labels: labels.into(),
                all_labels: u64::from(labels) + 10,
                metric: "accuracy".into(),
                n: 100_000,
                random: 1.0 - 4.0 / f64::from(labels),
                all: 0.96,
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
            random_labels: 12,
            all_labels: 20,
            metric: "accuracy".into(),
            n: 180,
            random: 0.6,
            all: 0.8,
        };
        let cycle = CycleSummary { baseline: Some(baseline), ..line(1, 20) };
        let found = savings(&status(vec![cycle])).unwrap();
        assert!(found.random.unwrap_err().to_string().contains("at least 3"));
    }
}
