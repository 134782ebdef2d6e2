//! Values as the page shows them. What depends on times, ids or the course of a run stands in `<time>` or in an element of
//! class `t`, so that two reports can be compared without it.

use crate::audit::report::value::Report;
use crate::chart::svg::escaped;
use crate::domain::digest::Digest;
use crate::domain::event::Arm;
use crate::domain::kpi::{Interval, Verdict};
use crate::domain::label::Label;
use crate::domain::metric::Metric;
use crate::domain::time::Timestamp;
use std::fmt::Display;

/// A text that somebody wrote: never markup, and it does not turn the direction of what stands beside it.
pub(super) fn user(text: &str) -> String {
    format!("<span class=\"user\">{}</span>", escaped(text))
}

/// A text with a large letter at its beginning.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What another course of the same run may change.
pub(super) fn of_this_course(text: impl Display) -> String {
    format!("<span class=\"t\">{text}</span>")
}

pub(super) fn time(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_micros(at.0).map_or_else(
        || of_this_course(format!("{} µs since 1970", at.0)),
        |time| {
            format!(
                "<time datetime=\"{}\">{}</time>",
                time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
                time.format("%Y-%m-%d %H:%M:%S UTC")
            )
        },
    )
}

/// A span of time, to two units.
pub(super) fn span(seconds: f64) -> String {
    let (minutes, hours) = (seconds / 60.0, seconds / 3600.0);
    of_this_course(if hours >= 1.0 {
        format!("{:.0} h {:.0} min", hours.floor(), (minutes - 60.0 * hours.floor()).floor())
    } else if minutes >= 1.0 {
        format!("{:.0} min {:.0} s", minutes.floor(), (seconds - 60.0 * minutes.floor()).floor())
    } else {
        format!("{seconds:.1} s")
    })
}

/// The beginning of a digest; all of it for who asks.
pub(super) fn digest(digest: &Digest) -> String {
    format!("<code title=\"{digest}\">{}</code>", digest.short())
}

/// A whole number with its thousands apart.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `one` where it is one.
pub(super) fn many(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { several })
}

/// A number to about four digits.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let places = match size {
        _ if size >= 1e6 => return format!("{value:.3e}"),
        _ if size >= 1_000.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ if size >= 0.001 => 4,
        _ if size >= 0.000_1 => 5,
        _ if size > 0.0 => return format!("{value:.1e}"),
        _ => 0, // zero, with or without a sign
    };
    let text = format!("{:.places$}", value + 0.0);
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// A value of a metric: a share in percent, any other number as it is.
pub(super) fn value(metric: Metric, value: f64) -> String {
    match metric.most() {
        Some(_) => format!("{:.1}\u{a0}%", 100.0 * value),
        None => number(value),
    }
}

pub(super) fn interval(metric: Metric, Interval { low, high }: Interval) -> String {
    if high >= f64::MAX {
        return format!("{} or more", value(metric, low));
    }
    match metric.most() {
        Some(_) => format!("{:.1} to {:.1}\u{a0}%", 100.0 * low, 100.0 * high),
        None => format!("{} to {}", number(low), number(high)),
    }
}

pub(super) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "<span class=\"pill met\">met</span>",
        Verdict::Missed => "<span class=\"pill missed\">missed</span>",
        Verdict::Inconclusive => "<span class=\"pill inconclusive\">open</span>",
    }
}

/// An arm in words, and the class of its elements.
pub(super) const fn arm(arm: Arm) -> (&'static str, &'static str) {
    match arm {
        Arm::Strategy => ("strategy", "strategy"),
        Arm::Audit => ("audit", "audit"),
        Arm::ColdStart => ("first batch", "cold"),
        Arm::Relabel => ("asked again", "again"),
    }
}

/// The name of a class.
pub(super) fn class(report: &Report, class: usize) -> String {
    report.classes.get(class).map_or_else(|| format!("class number {class}"), |name| user(name))
}

pub(super) fn label(report: &Report, label: Label) -> String {
    match label {
        Label::Class(index) => class(report, index as usize),
        Label::Classes(set) => {
            let held = (0..report.classes.len()).filter(|index| set.holds(*index));
            let names: Vec<String> = held.map(|index| class(report, index)).collect();
            if names.is_empty() { "no class".to_owned() } else { names.join(", ") }
        }
        Label::Value(value) => number(value.get()),
        Label::Mask(mask) => format!("mask {}", digest(&mask)),
        Label::Erased(_) => "erased".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let counts = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        let numbers = [0.0, -0.0, -0.000_01, 0.5, 0.000_54, 12.345_678, 1_200.0, 1e9].map(number);
        assert_eq!(numbers, ["0", "0", "-1.0e-5", "0.5", "0.00054", "12.35", "1200", "1.000e9"]);
        let spans = [0.25, 61.0, 7_384.0].map(span);
        assert_eq!(spans[0], "<span class=\"t\">0.2 s</span>");
        assert!(spans[1].contains(">1 min 1 s<") && spans[2].contains(">2 h 3 min<"));
        assert_eq!(value(Metric::Accuracy, 0.9523), "95.2\u{a0}%");
        let open = Interval { low: 0.5, high: f64::MAX };
        assert_eq!(interval(Metric::Rmse, open), "0.5 or more");
    }

    #[test]
    fn a_time_can_be_told_apart() {
        let time = time(Timestamp(1_700_000_000_000_000));
        assert!(time.starts_with("<time datetime=\"2023-11-14T22:13:20.000000Z\">"), "{time}");
        assert!(super::time(Timestamp(i64::MAX)).contains("class=\"t\""));
    }
}
