//! `gleaner export`: a run's events and labels, for other programs.

use super::error::CliError;
use super::output::Output;
use super::run::{INTERRUPTED, Interruptions};
use super::session::Session;
use super::whole_file::WholeFile;
use super::{Cli, ExportAction};
use crate::artifacts::Artifacts;
use crate::audit::export::ExportError;
use crate::audit::export::coco::write_coco;
use crate::audit::export::events::{EventForm, EventWriter};
use crate::audit::export::labels::{LabelForm, LabelSet};
use crate::audit::replay::Point;
use crate::control::{Cursor, Request, Response};
use serde_json::json;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn export(
    cli: &Cli,
    output: &Output,
    action: &ExportAction,
) -> Result<ExitCode, CliError> {
    let file = match action {
        ExportAction::Events { output, .. } | ExportAction::Labels { output, .. } => output,
    };
    // Heard from here on, so that a file in the making goes with whoever interrupts it. Nothing is to be cleared away of what
    // is printed.
    let mut interruptions = match is_file(file) {
        true => Some(Interruptions::listen().map_err(CliError::Io)?),
        false => None,
    };
    let interrupted = async {
        match &mut interruptions {
            Some(interruptions) => interruptions.next().await,
            None => std::future::pending().await,
        }
    };
    let work = async {
        match action {
            ExportAction::Events { run, output: file, format } => {
                events(cli, output, run.clone(), file, *format).await
            }
            ExportAction::Labels { run, output: file, format, to } => {
                labels(cli, output, run.clone(), file, *format, *to).await
            }
        }
    };
    tokio::select! {
        done = work => done.map(|()| ExitCode::SUCCESS),
        () = interrupted => {
            output.note(&format!("interrupted; {} is as it was", file.display()));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

async fn events(
    cli: &Cli,
    output: &Output,
    run: Option<String>,
    file: &Path,
    format: Option<EventForm>,
) -> Result<(), CliError> {
    let by_ending = |ending: &str| ending.parse().ok();
    let form = form(file, format, by_ending, EventForm::Jsonl, "jsonl, csv or parquet")?;
    if !form.is_text() && !is_file(file) {
        let name = form.name();
        return Err(CliError::Refused(format!("{name} is no text: name a file with -o FILE")));
    }
    let session = Session::open_to_ask(&cli.state).await?;
    let (mut session, response) = session.ask_again(Request::Status { run }).await?;
    let Response::Status(status) = response else { return Ok(()) };
    let failed = |source| failed(file, source);
    let out = Out::open(file).map_err(failed)?;
    let mut writer = EventWriter::new(form, out).map_err(failed)?;
    let (mut from, mut events) = (Cursor::START, 0);
    loop {
        let (again, records, next) = session.records(status.run, from).await?;
        session = again;
        if records.is_empty() {
            break;
        }
        records.iter().try_for_each(|recorded| writer.write(recorded)).map_err(failed)?;
        events += records.len();
        from = next;
    }
    writer.finish().and_then(Out::finish).map_err(failed)?;
    let what = json!({
        "run": status.run,
        "file": file.display().to_string(),
        "format": form.name(),
        "events": events,
    });
    tell(output, file, &what, &format!("{events} events of run {}", status.run))
}

async fn labels(
    cli: &Cli,
    output: &Output,
    run: Option<String>,
    file: &Path,
    format: Option<LabelForm>,
    to: Option<Point>,
) -> Result<(), CliError> {
    let by_ending = |ending: &str| match ending {
        "json" => Some(LabelForm::Coco),
        other => other.parse().ok(),
    };
    let known = "csv or jsonl, or json for coco";
    let form = form(file, format, by_ending, LabelForm::Csv, known)?;
    let session = Session::open_to_ask(&cli.state).await?;
    // Asked first: a point that is not there is told before anything is written.
    let request = Request::Replay { run, to: to.map(|to| to.to_string()) };
    let (mut session, response) = session.ask_again(request).await?;
    let Response::Replayed(at) = response else { return Ok(()) };
    let (mut from, mut set) = (Cursor::START, LabelSet::new(at.run));
    'log: loop {
        let (again, records, next) = session.records(at.run, from).await?;
        session = again;
        if records.is_empty() {
            break;
        }
        for recorded in &records {
            if to.is_some_and(|to| !to.reaches(recorded.cycle.cycle, recorded.revision)) {
                break 'log;
            }
            set.take(recorded).map_err(|error| CliError::Refused(error.to_string()))?;
        }
        from = next;
    }
    let artifacts = Artifacts::as_they_are(cli.state.join("artifacts"));
    let failed = |source| failed(file, source);
    let mut out = Out::open(file).map_err(failed)?;
    let written = match form {
        LabelForm::Csv => set.write_csv(&mut out),
        LabelForm::Jsonl => set.write_jsonl(&mut out),
        LabelForm::Coco => write_coco(&set, |digest| artifacts.get(digest), &mut out),
    };
    written.and_then(|()| out.finish()).map_err(failed)?;
    let now = set.snapshot();
    let what = json!({
        "run": now.run,
        "file": file.display().to_string(),
        "format": form.name(),
        "labels": now.labelled,
        "cycle": now.cycle,
        "revision": now.revision,
        "labelled_set": now.labelled_set,
    });
    tell(output, file, &what, &format!("{} labels of run {}", now.labelled, now.run))
}

fn is_file(path: &Path) -> bool {
    path != Path::new("-")
}

/// The form that was asked for; else the one that the file's name tells.
fn form<T>(
    file: &Path,
    asked: Option<T>,
    by_ending: impl Fn(&str) -> Option<T>,
    printed: T,
    known: &str,
) -> Result<T, CliError> {
    if let Some(form) = asked {
        return Ok(form);
    }
    if !is_file(file) {
        return Ok(printed);
    }
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    by_ending(&ending.to_ascii_lowercase()).ok_or_else(|| {
        CliError::Refused(format!(
            "{} does not tell a format: let it end with {known}, or say --format",
            file.display()
        ))
    })
}

/// What is written to.
enum Out {
    Printed(BufWriter<Stdout>),
    File(WholeFile),
}

impl Out {
    fn open(file: &Path) -> Result<Self, ExportError> {
        Ok(match is_file(file) {
            true => Self::File(WholeFile::create(file)?),
            false => Self::Printed(BufWriter::new(io::stdout())),
        })
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            Self::Printed(mut out) => out.flush()?,
            Self::File(file) => file.finish()?,
        }
        Ok(())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Printed(out) => out.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Printed(out) => out.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

/// Says what is in a file; beside what is printed nothing is said.
fn tell(
    output: &Output,
    file: &Path,
    what: &serde_json::Value,
    text: &str,
) -> Result<(), CliError> {
    match (is_file(file), output.json) {
        (false, _) => Ok(()),
        (true, true) => output.json(what),
        (true, false) => output.line(&format!("{text} are in {}", file.display())),
    }
}

fn failed(file: &Path, source: ExportError) -> CliError {
    if let ExportError::Write(error) = &source
        && !is_file(file)
        && error.kind() == ErrorKind::BrokenPipe
    {
        return CliError::BrokenPipe;
    }
    CliError::Export { to: file.to_owned(), source }
}
