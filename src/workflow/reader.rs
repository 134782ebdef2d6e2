//! Typed values from a tree: every getter reports what is wrong and goes on with the default.

use super::Problem;
use super::source::{Entry, Tree, Value};
use crate::domain::nearest::nearest;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A key: its table and its name.
pub(super) type Key = (&'static str, &'static str);

/// Reads keys and remembers which of them were bad.
pub(super) struct Reader<'a> {
    tree: &'a Tree,
    problems: &'a mut Vec<Problem>,
    bad: BTreeSet<Key>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(tree: &'a Tree, problems: &'a mut Vec<Problem>) -> Self {
        Self { tree, problems, bad: BTreeSet::new() }
    }

    fn entry(&self, (table, key): Key) -> Option<&'a Entry> {
        self.tree.tables.get(table)?.entries.get(key)
    }

    /// Whether the file or an override gives the key.
    pub(super) fn has(&self, key: Key) -> bool {
        self.entry(key).is_some()
    }

    /// Whether the file gives the key and an override of `by` makes it moot: `--set trainer.graph=softmax` speaks of another
    /// graph than the one that the file's `hidden` belongs to.
    pub(super) fn is_moot(&self, key: Key, by: Key) -> bool {
        let is_override = |key| self.entry(key).map(|entry| entry.line.is_none());
        is_override(key) == Some(false) && is_override(by) == Some(true)
    }

    /// Reports a problem with the value of `key`.
    pub(super) fn refuse(&mut self, key: Key, message: &str) {
        let (table, name) = key;
        self.bad.insert(key);
        let problem = match self.entry(key) {
            Some(Entry { line: None, .. }) => {
                Problem { line: None, message: format!("--set {table}.{name}: {message}") }
            }
            Some(Entry { line, .. }) => {
                Problem { line: *line, message: format!("{table}.{name}: {message}") }
            }
            None => Problem {
                line: self.tree.tables.get(table).and_then(|table| table.line),
                message: format!("{table}.{name}: {message}"),
            },
        };
        self.problems.push(problem);
    }

    /// Reports a contradiction between `keys`, at the first of them that is given; says nothing where one of them was
    /// refused already, because its default might contradict what was meant.
    pub(super) fn contradiction(&mut self, keys: &[Key], message: &str) {
        if keys.iter().any(|key| self.bad.contains(key)) {
            return;
        }
        let given = keys.iter().find(|key| self.has(**key)).or(keys.first());
        if let Some(&key) = given {
            let bad = self.bad.clone();
            self.refuse(key, message);
            self.bad = bad; // a contradiction does not hide the next one
        }
    }

    fn expected(&mut self, key: Key, value: &Value, expected: &str) {
        self.refuse(key, &format!("{value} given, but {expected} is expected"));
    }

    pub(super) fn text(&mut self, key: Key) -> Option<String> {
        match &self.entry(key)?.value {
            Value::Text(text) if !text.trim().is_empty() => return Some(text.clone()),
            Value::Text(_) => self.refuse(key, "empty; give it a value or leave the key out"),
            other @ (Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::List(_)
            | Value::Other(_)) => self.expected(key, other, "a string in quotes"),
        }
        None
    }

    /// Whether the key holds this very text.
    pub(super) fn is_text(&self, key: Key, text: &str) -> bool {
        matches!(self.entry(key).map(|entry| &entry.value), Some(Value::Text(found)) if found == text)
    }

    pub(super) fn required_text(&mut self, key: Key, example: &str) -> String {
        if !self.has(key) {
            self.refuse(key, &format!("missing; for example {} = {example:?}", key.1));
        }
        self.text(key).unwrap_or_default()
    }

    pub(super) fn boolean(&mut self, key: Key, default: bool) -> bool {
        match self.entry(key).map(|entry| &entry.value) {
            None => default,
            Some(Value::Boolean(value)) => *value,
            Some(other) => {
                self.expected(key, other, "true or false");
                default
            }
        }
    }

    /// A whole number within `range`.
    pub(super) fn whole<T: TryFrom<i128>>(
        &mut self,
        key: Key,
        range: RangeInclusive<i128>,
    ) -> Option<T> {
        let value = &self.entry(key)?.value;
        if let Value::Integer(number) = value
            && range.contains(number)
            && let Ok(number) = T::try_from(*number)
        {
            return Some(number);
        }
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.expected(key, value, &expected);
        None
    }

    /// A finite number that `accepts`; `expected` says which those are.
    pub(super) fn number(
        &mut self,
        key: Key,
        expected: &str,
        accepts: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let value = &self.entry(key)?.value;
        let number = match value {
            Value::Float(number) => Some(*number),
            #[expect(clippy::cast_precision_loss, reason = "a number in a file; rounding is meant")]
            Value::Integer(number) => Some(*number as f64),
            Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => None,
        };
        if let Some(number) = number.filter(|number| number.is_finite() && accepts(*number)) {
            return Some(number + 0.0); // -0 is 0, so that both have one digest
        }
        self.expected(key, value, expected);
        None
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&mut self, key: Key, choices: &[(&str, T)]) -> Option<T> {
        let value = &self.entry(key)?.value;
        if let Value::Text(text) = value {
            if let Some((_, choice)) = choices.iter().find(|(word, _)| word == text) {
                return Some(*choice);
            }
            let words = choices.iter().map(|(word, _)| *word);
            if let Some(near) = nearest(text, words.clone()) {
                let all = words.collect::<Vec<_>>().join(", ");
                self.refuse(key, &format!("{value} is not one of {all}; did you mean {near:?}?"));
                return None;
            }
        }
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let expected = match words.as_slice() {
            [only] => only.clone(),
            _ => format!("one of {}", words.join(", ")),
        };
        self.expected(key, value, &expected);
        None
    }

    /// A list, each item read by `item`; `expected` says what those are.
    pub(super) fn list<T>(
        &mut self,
        key: Key,
        expected: &str,
        item: impl Fn(&Value) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = &self.entry(key)?.value;
        let Value::List(items) = value else {
            self.expected(key, value, expected);
            return None;
        };
        let mut read = Vec::with_capacity(items.len());
        for (place, value) in items.iter().enumerate() {
            let Some(value) = item(value) else {
                self.refuse(
                    key,
                    &format!("{value} at place {}, but {expected} is expected", place + 1),
                );
                return None;
            };
            read.push(value);
        }
        Some(read)
    }

    /// A span of time: a whole number and its unit, in quotes.
    pub(super) fn duration(
        &mut self,
        key: Key,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let Some(Entry { value, .. }) = self.entry(key) else { return default };
        let parsed = match value {
            Value::Text(text) => duration(text),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::List(_)
            | Value::Other(_) => None,
        };
        match parsed {
            Some(span) if range.contains(&span) => span,
            Some(_) => {
                let message =
                    format!("{value} is not from {:?} to {:?}", range.start(), range.end());
                self.refuse(key, &message);
                default
            }
            None => {
                let expected =
                    "a whole number with its unit in quotes (\"500ms\", \"30s\", \"2m\", \"1h\")";
                self.expected(key, value, expected);
                default
            }
        }
    }
}

/// `500ms`, `30s`, `2m` or `1h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let ms = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(ms).map(Duration::from_millis)
}
