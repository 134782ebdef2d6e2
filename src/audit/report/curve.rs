//! The learning curve of a run as a chart: what was measured after each training, what the gates said, and what the random
//! labels alone gave.

use super::value::{CycleReport, Report};
use crate::chart::{Chart, Curve, Point};
use crate::domain::event::KpiChecked;

/// One of the measurements of a cycle.
type Stage = fn(&CycleReport) -> Option<&KpiChecked>;

/// The curves; without any where nothing was measured yet.
#[must_use]
pub fn chart(report: &Report) -> Chart {
    let measured = |of: Stage| {
        report.cycles.iter().filter_map(move |line| {
            // A measurement on nothing says nothing.
            let checked = of(line).filter(|checked| checked.n > 0)?;
            let range = (checked.interval.low, checked.interval.high);
            let labels = line.summary.labelled as f64;
            Some((
                checked.estimator.as_str(),
                Point { labels, value: checked.value, range: Some(range) },
            ))
        })
    };
    let mut curves = Vec::new();
    let stages: [(&str, Stage); 2] = [
        ("after training", |line| line.summary.acceptance.as_ref()),
        ("gate", |line| line.summary.gate.as_ref()),
    ];
    for (what, of) in stages {
        let (on, points): (Vec<&str>, Vec<Point>) = measured(of).unzip();
        if let Some(on) = on.last() {
            curves.push(Curve { name: format!("{what}, {on} samples"), points });
        }
    }
    let random = report.cycles.iter().filter_map(|line| line.summary.baseline.as_ref());
    let random = random.map(|baseline| Point {
        labels: baseline.random_labels as f64,
        value: baseline.random,
        range: None,
    });
    let points: Vec<Point> = random.collect();
    if !points.is_empty() {
        curves.push(Curve { name: "random labels alone, validation samples".to_owned(), points });
    }
    Chart {
        title: format!("{}: {} by labels bought", report.name, report.metric),
        is_share: report.metric.most().is_some(),
        target: Some(report.target),
        curves,
    }
}
