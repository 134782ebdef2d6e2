//! Coverage while labels are few, then uncertainty.

use super::inner::{Inner, remark};
use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View};
use crate::domain::strategy::StrategySpec;

/// Labels of each class until which coverage picks, where nobody says.
const PER_CLASS: usize = 5;
/// The same where there are no classes.
const WITHOUT_CLASSES: usize = 50;

/// `autopilot(first, second, until=N)`: while there are fewer than `N` labels, the first strategy (typiclust) picks;
/// afterwards the second (margin). The remark says which, and why.
///
/// Source: G. Hacohen, A. Dekel and D. Weinshall (2022), "Active learning on a budget: opposite strategies suit high and low
/// budgets", arXiv:2202.02794, sections 2 and 4: typical samples while labels are few, atypical ones later. Where few ends
/// depends on the data and on the features; the paper sees it between about 10 and 50 labels of a class on CIFAR-10. Ours
/// is lower, 5 for each class, because it is late that costs less than early: on digits (10 classes) coverage is ahead of
/// margin at 50 labels and margin is best soon after. Where there are no classes it is 50. Set `until` where you know
/// better: more for hard classes seen through good embeddings.
///
/// Takes what the strategy of the day takes. Needs what both need, because needs are asked before labels are counted.
pub(super) struct Autopilot {
    first: Inner,
    second: Inner,
    until: Option<usize>,
}

impl Autopilot {
    pub(super) fn new(spec: &StrategySpec) -> Result<Self, SelectorError> {
        let (first, second) = (Inner::of(spec, 0, "typiclust")?, Inner::of(spec, 1, "margin")?);
        Ok(Self { first, second, until: spec.whole("until") })
    }
}

impl Strategy for Autopilot {
    fn version(&self) -> u32 {
        self.first.version().max(self.second.version())
    }

    fn needs(&self) -> Needs {
        self.first.needs().and(self.second.needs())
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let labels = view.labelled.classes.len();
        let (until, whence) = match (self.until, view.classes) {
            (Some(until), _) => (until, "as set".to_owned()),
            (None, 0) => (WITHOUT_CLASSES, "without classes".to_owned()),
            (None, classes) => {
                (PER_CLASS * classes, format!("{PER_CLASS} for each of {classes} classes"))
            }
        };
        let (pilot, reason) =
            if labels < until { (&self.first, "fewer than") } else { (&self.second, "at least") };
        let mut picks = pilot.pick(view, count)?;
        let text =
            format!("{}, because {labels} labels are {reason} {until} ({whence})", pilot.name);
        remark(&mut picks.remarks, "autopilot", text);
        Ok(Plan::Picks(picks))
    }
}

#[cfg(test)]
mod tests {
    use crate::data_selector::test_support::{distributions, ids, picks, probabilities, select_by};

    #[test]
    fn it_switches_when_there_are_labels_enough_and_says_why() {
        let bytes: Vec<_> = (0..20_u8).map(|i| (i * 7 % 11, i, 20 - i)).collect();
        let (candidates, p) = (ids(20), distributions(&bytes));
        let mut view = probabilities(&candidates, &p);
        for (strategy, labels, pilot, why) in [
            ("autopilot(random)", 0, "random", "fewer than 15 (5 for each of 3 classes)"),
            ("autopilot(random)", 14, "random", "fewer than 15 (5 for each of 3 classes)"),
            ("autopilot(random)", 15, "margin", "at least 15 (5 for each of 3 classes)"),
            ("autopilot(ratio, entropy, until=3)", 2, "ratio", "fewer than 3 (as set)"),
            ("autopilot(ratio, entropy, until=3)", 3, "entropy", "at least 3 (as set)"),
        ] {
            view.labelled.classes = vec![0; labels].into();
            let (found, _) = select_by(strategy, &view, 4, 0).unwrap();
            let expected = format!("{pilot}, because {labels} labels are {why}");
            assert_eq!(found.parameters["autopilot"], expected);
            assert_eq!(picks(strategy, &view, 4), picks(pilot, &view, 4));
        }
        view.classes = 0;
        let (found, _) = select_by("autopilot(random)", &view, 4, 0).unwrap();
        assert!(found.parameters["autopilot"].ends_with("fewer than 50 (without classes)"));
    }
}
