//! `gleaner fork`: another future of a run, from a cycle on.

use super::error::CliError;
use super::output::Output;
use super::run::{policy, prepare, work};
use super::session::Session;
use super::{Cli, Install};
use crate::control::{self, ControlError};
use crate::domain::ids::CycleNumber;
use crate::workflow;
use std::process::ExitCode;

pub(super) async fn fork(
    cli: &Cli,
    output: &Output,
    of: Option<&str>,
    at: u32,
    overrides: &[(String, String)],
    install: &Install,
) -> Result<ExitCode, CliError> {
    let install = policy(install);
    let engine = match Session::open(&cli.state, install).await? {
        Session::Here(engine) => engine,
        Session::There { holder, .. } => return Err(holder.into()),
    };
    let of = control::find_run(&engine, of).await?;
    let before = engine.definition(of).await?;
    let definition = workflow::changed(&before, &format!("the workflow of run {of}"), overrides)?;
    prepare(output, &definition, install)?;
    let name = definition.run.name.clone();
    let fork = engine.fork(of, CycleNumber(at), definition).await.map_err(ControlError::from)?;
    if !output.json {
        let state = cli.state.display();
        output
            .line(&format!("{name}: run {fork} goes on from cycle {at} of run {of}, in {state}"))?;
    }
    work(cli, output, &engine, fork).await
}
