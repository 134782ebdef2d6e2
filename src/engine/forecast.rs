//! When the target will be met: what the measurements so far say about the labels that it takes.

use super::status::RunStatus;
use crate::domain::digest::Digest;
use crate::domain::event::KpiChecked;
use crate::domain::kpi::Verdict;
use crate::domain::metric::Metric;
use crate::metrics::Settings;
use crate::metrics::learning_curve::{CannotTell, Curve, LabelsTo, Point};
use std::collections::BTreeMap;

/// How many labels in all the target takes, by a curve through the measurements of a run; `None` where the last of them
/// meets it, or nothing was measured.
///
/// Each model counts once, with the labels that it was trained on. In production the gates speak, whose audit labels no
/// model has learnt from; in development the test split does. The curve goes through models that a strategy made: it
/// tells what this run will cost, and nothing of another strategy.
#[must_use]
pub fn forecast(status: &RunStatus) -> Option<Result<LabelsTo, CannotTell>> {
    let measured = measured(status);
    let (_, last) = measured.last()?;
    let metric: Metric = last.metric.parse().ok()?;
    if last.verdict == Verdict::Met {
        return None;
    }
    let points: Vec<Point> = measured
        .iter()
        .filter(|(labels, checked)| *labels > 0 && checked.n > 0)
        .map(|&(labels, checked)| Point { labels, value: checked.value, measured: checked.n })
        .collect();
    let settings = Settings { confidence: 0.9, seed: status.seed };
    let curve = Curve::fit(&points, metric.direction());
    Some(curve.and_then(|curve| curve.labels_to(last.target, settings)))
}

/// What was measured of each model, with the labels that it was trained on.
fn measured(status: &RunStatus) -> Vec<(usize, &KpiChecked)> {
    let labels = |labelled: u64| usize::try_from(labelled).unwrap_or(usize::MAX);
    let gated = status.cycles.iter().any(|line| line.gate.is_some());
    if !gated {
        let promoted = status.cycles.iter().filter(|line| line.promoted);
        return promoted
            .filter_map(|line| Some((labels(line.labelled), line.acceptance.as_ref()?)))
            .collect();
    }
    let mut trained: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut measured: Vec<(usize, &KpiChecked)> = Vec::new();
    for line in &status.cycles {
        if let Some(gate) = &line.gate {
            // A later gate of the same model has more audit labels.
            measured.retain(|(_, known)| known.model != gate.model);
            measured.push((trained.get(&gate.model).copied().unwrap_or(0), gate));
        }
        if line.promoted
            && let Some(accepted) = &line.acceptance
        {
            trained.insert(accepted.model, labels(line.labelled));
        }
    }
    measured
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::event::KpiStage;
    use crate::domain::ids::{CycleNumber, RunId};
    use crate::domain::kpi::{Basis, Interval};
    use crate::domain::state::CycleSummary;
    use crate::engine::status::RunState;

    fn checked(model: u32, value: f64, n: u64) -> KpiChecked {
        KpiChecked {
            stage: KpiStage::Acceptance,
            metric: "accuracy".into(),
            estimator: "test".into(),
            model: Digest::of(&model.to_be_bytes()),
            n,
            value,
            interval: Interval { low: 0.0, high: 1.0 },
            target: 0.95,
            basis: Basis::Value,
            verdict: Verdict::Missed,
        }
    }

    pub(in crate::engine) fn status(cycles: Vec<CycleSummary>) -> RunStatus {
        RunStatus {
            run: RunId(uuid::Uuid::from_u128(1)),
            name: "story".to_owned(),
            state: RunState::Active,
            phase: "training".to_owned(),
            cycle: CycleNumber(9),
            labelled: 100,
            answers: 100,
            spent_seconds: 0.0,
            cost: None,
            production: None,
            workflow: Digest::ZERO,
            seed: 7,
            ended: None,
            failed: None,
            events: 9,
            head: Digest::ZERO,
            semantic_digest: Digest::ZERO,
            jobs: Vec::new(),
            cycles,
        }
    }

    pub(in crate::engine) fn line(cycle: u32, labelled: u64) -> CycleSummary {
        CycleSummary { promoted: true, ..CycleSummary::new(CycleNumber(cycle), labelled) }
    }

    #[test]
    fn a_curve_that_falls_by_halves_reaches_the_target_where_it_says() {
        // The error is 4 / n: 0.05 at 80 labels.
        let cycles = [10_u32, 15, 20, 30, 40, 50].map(|labels| {
            let value = 1.0 - 4.0 / f64::from(labels);
            let acceptance = Some(checked(labels, value, 100_000));
            CycleSummary { acceptance, ..line(labels, labels.into()) }
        });
        let found = forecast(&status(cycles.to_vec())).unwrap().unwrap();
        assert!((70.0..90.0).contains(&found.labels), "{found:?}");
        assert!(found.low <= found.labels && found.high.is_some_and(|high| high >= found.labels));
    }

    #[test]
    fn gates_count_for_the_model_that_they_measured_and_the_last_one_of_each() {
        let accepted = |model| Some(checked(model, 0.6, 180));
        let mut cycles = vec![CycleSummary { acceptance: accepted(1), ..line(1, 20) }];
        for (cycle, model, promoted) in [(2, 1, false), (3, 1, true), (4, 3, true)] {
            let gate = Some(checked(model, 0.5 + f64::from(cycle) / 100.0, 10));
            let (labelled, acceptance) = (20 * u64::from(cycle), accepted(cycle));
            cycles.push(CycleSummary { gate, promoted, acceptance, ..line(cycle, labelled) });
        }
        let status = status(cycles);
        let found: Vec<(usize, f64)> =
            measured(&status).iter().map(|(labels, checked)| (*labels, checked.value)).collect();
        assert_eq!(found, [(20, 0.53), (60, 0.54)]);
        let told = forecast(&status).unwrap().unwrap_err().to_string();
        assert!(told.contains("at least 3"), "{told}");
    }

    #[test]
    fn what_is_met_needs_no_forecast() {
        let reached = KpiChecked { verdict: Verdict::Met, ..checked(1, 0.96, 10) };
        let met = CycleSummary { acceptance: Some(reached), ..line(1, 20) };
        assert_eq!(forecast(&status(vec![met])), None);
        assert_eq!(forecast(&status(vec![])), None);
    }
}
