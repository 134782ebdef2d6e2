//! Two futures on the screen: a line for each cycle of each, and what each needed for the target.

use super::error::CliError;
use super::output::{Output, Style};
use crate::audit::futures::{Future, Futures, Turn};
use crate::domain::event::KpiChecked;
use crate::domain::ids::CycleNumber;

pub(super) fn show(output: &Output, futures: &Futures) -> Result<(), CliError> {
    let Futures { common, a, b, .. } = futures;
    let last = a.turns.len().max(b.turns.len());
    let metric = a.turns.iter().chain(&b.turns).find_map(Turn::measured);
    let metric = metric.map_or("measured", |checked| checked.metric.as_str());
    output.line("")?;
    output.line(&output.style(
        Style::Bold,
        &format!(
            "cycle    labels  bought  answers      time      cost  {:<22}  {metric:<24}  picked by",
            "gate"
        ),
    ))?;
    for cycle in (1..=u32::try_from(last).unwrap_or(u32::MAX)).map(CycleNumber) {
        if cycle <= *common {
            a.turn(cycle).map_or(Ok(()), |turn| output.line(&row(cycle, "=", turn)))?;
            continue;
        }
        for (name, future) in [("a", a), ("b", b)] {
            future.turn(cycle).map_or(Ok(()), |turn| output.line(&row(cycle, name, turn)))?;
        }
    }
    output.line("")?;
    if common.0 > 0 {
        let labels = a.turn(*common).map_or(0, |turn| turn.labelled);
        output.line(&format!("= both have it from one run: {labels} labels by cycle {common}"))?;
    }
    output.line(&summary(futures))
}

fn row(cycle: CycleNumber, name: &str, turn: &Turn) -> String {
    let cost = turn.cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.2}"));
    format!(
        "{cycle:>3}  {name}  {:>7}  {:>6}  {:>7}  {:>7.0}s  {cost:>8}  {:<22}  {:<24}  {}",
        turn.labelled,
        turn.bought,
        turn.answers,
        turn.spent_seconds,
        measured(turn.gate.as_ref()),
        measured(turn.acceptance.as_ref()),
        turn.strategy.as_deref().unwrap_or("-")
    )
}

fn measured(checked: Option<&KpiChecked>) -> String {
    checked.map_or_else(
        || "-".to_owned(),
        |KpiChecked { value, interval, .. }| {
            format!("{value:.4} ({:.4} to {:.4})", interval.low, interval.high)
        },
    )
}

/// What each needed for the target, or what both measured with as many labels.
fn summary(futures: &Futures) -> String {
    let Futures { a, b, .. } = futures;
    let reached = |future: &Future| future.reached.and_then(|cycle| future.turn(cycle).cloned());
    let equal = futures.at_equal_labels.as_ref().map_or_else(String::new, |equal| {
        let (labels, metric) = (equal.labelled, &equal.metric);
        format!("; with {labels} labels {metric} is {:.4} in a and {:.4} in b", equal.a, equal.b)
    });
    match (reached(a), reached(b)) {
        (Some(in_a), Some(in_b)) => {
            let fewer = match (in_a.labelled, in_b.labelled) {
                (a, b) if a < b => format!("a needed {} fewer", b - a),
                (a, b) if a > b => format!("b needed {} fewer", a - b),
                _ => "as many".to_owned(),
            };
            format!("{}, {}: {fewer}", met("a", &in_a), met("b", &in_b))
        }
        (Some(in_a), None) => format!("{}, {}{equal}", met("a", &in_a), not_met("b", b)),
        (None, Some(in_b)) => format!("{}, {}{equal}", not_met("a", a), met("b", &in_b)),
        (None, None) => format!("{}, {}{equal}", not_met("a", a), not_met("b", b)),
    }
}

fn met(name: &str, turn: &Turn) -> String {
    let target = turn.measured().map_or(0.0, |checked| checked.target);
    let cost = turn.cost.map_or_else(String::new, |cost| format!(" for {cost:.2}"));
    let (labels, cycle) = (turn.labelled, turn.cycle);
    format!("{name} met the target of {target} with {labels} labels{cost} (cycle {cycle})")
}

fn not_met(name: &str, future: &Future) -> String {
    let best = future.best.and_then(|cycle| future.turn(cycle));
    let labels = future.turns.last().map_or(0, |turn| turn.labelled);
    match best.and_then(|turn| Some((turn, turn.measured()?))) {
        Some((turn, KpiChecked { value, target, .. })) => format!(
            "{name} has not met the target of {target} with {labels} labels (best {value:.4}, with {})",
            turn.labelled
        ),
        None => format!("{name} has measured nothing yet"),
    }
}
