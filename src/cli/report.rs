//! `gleaner report`: a run as one page, and its learning curve as a picture.

use super::Cli;
use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::whole_file::WholeFile;
use crate::audit::report::{curve, html};
use crate::chart::{Frame, draw, raster, svg};
use crate::control::{Request, Response};
use clap::Args;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The run, by the beginning or the end of its id [default: the newest].
    run: Option<String>,
    /// The page; replaced as a whole if it is there [default: report.html, unless only a curve or JSON is asked for].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The learning curve as a picture, FILE.svg or FILE.png; may be given for both.
    #[arg(long, value_name = "FILE")]
    curve: Vec<PathBuf>,
    /// How many picks are shown, the newest; each takes up to 16 KB. All are counted in any case; with 0 the pool is not read.
    #[arg(long, value_name = "N", default_value_t = 200)]
    picks: usize,
}

pub(super) async fn report(
    cli: &Cli,
    output: &Output,
    arguments: &Arguments,
) -> Result<ExitCode, CliError> {
    for file in &arguments.curve {
        Format::of(file)?;
    }
    let request = Request::Report { run: arguments.run.clone(), picks: arguments.picks };
    let session = Session::open_to_ask(&cli.state).await?;
    let Response::Report(report) = session.ask(request).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let mut written = Vec::new();
    let usual = arguments.curve.is_empty() && !output.json;
    let page = arguments.output.clone().or_else(|| usual.then(|| PathBuf::from("report.html")));
    if let Some(page) = page {
        write(&page, html::page(&report).as_bytes())?;
        written.push(page);
    }
    if !arguments.curve.is_empty() {
        let picture = draw(&curve::chart(&report), Frame::FILE);
        for file in &arguments.curve {
            let bytes = match Format::of(file)? {
                Format::Svg => svg::write(&picture).into_bytes(),
                Format::Png => raster::write(&picture)
                    .map_err(|error| CliError::Io(std::io::Error::other(error)))?,
            };
            write(file, &bytes)?;
            written.push(file.clone());
        }
    }
    if output.json {
        output.json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    written.iter().try_for_each(|file| output.line(&format!("written: {}", file.display())))?;
    Ok(ExitCode::SUCCESS)
}

enum Format {
    Svg,
    Png,
}

impl Format {
    fn of(file: &Path) -> Result<Self, CliError> {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some(_) | None => Err(CliError::Refused(format!(
                "--curve {}: a picture ends in .svg or .png",
                file.display()
            ))),
        }
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let written = WholeFile::create(file).and_then(|mut whole| {
        whole.write_all(bytes)?;
        whole.finish()
    });
    written
        .map_err(|error| CliError::Refused(format!("could not write {}: {error}", file.display())))
}
