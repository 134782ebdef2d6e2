//! From TOML to tables of values that know where they stand. The only file that names the `toml` crate.

use super::{Overrides, Problem};
use crate::domain::nearest::nearest;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use toml::de::{DeTable, DeValue};

/// `[table]` and its keys.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) tables: BTreeMap<String, Table>,
}

/// One table.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Where its name stands; `None` if only overrides mention it.
    pub(super) line: Option<usize>,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The line of its key; `None` for an override.
    pub(super) line: Option<usize>,
    pub(super) value: Value,
}

/// A TOML value, as far as workflows use them.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    List(Vec<Self>),
    /// Of a type no key takes, or a number no machine type holds.
    Other(&'static str),
}

impl Value {
    fn new(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.clone().into_owned()),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("a number of more than 38 digits"), Self::Integer),
            DeValue::Float(number) => {
                number.as_str().parse().map_or(Self::Other("an unreadable number"), Self::Float)
            }
            DeValue::Boolean(value) => Self::Boolean(*value),
            DeValue::Array(list) => {
                Self::List(list.iter().map(|item| Self::new(item.get_ref())).collect())
            }
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }
}

impl Value {
    /// Its text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(_)
            | Self::Float(_)
            | Self::Boolean(_)
            | Self::List(_)
            | Self::Other(_) => None,
        }
    }

    /// Its text without blanks around it, where something is left.
    pub(super) fn name(&self) -> Option<String> {
        self.text().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

/// As an error shows it: TOML, shortened.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.chars().nth(60).is_some() => {
                write!(f, "{:?}", text.chars().take(60).chain(['…']).collect::<String>())
            }
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::List(items) => write!(f, "a list of {}", items.len()),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Reads the text and puts the overrides in; `None` where the text is no TOML.
pub(super) fn tree(text: &str, overrides: &Overrides, problems: &mut Vec<Problem>) -> Option<Tree> {
    let newlines: Vec<usize> = text.match_indices('\n').map(|(place, _)| place).collect();
    let line = |offset: usize| newlines.partition_point(|&newline| newline < offset) + 1;
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut lines = BTreeSet::new();
    for error in &errors {
        let line = error.span().map(|span| line(span.start));
        // One slip often reads as several errors; the first one of a line says the most.
        if lines.insert(line) {
            let message = format!("not valid TOML: {}", error.message().replace('\n', "; "));
            problems.push(Problem { line, message });
        }
    }
    if !errors.is_empty() {
        return None;
    }
    let mut tree = Tree::default();
    for (name, value) in root.get_ref() {
        let at = Some(line(name.span().start));
        let name = name.get_ref().as_ref();
        if let DeValue::Table(table) = value.get_ref() {
            let entries = table.iter().map(|(key, value)| {
                let entry = Entry {
                    line: Some(line(key.span().start)),
                    value: Value::new(value.get_ref()),
                };
                (key.get_ref().clone().into_owned(), entry)
            });
            tree.tables.insert(name.to_owned(), Table { line: at, entries: entries.collect() });
        } else {
            problems.push(Problem { line: at, message: outside(name) });
        }
    }
    for (key, value) in overrides {
        match key.split_once('.') {
            Some((table, key)) if !key.contains('.') => {
                let table = tree.tables.entry(table.trim().to_owned()).or_default();
                let entry = Entry { line: None, value: override_value(value) };
                table.entries.insert(key.trim().to_owned(), entry);
            }
            _ => problems.push(Problem {
                line: None,
                message: format!(
                    "--set {key}: a key is `table.key`, for example selector.strategy"
                ),
            }),
        }
    }
    unknown_keys(&tree, problems);
    Some(tree)
}

/// TOML where it is, else the text itself.
fn override_value(text: &str) -> Value {
    DeValue::parse(text)
        .map_or_else(|_| Value::Text(text.to_owned()), |value| Value::new(value.get_ref()))
}

/// The message for a key that stands before the first table, or a table that is something else.
fn outside(name: &str) -> String {
    if super::keys::tables().any(|table| table == name) {
        return format!("`{name}` must be a table; write it as [{name}]");
    }
    match super::keys::home(name) {
        Some(table) => format!("`{name}` stands outside of its table; put it under [{table}]"),
        None => format!("unknown key `{name}`, outside of any table{}", did_you_mean_table(name)),
    }
}

fn did_you_mean_table(name: &str) -> String {
    nearest(name, super::keys::tables()).map_or_else(
        || format!("; the tables are {}", super::keys::tables().collect::<Vec<_>>().join(", ")),
        |near| format!("; did you mean [{near}]?"),
    )
}

fn unknown_keys(tree: &Tree, problems: &mut Vec<Problem>) {
    for (name, table) in &tree.tables {
        let Some(known) = super::keys::of(name) else {
            let message = format!("unknown table [{name}]{}", did_you_mean_table(name));
            match table.line {
                Some(line) => problems.push(Problem { line: Some(line), message }),
                None => problems.extend(table.entries.keys().map(|key| Problem {
                    line: None,
                    message: format!("--set {name}.{key}: {message}"),
                })),
            }
            continue;
        };
        for (key, entry) in table.entries.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let hint = match (super::keys::home(key), nearest(key, known.iter().copied())) {
                (Some(home), _) => format!("; it belongs under [{home}]"),
                (None, Some(near)) => format!("; did you mean `{near}`?"),
                (None, None) => format!("; the keys there are {}", known.join(", ")),
            };
            let message = match entry.line {
                Some(_) => format!("unknown key `{key}` in [{name}]{hint}"),
                None => format!("--set {name}.{key}: unknown key{hint}"),
            };
            problems.push(Problem { line: entry.line, message });
        }
    }
}
