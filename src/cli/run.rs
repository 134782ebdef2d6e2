//! `gleaner run` and `gleaner resume`: the only subcommands that work on runs.

use super::error::CliError;
use super::output::Output;
use super::screen::{Screen, summary};
use super::session::{self, Session};
use super::{Cli, Install};
use crate::control::{self, ControlError, Request, Response};
use crate::domain::definition::Definition;
use crate::domain::ids::RunId;
use crate::engine::Engine;
use crate::engine::status::{RunState, RunStatus};
use crate::inference::{self, InstallPolicy};
use crate::workflow;
use std::path::Path;
use std::process::ExitCode;
use tokio::sync::broadcast::error::RecvError;

const INTERRUPTED: u8 = 130;

pub(super) async fn run(
    cli: &Cli,
    output: &Output,
    file: &Path,
    overrides: &[(String, String)],
    install: &Install,
) -> Result<ExitCode, CliError> {
    let definition = workflow::load(file, overrides)?;
    let folder = folder_of(file)?;
    let install = policy(install);
    let builder = session::engine(&cli.state).await?;
    prepare(output, &definition, install)?;
    let engine = builder.install(install).build();
    let run = engine
        .start(definition.clone(), &folder)
        .await
        .map_err(|source| CliError::Start { file: file.to_owned(), source })?;
    if !output.json {
        output.line(&format!("{}: run {run} in {}", definition.run.name, cli.state.display()))?;
    }
    work(cli, output, &engine, run).await
}

pub(super) async fn resume(
    cli: &Cli,
    output: &Output,
    run: Option<&str>,
    install: &Install,
) -> Result<ExitCode, CliError> {
    let install = policy(install);
    let engine = match Session::open(&cli.state, install).await? {
        Session::Here(engine) => engine,
        there @ Session::There { .. } => {
            // A run that is paused or failed in a live process goes on there.
            let request = Request::Resume { run: run.map(ToOwned::to_owned) };
            if let Response::Done(text) = there.ask(request).await? {
                output.line(&format!("{text}, in the process that has it open"))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    let run = match control::find_unfinished(&engine, run).await {
        Ok(run) => run,
        Err(ControlError::NoneUnfinished { run }) => {
            return finish(output, &engine, &engine.status(run).await?);
        }
        Err(error) => return Err(error.into()),
    };
    let status = engine.status(run).await?;
    if status.state == RunState::Ended {
        return finish(output, &engine, &status);
    }
    prepare(output, &*engine.definition(run).await?, install)?;
    engine.resume(run).await?;
    if !output.json {
        output.line(&format!(
            "{}: run {run} goes on at cycle {} ({})",
            status.name, status.cycle, status.phase
        ))?;
    }
    work(cli, output, &engine, run).await
}

/// Works on a run until it stands still or somebody interrupts.
async fn work(
    cli: &Cli,
    output: &Output,
    engine: &Engine,
    run: RunId,
) -> Result<ExitCode, CliError> {
    let mut notices = engine.watch();
    let before = engine.status(run).await?;
    let mut screen = Screen::new(*output, run, before.labelled);
    screen.continue_cycle(before.cycles.last());
    screen.head()?;

    let socket = tokio::spawn({
        let (engine, state) = (engine.clone(), cli.state.clone());
        async move {
            if let Err(error) = control::serve(engine, &state).await {
                tracing::warn!(%error, "other terminals cannot ask this process");
            }
        }
    });
    let mut interrupted = false;
    let shutdown = async {
        tokio::select! {
            settled = engine.settled(run) => drop(settled), // the status is asked for below
            () = interruption() => {
                interrupted = true;
                output.note("stopping after the step under way; once more stops at once");
                tokio::spawn(async {
                    interruption().await;
                    std::process::exit(INTERRUPTED.into());
                });
            }
        }
    };
    let mut printed = Ok(());
    let watching = async {
        loop {
            match notices.recv().await {
                Ok(notice) => {
                    if let Err(error) = screen.show(&notice) {
                        printed = Err(error);
                        break;
                    }
                }
                Err(RecvError::Lagged(_)) => {} // the table misses a line, the log does not
                Err(RecvError::Closed) => break,
            }
        }
        std::future::pending::<()>().await;
    };
    let result = {
        let working = engine.run(shutdown);
        tokio::pin!(working, watching);
        tokio::select! {
            biased;
            () = &mut watching => Ok(()), // never: it waits for ever at its end
            result = &mut working => result,
        }
    };
    // What was said between the last look and the end.
    while let Ok(notice) = notices.try_recv() {
        screen.show(&notice)?;
    }
    screen.close();
    socket.abort();
    drop(socket.await); // it was aborted, and removes its socket on the way out
    result?;
    let status = engine.status(run).await?;
    if interrupted && status.state == RunState::Active {
        output.note("stopped; `gleaner resume` goes on from here");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    printed?;
    finish(output, engine, &status)
}

/// Says what became of a run.
fn finish(output: &Output, engine: &Engine, status: &RunStatus) -> Result<ExitCode, CliError> {
    if output.json {
        output.json(status)?;
    } else {
        output.line("")?;
        output.line(&summary(output, status, |digest| {
            engine.artifacts().path(digest).display().to_string()
        }))?;
    }
    Ok(match status.state {
        RunState::Failed => ExitCode::from(3),
        RunState::Active | RunState::Paused | RunState::Ended => ExitCode::SUCCESS,
    })
}

/// Makes sure that models can be run before anything is recorded.
fn prepare(
    output: &Output,
    definition: &Definition,
    install: InstallPolicy,
) -> Result<(), CliError> {
    let runtime = definition.selector.runtime.as_deref().map(Path::new);
    Ok(inference::prepare(runtime, install, &mut |line| output.note(line))?)
}

const fn policy(install: &Install) -> InstallPolicy {
    if install.no_install { InstallPolicy::Forbidden } else { InstallPolicy::Allowed }
}

/// The folder at which a workflow's paths begin, in full, so that `resume` finds it from anywhere.
fn folder_of(file: &Path) -> Result<std::path::PathBuf, CliError> {
    let file = std::path::absolute(file).map_err(CliError::Io)?;
    Ok(file.parent().map_or_else(|| file.clone(), Path::to_owned))
}

/// Resolves when somebody wants the process to stop.
async fn interruption() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    drop(tokio::signal::ctrl_c().await); // without a handler the signal ends the process, which is as safe
}
