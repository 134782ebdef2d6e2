//! `gleaner run` and `gleaner resume`: work on runs, as `gleaner fork` does with what is here.

use super::error::CliError;
use super::leave;
use super::output::Output;
use super::screen::{Screen, summary};
use super::session::{self, Session};
use super::{Cli, Install};
use crate::control::{self, ControlError, Request, Response};
use crate::domain::definition::Definition;
use crate::domain::ids::RunId;
use crate::engine::Engine;
use crate::engine::notice::Notice;
use crate::engine::status::{RunState, RunStatus};
use crate::inference::{self, InstallPolicy};
use crate::workflow;
use std::path::Path;
use std::process::ExitCode;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};

pub(super) const INTERRUPTED: u8 = 130;

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
    let engine = loop {
        match Session::open(&cli.state, install).await? {
            Session::Here(engine) => break engine,
            there @ Session::There { .. } => {
                // A run that is paused or failed in a live process goes on there, unless it ends just now.
                let request = Request::Resume { run: run.map(ToOwned::to_owned) };
                let (session, response) = there.ask_again(request).await?;
                if session.is_there() {
                    if let Response::Done(text) = response {
                        output.line(&format!("{text}, in the process that has it open"))?;
                    }
                    return Ok(ExitCode::SUCCESS);
                }
            }
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
pub(super) async fn work(
    cli: &Cli,
    output: &Output,
    engine: &Engine,
    run: RunId,
) -> Result<ExitCode, CliError> {
    // Before anything is shown, so that who reacts to it is heard.
    let mut interruptions = Interruptions::listen().map_err(CliError::Io)?;
    let notices = engine.watch();
    let before = engine.status(run).await?;
    let mut screen = Screen::new(*output, run, before.labelled);
    screen.continue_cycle(before.cycles.last());
    screen.head()?;
    let (stop_showing, stopped) = oneshot::channel();
    let showing = tokio::spawn(show(screen, notices, stopped));
    let socket = tokio::spawn({
        let (engine, state) = (engine.clone(), cli.state.clone());
        async move {
            if let Err(error) = control::serve(engine, &state).await {
                tracing::warn!(%error, "other terminals cannot ask this process");
            }
        }
    });

    let mut interrupted = false;
    let result = {
        let interrupted = &mut interrupted;
        engine
            .run(async move {
                tokio::select! {
                    settled = engine.settled(run) => drop(settled), // the status is asked for below
                    () = interruptions.next() => {
                        *interrupted = true;
                        output.note("stopping after the step under way; once more stops at once");
                        tokio::spawn(async move {
                            interruptions.next().await;
                            leave::at_once(INTERRUPTED);
                        });
                    }
                }
            })
            .await
    };
    drop(stop_showing);
    let shown = showing.await;
    socket.abort();
    drop(socket.await); // it was aborted, and removes its socket on the way out
    result?;
    let status = engine.status(run).await?;
    if interrupted && status.state == RunState::Active {
        output.note("stopped; `gleaner resume` goes on from here");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    shown.map_err(|join| CliError::Io(join.into()))??;
    finish(output, engine, &status)
}

/// Shows notices until it is stopped and everything said before that is shown.
async fn show(
    mut screen: Screen,
    mut notices: broadcast::Receiver<Notice>,
    mut stopped: oneshot::Receiver<()>,
) -> Result<(), CliError> {
    loop {
        tokio::select! {
            biased;
            notice = notices.recv() => match notice {
                Ok(notice) => screen.show(&notice)?,
                Err(RecvError::Lagged(_)) => {} // the table misses a line, the log does not
                Err(RecvError::Closed) => break,
            },
            _ = &mut stopped => break,
        }
    }
    screen.close();
    Ok(())
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
pub(super) fn prepare(
    output: &Output,
    definition: &Definition,
    install: InstallPolicy,
) -> Result<(), CliError> {
    let runtime = definition.selector.runtime.as_deref().map(Path::new);
    Ok(inference::prepare(runtime, install, &mut |line| output.note(line))?)
}

pub(super) const fn policy(install: &Install) -> InstallPolicy {
    if install.no_install { InstallPolicy::Forbidden } else { InstallPolicy::Allowed }
}

/// The folder at which a workflow's paths begin, in full, so that `resume` finds it from anywhere.
fn folder_of(file: &Path) -> Result<std::path::PathBuf, CliError> {
    let file = std::path::absolute(file).map_err(CliError::Io)?;
    Ok(file.parent().map_or_else(|| file.clone(), Path::to_owned))
}

/// Ctrl-C, and on Unix a request to terminate. Without them a signal ends the process, which is as safe.
pub(super) struct Interruptions {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interruptions {
    #[cfg(unix)]
    pub(super) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(super) const fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    pub(super) async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
