//! A workflow as text again: what a stored [`Definition`] says, as a file would say it, so that overrides find their keys.
//!
//! Read again, the text gives the same definition, but for keys that have no effect beside others (a graph beside the program
//! that trains). Keys that only repeat what is usual are left out where a file must not name them.

use crate::domain::definition::{AnswersSpec, Definition};
use crate::domain::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Sources that have columns; the others must not name one.
const WITH_COLUMNS: [&str; 3] = ["csv", "jsonl", "parquet"];

/// The workflow as TOML.
pub(super) fn text(definition: &Definition) -> String {
    let mut tables = object(definition);
    let mut table = |name: &str| match tables.remove(name) {
        Some(Value::Object(keys)) => keys,
        Some(_) | None => Map::new(),
    };
    let mut pool = table("pool");
    let columns = pool.remove("answers");
    let mut text = String::new();
    write_table(&mut text, "run", table("run"));
    write_table(&mut text, "pool", self::pool(pool));
    write_table(&mut text, "selector", selector(table("selector")));
    write_table(&mut text, "annotator", annotator(definition, columns));
    write_table(&mut text, "trainer", trainer(table("trainer")));
    write_table(&mut text, "model_selector", table("model_selector"));
    let mut kpi = table("kpi");
    kpi.insert("savings".to_owned(), json!(definition.kpi.savings)); // what is usual depends on other keys
    write_table(&mut text, "kpi", kpi);
    let mut stop = table("stop");
    if let Some(deadline) = definition.stop.deadline {
        stop.insert("deadline".to_owned(), json!(rfc3339(deadline)));
    }
    write_table(&mut text, "stop", stop);
    let mut retry = table("retry");
    let spans = &definition.retry;
    let spans =
        [("backoff", spans.backoff), ("backoff_max", spans.backoff_max), ("lease", spans.lease)];
    for (key, span) in spans {
        retry.insert(key.to_owned(), json!(format!("{}ms", span.as_millis())));
    }
    write_table(&mut text, "retry", retry);
    text
}

fn pool(mut keys: Map<String, Value>) -> Map<String, Value> {
    keys.remove("task"); // the run's
    let source = keys.get("source").and_then(Value::as_str).unwrap_or_default();
    if !WITH_COLUMNS.contains(&source) {
        keys.remove("label_column");
    }
    if let Some(channels) = keys.get_mut("channels") {
        *channels = json!(if channels == "grey" { 1 } else { 3 });
    }
    for list in ["shape", "classes"] {
        if keys.get(list) == Some(&json!([])) {
            keys.remove(list);
        }
    }
    keys
}

fn selector(mut keys: Map<String, Value>) -> Map<String, Value> {
    match keys.remove("cold_start").map(named) {
        Some((kind, Some(Value::Array(of)))) if kind == "strategy" => {
            keys.extend(["cold_start", "seed_batch"].map(str::to_owned).into_iter().zip(of));
        }
        Some((kind, Some(count))) => {
            let key = if kind == "per_class" { "seed_per_class" } else { "seed_batch" };
            keys.insert(key.to_owned(), count);
        }
        Some((_, None)) | None => {}
    }
    for key in ["model", "committee", "embedding"] {
        if let Some(value) = keys.get_mut(key) {
            let (word, files) = named(value.take());
            *value = files.unwrap_or(Value::String(word));
        }
    }
    if let Some(batch) = keys.get_mut("inference_batch").filter(|batch| **batch == json!(0)) {
        *batch = json!("auto");
    }
    keys
}

fn annotator(definition: &Definition, columns: Option<Value>) -> Map<String, Value> {
    let usual = object(&AnswersSpec::default());
    let mut keys = object(&definition.answers);
    keys.retain(|key, value| usual.get(key) != Some(value));
    keys.insert("kind".to_owned(), json!(definition.annotator));
    keys.extend(columns.map(|columns| ("columns".to_owned(), columns)));
    keys
}

fn trainer(mut keys: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(mut program)) = keys.remove("external") {
        if let Some(Value::Object(settings)) = program.remove("settings") {
            let pair = |(key, value): (String, Value)| {
                json!(format!("{key}={}", value.as_str().unwrap_or_default()))
            };
            program.insert("settings".to_owned(), settings.into_iter().map(pair).collect());
        }
        return program;
    }
    for key in ["graph", "optimizer", "schedule", "loss", "class_weights"] {
        let Some(value) = keys.remove(key) else { continue };
        let (word, of) = named(value);
        match (of, word.as_str()) {
            (Some(weights), "given") => {
                keys.insert(key.to_owned(), weights);
                continue;
            }
            (Some(widths), "mlp") => drop(keys.insert("hidden".to_owned(), widths)),
            (Some(channels), "cnn" | "unet") => drop(keys.insert("channels".to_owned(), channels)),
            (Some(Value::Object(of)), "step" | "focal" | "huber") => {
                keys.extend(of.into_iter().map(|(of, value)| (format!("{word}_{of}"), value)));
            }
            (Some(Value::Object(of)), _) => keys.extend(of), // sgd's momentum
            (Some(_) | None, _) => {}
        }
        keys.insert(key.to_owned(), Value::String(word));
    }
    if let Some(Value::Object(augment)) = keys.remove("augment") {
        keys.extend(augment);
    }
    keys
}

/// An enum's value: its word, and what the word holds.
fn named(value: Value) -> (String, Option<Value>) {
    match value {
        Value::String(word) => (word, None),
        Value::Object(of) => {
            of.into_iter().next().map_or_else(Default::default, |(word, of)| (word, Some(of)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Default::default(),
    }
}

fn object(value: &impl Serialize) -> Map<String, Value> {
    // Plain structs, strings and finite numbers: serialising them has no way to fail.
    match serde_json::to_value(value) {
        Ok(Value::Object(keys)) => keys,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// Numbers, texts and lists of them are written in TOML as in JSON, but for one character.
fn write_table(text: &mut String, name: &str, keys: Map<String, Value>) {
    let _ = writeln!(text, "[{name}]"); // into a string, which takes everything
    for (key, value) in keys.into_iter().filter(|(_, value)| !value.is_null()) {
        let value = value.to_string().replace('\u{7f}', "\\u007F");
        let _ = writeln!(text, "{key} = {value}");
    }
}

fn rfc3339(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_micros(at.0).map_or_else(String::new, |time| time.to_rfc3339())
}
