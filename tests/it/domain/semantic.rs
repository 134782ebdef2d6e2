//! The digest by which two runs are compared: what it overlooks, and that it overlooks nothing else.

use super::*;
use crate::samples::every_event;
use serde_json::{Value, json};

/// The only fields that may differ between runs which found out the same.
const OVERLOOKED: [&str; 6] = [
    "RunStarted/folder",
    "CycleStarted/previous_head",
    "Annotated/labels/0/at",
    "Annotated/labels/1/at",
    "Annotated/labels/0/spent",
    "Annotated/labels/1/spent",
];

fn meaning<'a>(events: impl IntoIterator<Item = &'a Event>) -> Digest {
    let mut digest = SemanticDigest::default();
    for event in events {
        digest.add(CycleNumber(1), event);
    }
    digest.finish()
}

/// The paths of all leaves under `value`.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, v)| (name.clone(), v)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, v)| (index.to_string(), v)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(path.to_owned());
            return;
        }
    };
    for (name, child) in children {
        leaves(child, &format!("{path}/{name}"), found);
    }
}

/// The event with another value at `path`: the first of some that an event can have there.
fn changed(event: &Event, path: &str) -> Event {
    let json = json!(event);
    let old = json.pointer(path).unwrap();
    let others = [
        json!(digest("another")),
        json!(1),
        json!(2),
        json!(0.125),
        json!(true),
        json!(false),
        json!("Strategy"),
        json!("ColdStart"),
        json!("Gate"),
        json!("Acceptance"),
        json!("met"),
        json!("missed"),
        json!("interval"),
        json!("value"),
        json!("kpi_met"),
    ];
    let made = others.iter().filter(|other| *other != old).find_map(|other| {
        let mut json = json.clone();
        *json.pointer_mut(path).unwrap() = other.clone();
        serde_json::from_value::<Event>(json).ok().filter(|made| made != event)
    });
    made.unwrap_or_else(|| panic!("no other value for {path}"))
}

#[test]
fn every_field_counts_but_ids_times_durations_and_places() {
    let mut overlooked = Vec::new();
    for event in every_event() {
        let mut paths = Vec::new();
        leaves(&json!(event), "", &mut paths);
        assert!(!paths.is_empty());
        for path in paths {
            if meaning([&changed(&event, &path)]) == meaning([&event]) {
                overlooked.push(path);
            }
        }
    }
    overlooked.retain(|path| !path.starts_with("/CycleFailed/"));
    let covers = |path: &String| OVERLOOKED.iter().any(|known| path[1..].starts_with(known));
    assert!(overlooked.iter().all(covers), "overlooked: {overlooked:#?}");
    for known in OVERLOOKED {
        assert!(overlooked.iter().any(|path| path[1..].starts_with(known)), "{known} counts");
    }
}

#[test]
fn failures_say_nothing_about_what_a_run_found_out() {
    let log = Log::of(&production()).cycle().batch(&["a"]).labels(&["a"]);
    let smooth = log.clone().trained(&["m1"]);
    let bumpy = log.failed().failed().trained(&["m1"]).failed();
    assert_eq!(meaning(&smooth.events), meaning(&bumpy.events));
}

#[test]
fn order_and_cycle_count() {
    let [first, second] = [annotated(&["a"]), annotated(&["b"])];
    assert_ne!(meaning([&first, &second]), meaning([&second, &first]));
    assert_ne!(meaning([&first]), meaning([&first, &first]));
    let of = |cycle| {
        let mut digest = SemanticDigest::default();
        digest.add(CycleNumber(cycle), &first);
        digest.finish()
    };
    assert_ne!(of(1), of(2));
}
