//! How a workflow names its selection strategy: `margin`, `prefilter(badge, margin, keep=1000)`.
//!
//! ```text
//! strategy  = name [ "(" argument { "," argument } ")" ]
//! argument  = strategy | key "=" value
//! value     = number | word | "text" (with \" and \\)
//! ```
//!
//! Plain data: which names there are, and what each takes, stands in [`catalogue`]; what they do, in the data selector.
//! The text form is canonical: parameters in the order of their names, equal strategies have equal texts.

pub mod catalogue;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Strategies in strategies: deeper than this is a mistake.
const DEPTH_MAX: usize = 16;

/// A strategy, its parameters, and the strategies that it is built on.
#[derive(Debug, Clone, PartialEq)]
pub struct StrategySpec {
    /// Its name in the [`catalogue`].
    pub name: String,
    /// The strategies that it wraps, in order.
    pub of: Vec<StrategySpec>,
    /// What was set; what was not has its default.
    pub parameters: BTreeMap<String, Value>,
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// A word or a text.
    Text(String),
}

impl StrategySpec {
    /// The strategy of this name, with defaults.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), of: Vec::new(), parameters: BTreeMap::new() }
    }

    /// A number, where it was set to one.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.parameters.get(key) {
            Some(Value::Number(number)) => Some(*number),
            Some(Value::Text(_)) | None => None,
        }
    }

    /// A whole number of at least 0, where it was set to one.
    #[must_use]
    pub fn whole(&self, key: &str) -> Option<usize> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked: it is whole"
        )]
        self.number(key).filter(|n| (0.0..9e15).contains(n) && n.fract() == 0.0).map(|n| n as usize)
    }

    /// A text, where it was set to one.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.parameters.get(key) {
            Some(Value::Text(text)) => Some(text),
            Some(Value::Number(_)) | None => None,
        }
    }

    /// This strategy and all that it is built on, outermost first.
    pub fn walk(&self) -> Vec<&Self> {
        let mut all = vec![self];
        self.of.iter().for_each(|inner| all.extend(inner.walk()));
        all
    }
}

impl fmt::Display for StrategySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let mut open = "(";
        for inner in &self.of {
            write!(f, "{open}{inner}")?;
            open = ", ";
        }
        for (key, value) in &self.parameters {
            write!(f, "{open}{key}=")?;
            match value {
                Value::Number(number) => write!(f, "{number}")?,
                Value::Text(text) if is_word(text) => f.write_str(text)?,
                Value::Text(text) => {
                    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))?;
                }
            }
            open = ", ";
        }
        if open == "(" { Ok(()) } else { f.write_str(")") }
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(in_word)
}

const fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// A text that is no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} at character {place}: a strategy reads like `margin` or `prefilter(badge, margin, keep=1000)`"
)]
pub struct ParseStrategyError {
    /// What is wrong.
    what: String,
    /// Where, from 1.
    place: usize,
}

impl FromStr for StrategySpec {
    type Err = ParseStrategyError;

    /// Reads the text; whether there are such strategies and parameters, [`catalogue::check`] says.
    fn from_str(text: &str) -> Result<Self, ParseStrategyError> {
        let mut parser = Parser { text, place: 0 };
        let strategy = parser.strategy(0)?;
        parser.skip_blanks();
        match parser.peek() {
            None => Ok(strategy),
            Some(c) => Err(parser.error(format!("unexpected {c:?}"))),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// In bytes.
    place: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.place..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn error(&self, what: String) -> ParseStrategyError {
        let before = self.text.get(..self.place).unwrap_or_default();
        ParseStrategyError { what, place: before.chars().count() + 1 }
    }

    fn skip_blanks(&mut self) {
        self.place += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_blanks();
        let found = self.rest().starts_with(wanted);
        if found {
            self.place += wanted.len_utf8();
        }
        found
    }

    fn word(&mut self) -> Result<&'a str, ParseStrategyError> {
        self.skip_blanks();
        let rest = self.rest();
        let word = rest.split(|c| !in_word(c)).next().unwrap_or_default();
        if is_word(word) {
            self.place += word.len();
            return Ok(word);
        }
        Err(self.error(match self.peek() {
            Some(c) => format!("{c:?} where a name is expected"),
            None => "the text ends where a name is expected".to_owned(),
        }))
    }

    fn strategy(&mut self, depth: usize) -> Result<StrategySpec, ParseStrategyError> {
        let name = self.word()?;
        self.arguments(name, depth)
    }

    /// What follows a strategy's name.
    fn arguments(&mut self, name: &str, depth: usize) -> Result<StrategySpec, ParseStrategyError> {
        if depth > DEPTH_MAX {
            return Err(self.error(format!("more than {DEPTH_MAX} strategies in each other")));
        }
        let mut strategy = StrategySpec::named(name);
        if !self.take('(') || self.take(')') {
            return Ok(strategy);
        }
        loop {
            let word = self.word()?;
            if self.take('=') {
                let before = self.place;
                let value = self.value()?;
                if strategy.parameters.insert(word.to_owned(), value).is_some() {
                    self.place = before;
                    return Err(self.error(format!("{word:?} is set twice")));
                }
            } else {
                strategy.of.push(self.arguments(word, depth + 1)?);
            }
            if self.take(')') {
                return Ok(strategy);
            }
            if !self.take(',') {
                return Err(self.error(match self.peek() {
                    Some(c) => format!("{c:?} where a comma or a closing parenthesis is expected"),
                    None => "the text ends inside a parenthesis".to_owned(),
                }));
            }
        }
    }

    fn value(&mut self) -> Result<Value, ParseStrategyError> {
        if self.take('"') {
            return self.quoted();
        }
        self.skip_blanks();
        let rest = self.rest();
        let token = rest.split(|c: char| c == ',' || c == ')' || c.is_whitespace()).next();
        let token = token.unwrap_or_default();
        if let Some(number) = token.parse::<f64>().ok().filter(|number| number.is_finite()) {
            self.place += token.len();
            return Ok(Value::Number(number + 0.0)); // -0 is 0, so that both have one text
        }
        Ok(Value::Text(self.word()?.to_owned()))
    }

    fn quoted(&mut self) -> Result<Value, ParseStrategyError> {
        let mut text = String::new();
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices() {
            match c {
                _ if escaped => {
                    text.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.place += offset + 1;
                    return Ok(Value::Text(text));
                }
                _ => text.push(c),
            }
        }
        Err(self.error("a text without its closing quote".to_owned()))
    }
}

// As text in JSON and TOML, so that `"margin"` is what it always was.
impl Serialize for StrategySpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StrategySpec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    #[track_caller]
    fn reads_as(text: &str, canonical: &str) {
        let found: StrategySpec = text.parse().unwrap();
        assert_eq!(found.to_string(), canonical);
        assert_eq!(canonical.parse::<StrategySpec>().unwrap(), found);
    }

    #[test]
    fn a_strategy_has_one_text() {
        reads_as("margin", "margin");
        reads_as(" margin ( ) ", "margin");
        reads_as("power( margin,beta = 1.0 )", "power(margin, beta=1)");
        reads_as("a(z=1, y=-2e3, b(c), d)", "a(b(c), d, y=-2000, z=1)");
        reads_as(
            r#"query(sql="SELECT \"id\" \\ ,)", kind=word)"#,
            r#"query(kind=word, sql="SELECT \"id\" \\ ,)")"#,
        );
        reads_as("a(x=-0)", "a(x=0)");
        reads_as("a(x=nan, y=inf)", "a(x=nan, y=inf)"); // words
    }

    #[test]
    fn what_is_no_strategy_is_refused_where_it_goes_wrong() {
        let refusal = |text: &str| text.parse::<StrategySpec>().unwrap_err().to_string();
        for (text, what) in [
            ("", "the text ends where a name is expected at character 1"),
            ("1a", "'1' where a name is expected at character 1"),
            ("a(", "the text ends where a name is expected at character 3"),
            ("a(b", "the text ends inside a parenthesis at character 4"),
            ("a(b c)", "'c' where a comma or a closing parenthesis is expected at character 5"),
            ("a)", "unexpected ')' at character 2"),
            ("a(x=1, x=2)", "\"x\" is set twice at character 10"),
            ("a(x=\"b)", "a text without its closing quote at character 6"),
            ("é", "'é' where a name is expected at character 1"),
        ] {
            assert!(refusal(text).starts_with(what), "{text}: {}", refusal(text));
        }
        assert!(refusal(&"a(".repeat(10_000)).starts_with("more than 16"));
    }

    quickcheck! {
        /// Whatever it is, reading it ends with a strategy that reads the same again, or with an error.
        fn any_text_is_a_strategy_or_an_error(text: String) -> bool {
            let wrapped = format!("a({text})");
            [text, wrapped].iter().all(|text| match text.parse::<StrategySpec>() {
                Ok(found) => found.to_string().parse() == Ok(found),
                Err(error) => !error.to_string().is_empty(),
            })
        }
    }
}
