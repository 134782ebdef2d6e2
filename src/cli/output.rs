//! What people and programs see. The only place that prints.

#![expect(
    clippy::print_stderr,
    reason = "printing is the command line's job, and this is its one place"
)]

use super::error::CliError;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Standard output and error, and how they are to be used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// JSON instead of text.
    pub(super) json: bool,
    /// Standard output is a terminal that may be coloured.
    colours: bool,
}

/// A colour, where colours are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, colours: !asked_not_to && !json && std::io::stdout().is_terminal() }
    }

    /// Prints a line of text.
    pub(super) fn line(&self, text: &str) -> Result<(), CliError> {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n"));
        written.and_then(|()| stdout.flush()).map_err(|error| {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                CliError::BrokenPipe
            } else {
                CliError::Io(error)
            }
        })
    }

    /// Prints a value as one line of JSON.
    pub(super) fn json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(|error| CliError::Io(error.into()))?;
        self.line(&text)
    }

    /// Says something beside the output proper.
    pub(super) fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    /// Says what went wrong, with every cause on a line of its own.
    pub(super) fn error(&self, error: &CliError) {
        if matches!(error, CliError::BrokenPipe) {
            return;
        }
        eprintln!("error: {error}");
        let mut said = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let text = cause.to_string();
            if !said.contains(&text) {
                eprintln!("  caused by: {text}");
            }
            said = text;
            source = cause.source();
        }
    }

    /// The text in a style, where styles can be seen.
    pub(super) fn style(&self, style: Style, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match style {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Green => 32,
            Style::Yellow => 33,
            Style::Red => 31,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
