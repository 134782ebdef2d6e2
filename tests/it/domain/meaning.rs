//! What two runs must share to have meant the same: everything but ids, times, durations and places.

use super::*;
use serde_json::Value;

/// The fields that tell of a machine and an hour, not of what a run found out.
const FREE: [&str; 4] = ["folder", "previous_head", "at", "spent"];

fn meaning(log: &[(u32, Event)]) -> Digest {
    let mut digest = SemanticDigest::default();
    for (cycle, event) in log {
        digest.add(CycleNumber(*cycle), event);
    }
    digest.finish()
}

fn log() -> Vec<(u32, Event)> {
    let end = run_ended(EndReason::MaxCycles, 2, 4, Some("m3"));
    let log = then(&two_cycles(), &[cancelled(), end]);
    log.into_iter().enumerate().map(|(at, event)| (if at < 8 { 1 } else { 2 }, event)).collect()
}

/// The paths to all numbers, words and truths in `value`.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            (0..)
                .zip(items)
                .for_each(|(at, item): (u32, _)| leaves(item, &format!("{path}/{at}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| leaves(field, &format!("{path}/{name}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(path.to_owned())
        }
    }
}

/// Other values for a leaf; one of them is of its type.
fn others() -> Vec<Value> {
    let words =
        ["other", "Audit", "Strategy", "Gate", "Acceptance", "met", "missed", "value", "interval"];
    let more = [Digest::of(b"other").to_string(), "kpi_met".to_owned()];
    let words = words.into_iter().map(str::to_owned).chain(more).map(Value::from);
    [Value::from(3), Value::from(0.125), Value::from(true), Value::from(false)]
        .into_iter()
        .chain(words)
        .collect()
}

#[test]
fn each_field_counts_but_for_ids_times_durations_and_places() {
    let log = log();
    let told = meaning(&log);
    let (mut counted, mut free) = (0, 0);
    for (at, (_, event)) in log.iter().enumerate() {
        let json = serde_json::to_value(event).unwrap();
        let mut paths = Vec::new();
        leaves(&json, "", &mut paths);
        for path in paths {
            let changed: Vec<Event> = others()
                .into_iter()
                .filter_map(|other| {
                    let mut json = json.clone();
                    *json.pointer_mut(&path).unwrap() = other;
                    serde_json::from_value(json).ok().filter(|changed| changed != event)
                })
                .collect();
            assert!(!changed.is_empty(), "nothing else fits {}{path}", event.name());
            let is_free = path.split('/').any(|field| FREE.contains(&field));
            for event in changed {
                let mut log = log.clone();
                let name = event.name();
                log[at].1 = event;
                assert_eq!(meaning(&log) == told, is_free, "{name}{path}");
            }
            if is_free { free += 1 } else { counted += 1 }
        }
    }
    assert!(counted > 100 && free > 10, "{counted} fields counted, {free} were free");
}

#[test]
fn a_failure_on_the_way_changes_nothing() {
    let log = log();
    for at in 0..=log.len() {
        let mut failing = log.clone();
        failing.insert(at, (2, failed()));
        assert_eq!(meaning(&failing), meaning(&log));
    }
}

#[test]
fn order_cycle_and_number_of_events_count() {
    let log = log();
    let told = meaning(&log);
    for at in 1..log.len() {
        let mut swapped = log.clone();
        swapped.swap(at - 1, at);
        assert_ne!(meaning(&swapped), told, "swapped at {at}");
        let mut shorter = log.clone();
        shorter.remove(at);
        assert_ne!(meaning(&shorter), told, "without {at}");
        let mut elsewhere = log.clone();
        elsewhere[at].0 += 1;
        assert_ne!(meaning(&elsewhere), told, "in another cycle at {at}");
    }
}

#[test]
fn labels_digest_alike_in_any_order_and_differ_in_any_label() {
    let (a, b) = (SampleId::from("a"), SampleId::from("b"));
    let digest = |pairs: [(&SampleId, u32); 2]| {
        labelled_set_digest(pairs.map(|(sample, class)| (sample, Label::Class(class))))
    };
    assert_eq!(digest([(&a, 1), (&b, 2)]), digest([(&b, 2), (&a, 1)]));
    assert_ne!(digest([(&a, 1), (&b, 2)]), digest([(&a, 2), (&b, 1)]));
    // Lengths keep ids apart: the bytes of one id with its label are not those of two.
    assert_ne!(
        digest([(&a, 1), (&SampleId::from("bc"), 2)]),
        digest([(&SampleId::from("ab"), 1), (&SampleId::from("c"), 2)])
    );
}
