//! `gleaner models`: what is and was in production, and which model should be.

use super::error::CliError;
use super::output::{Output, Style};
use super::session::Session;
use super::whole_file::WholeFile;
use super::{Cli, ModelsAction, change};
use crate::control::{Request, Response};
use crate::engine::clock::{Clock as _, SystemClock};
use crate::engine::status::ModelSummary;
use crate::mlflow::{ALIAS, Model, Registry};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn models(
    cli: &Cli,
    output: &Output,
    action: &ModelsAction,
) -> Result<ExitCode, CliError> {
    match action {
        ModelsAction::List { run } => list(cli, output, run.clone()).await,
        ModelsAction::Show { model, run } => {
            let session = Session::open_to_ask(&cli.state).await?;
            let model = find(session, run.clone(), Some(model)).await?;
            show(output, &model)
        }
        ModelsAction::Export { file, model, run } => {
            let session = Session::open_to_ask(&cli.state).await?;
            let model = find(session, run.clone(), model.as_deref()).await?;
            export(&model, file)?;
            output.line(&format!("model {} is in {}", model.model.short(), file.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        ModelsAction::Publish { model, mlflow, name, run } => {
            publish(cli, output, model.as_deref(), mlflow, name.as_deref(), run.clone()).await
        }
        ModelsAction::Rollback { model, run, reason } => {
            let (run, model, reason) = (run.clone(), model.clone(), reason.clone());
            change(cli, output, Request::RollBack { run, model, reason }).await
        }
        ModelsAction::Pin { run, reason } => {
            let (run, reason) = (run.clone(), reason.clone());
            change(cli, output, Request::Pin { run, pinned: true, reason }).await
        }
        ModelsAction::Unpin { run, reason } => {
            let (run, reason) = (run.clone(), reason.clone());
            change(cli, output, Request::Pin { run, pinned: false, reason }).await
        }
    }
}

async fn all(session: Session, run: Option<String>) -> Result<Vec<ModelSummary>, CliError> {
    let answer = session.ask(Request::Models { run }).await?;
    Ok(if let Response::Models(models) = answer { models } else { Vec::new() })
}

/// The model whose digest begins so; without a word the one in production.
async fn find(
    session: Session,
    run: Option<String>,
    model: Option<&str>,
) -> Result<ModelSummary, CliError> {
    let models = all(session, run).await?;
    let named = |summary: &&ModelSummary| match model {
        Some(text) => {
            !text.is_empty() && summary.model.to_string().starts_with(&text.to_lowercase())
        }
        None => summary.current,
    };
    let mut found = models.iter().filter(named);
    match (found.next(), found.next()) {
        (Some(model), None) => Ok(model.clone()),
        (Some(_), Some(_)) => Err(CliError::Refused(format!(
            "{:?} may mean several models: give more of the digest",
            model.unwrap_or_default()
        ))),
        (None, _) => Err(CliError::Refused(model.map_or_else(
            || "the run has no production model yet".to_owned(),
            |model| format!("{model:?} is no model of this run: `gleaner models list` shows them"),
        ))),
    }
}

async fn list(cli: &Cli, output: &Output, run: Option<String>) -> Result<ExitCode, CliError> {
    let models = all(Session::open_to_ask(&cli.state).await?, run).await?;
    if output.json {
        output.json(&models)?;
        return Ok(ExitCode::SUCCESS);
    }
    if models.is_empty() {
        output.line("no model was in production yet")?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = format!("{:<14} {:>5} {:>7}  {:<34} {}", "model", "cycle", "labels", "measured", "");
    output.line(&output.style(Style::Bold, head.trim_end()))?;
    for model in &models {
        let state = match (model.current, model.pinned) {
            (true, true) => "in production, pinned",
            (true, false) => "in production",
            (false, _) => "",
        };
        let (short, cycle) = (model.model.short(), model.cycle.0);
        let text = format!(
            "{short:<14} {cycle:>5} {:>7}  {:<34} {state}",
            model.labelled,
            measured(model)
        );
        output.line(text.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measured(model: &ModelSummary) -> String {
    model.acceptance.as_ref().map_or_else(
        || "-".to_owned(),
        |checked| {
            let (low, high) = (checked.interval.low, checked.interval.high);
            format!("{} {:.4} ({low:.4} to {high:.4})", checked.metric, checked.value)
        },
    )
}

fn show(output: &Output, model: &ModelSummary) -> Result<ExitCode, CliError> {
    if output.json {
        output.json(model)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bytes = std::fs::metadata(&model.file).map(|about| about.len()).map_err(CliError::Io)?;
    output.line(&format!("model      {}", model.model))?;
    output.line(&format!("trained    in cycle {}, on {} labels", model.cycle.0, model.labelled))?;
    output.line(&format!("measured   {}", measured(model)))?;
    let state = if model.current { "yes" } else { "no" };
    output.line(&format!("production {state}{}", if model.pinned { ", pinned" } else { "" }))?;
    output
        .line(&format!("file       {} ({bytes} bytes; do not change it)", model.file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Brings a model to an MLflow registry.
async fn publish(
    cli: &Cli,
    output: &Output,
    model: Option<&str>,
    url: &str,
    name: Option<&str>,
    run: Option<String>,
) -> Result<ExitCode, CliError> {
    let registry = Registry::new(url)?;
    let session = Session::open_to_ask(&cli.state).await?;
    let (session, response) = session.ask_again(Request::Status { run }).await?;
    let Response::Status(status) = response else { return Ok(ExitCode::SUCCESS) };
    let summary = find(session, Some(status.run.to_string()), model).await?;
    let name = name.unwrap_or(&status.name).to_owned();
    let publishing = tokio::task::spawn_blocking(move || {
        let onnx = std::fs::read(&summary.file).map_err(CliError::Io)?;
        let model = Model {
            name: &name,
            workflow: &status.name,
            run: status.run,
            digest: summary.model,
            cycle: summary.cycle,
            labelled: summary.labelled,
            acceptance: summary.acceptance.as_ref(),
            current: summary.current,
            onnx: &onnx,
        };
        let published = registry.publish(&model, SystemClock.now())?;
        Ok::<_, CliError>((summary.model, published))
    });
    let (model, published) = publishing.await.map_err(|join| CliError::Io(join.into()))??;
    if output.json {
        output.json(&published)?;
        return Ok(ExitCode::SUCCESS);
    }
    let known = if published.known { "already " } else { "" };
    let alias = if published.production { format!(", {ALIAS}") } else { String::new() };
    let (version, name, registry) = (published.version, published.name, published.registry);
    let model = model.short();
    output.line(&format!(
        "model {model} is {known}version {version} of {name}{alias} in {registry}"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Copies a model.
fn export(model: &ModelSummary, file: &Path) -> Result<(), CliError> {
    let bytes = std::fs::read(&model.file).map_err(CliError::Io)?;
    let mut copy = WholeFile::create(file).map_err(CliError::Io)?;
    copy.write_all(&bytes).and_then(|()| copy.finish()).map_err(CliError::Io)
}
